package webhook

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"rbcs"
)

// The headers of a delivery.
const (
	HeaderID        = "webhook-id"        // the same each time that this is sent again
	HeaderTimestamp = "webhook-timestamp" // of this attempt, in seconds since 1970
	HeaderSignature = "webhook-signature" // one or several, separated by spaces
)

const (
	secretPrefix = "whsec_"
	version      = "v1," // HMAC-SHA256
	// minKey and maxKey are the bounds of Standard Webhooks; newKey is the size of a SHA-256.
	minKey, maxKey, newKey = 24, 64, 32
)

// NewSecret returns a random secret for a new webhook.
func NewSecret() string {
	key := make([]byte, newKey)
	_, _ = rand.Read(key) // never fails: it ends the program instead
	return secretPrefix + base64.StdEncoding.EncodeToString(key)
}

// Sign returns the signature of a delivery, as it stands in its header.
func Sign(secret, id string, timestamp time.Time, body []byte) (string, error) {
	mac, err := sign(secret, id, strconv.FormatInt(timestamp.Unix(), 10), body)
	if err != nil {
		return "", err
	}
	return version + base64.StdEncoding.EncodeToString(mac), nil
}

func sign(secret, id, timestamp string, body []byte) ([]byte, error) {
	encoded, ok := strings.CutPrefix(secret, secretPrefix)
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(key) < minKey || len(key) > maxKey {
		return nil, rbcs.Errorf(rbcs.InvalidRequest, "the webhook's secret is not %s and the base64 of %d–%d bytes", secretPrefix, minKey, maxKey)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	return mac.Sum(nil), nil
}

// Verify is what a receiver does before it believes a delivery: one of the
// signatures is that of the secret over exactly these bytes, and the timestamp
// is no further from now than tolerance (5 minutes are usual), so that nobody can
// send an old delivery again. To process each delivery once, the receiver also
// remembers the webhook-id.
func Verify(secret string, header http.Header, body []byte, now time.Time, tolerance time.Duration) error {
	id, timestamp := header.Get(HeaderID), header.Get(HeaderTimestamp)
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if id == "" || err != nil {
		return rbcs.Errorf(rbcs.InvalidRequest, "the headers %s and %s are missing or malformed", HeaderID, HeaderTimestamp)
	}
	if age := now.Sub(time.Unix(seconds, 0)); age.Abs() > tolerance {
		return rbcs.Errorf(rbcs.InvalidRequest, "the delivery was signed %v ago; %v are tolerated", age, tolerance)
	}
	want, err := sign(secret, id, timestamp, body)
	if err != nil {
		return err
	}
	for candidate := range strings.FieldsSeq(header.Get(HeaderSignature)) {
		encoded, ok := strings.CutPrefix(candidate, version)
		mac, err := base64.StdEncoding.DecodeString(encoded)
		if ok && err == nil && hmac.Equal(mac, want) {
			return nil
		}
	}
	return rbcs.Errorf(rbcs.InvalidRequest, "no signature in %s is that of this secret over this body", HeaderSignature)
}
