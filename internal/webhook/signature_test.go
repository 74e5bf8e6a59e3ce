package webhook_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"rbcs"
	"rbcs/internal/webhook"
)

// TestSignatureVector is the one that the libraries of Standard Webhooks share.
func TestSignatureVector(t *testing.T) {
	at := time.Unix(1614265330, 0)
	body := []byte(`{"test": 2432232314}`)
	got, err := webhook.Sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, body)
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want || err != nil {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

func TestVerify(t *testing.T) {
	now := time.Unix(1614265330, 0)
	body := []byte(`{"test": 2432232314}`)
	const other = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc="
	signature, err := webhook.Sign(secret, "msg_1", now, body)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(h http.Header)
		secret string
		body   string
		now    time.Time
		ok     bool
	}{
		"valid":             {ok: true},
		"another body":      {body: `{"test":2432232314}`},
		"another secret":    {secret: webhook.NewSecret()},
		"no secret":         {secret: "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
		"another ID":        {change: func(h http.Header) { h.Set("webhook-id", "msg_2") }},
		"no ID":             {change: func(h http.Header) { h.Del("webhook-id") }},
		"no timestamp":      {change: func(h http.Header) { h.Del("webhook-timestamp") }},
		"no signature":      {change: func(h http.Header) { h.Del("webhook-signature") }},
		"a later timestamp": {change: func(h http.Header) { h.Set("webhook-timestamp", "1614265331") }},
		"old":               {now: now.Add(5*time.Minute + time.Second)},
		"not so old":        {now: now.Add(5 * time.Minute), ok: true},
		"of the future":     {now: now.Add(-5*time.Minute - time.Second)},
		"wrong signature":   {change: func(h http.Header) { h.Set("webhook-signature", other) }},
		"wrong version":     {change: func(h http.Header) { h.Set("webhook-signature", "v2"+signature[2:]) }},
		"not base64":        {change: func(h http.Header) { h.Set("webhook-signature", "v1,!") }},
		"one of several":    {change: func(h http.Header) { h.Set("webhook-signature", other+" v1a,abc "+signature) }, ok: true},
	} {
		header := http.Header{}
		header.Set("Webhook-Id", "msg_1")
		header.Set("Webhook-Timestamp", "1614265330")
		header.Set("Webhook-Signature", signature)
		if c.change != nil {
			c.change(header)
		}
		if c.secret == "" {
			c.secret = secret
		}
		if c.body == "" {
			c.body = string(body)
		}
		if c.now.IsZero() {
			c.now = now
		}
		err := webhook.Verify(c.secret, header, []byte(c.body), c.now, 5*time.Minute)
		if (err == nil) != c.ok || err != nil && rbcs.CodeOf(err) != rbcs.InvalidRequest {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestSecrets(t *testing.T) {
	a, b := webhook.NewSecret(), webhook.NewSecret()
	if a == b || !strings.HasPrefix(a, "whsec_") || len(a) != len("whsec_")+44 {
		t.Errorf("got %s and %s", a, b)
	}
	for _, s := range []string{"", "whsec_", "whsec_AAAA", "whsec_" + strings.Repeat("AAAA", 22), "whsec_!", a[len("whsec_"):]} {
		if _, err := webhook.Sign(s, "id", time.Time{}, nil); rbcs.CodeOf(err) != rbcs.InvalidRequest {
			t.Errorf("%q: got %v", s, err)
		}
	}
}

// A receiver verifies the bytes that it got before it reads them.
func ExampleVerify() {
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	body := []byte(`{"type":"transaction.posted"}`)
	now := time.Now()
	signature, _ := webhook.Sign(secret, "w1_1-42", now, body)

	header := http.Header{}
	header.Set(webhook.HeaderID, "w1_1-42")
	header.Set(webhook.HeaderTimestamp, fmt.Sprint(now.Unix()))
	header.Set(webhook.HeaderSignature, signature)
	fmt.Println(webhook.Verify(secret, header, body, now, 5*time.Minute))
	fmt.Println(webhook.Verify(secret, header, append(body, ' '), now, 5*time.Minute) != nil)
	// Output:
	// <nil>
	// true
}
