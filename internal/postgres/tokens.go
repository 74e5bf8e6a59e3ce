package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/rds/auth"
	"github.com/jackc/pgx/v5"

	"rbcs"
)

// awsTokenLife is how long RDS accepts a token.
const awsTokenLife = 15 * time.Minute

// AWSTokens returns a source of tokens for RDS and Aurora, made with the
// credentials that AWS's tools use too: the environment, a shared file, the role
// of an EKS service account, of a task or of an instance. They need the right
// rds-db:connect, and the database role is granted rds_iam.
//
// A token is made for one host: write the cluster's endpoint into the DSN.
func AWSTokens(ctx context.Context) (TokenSource, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, rbcs.Errorf(rbcs.InvalidRequest, "the credentials for AWS: %w", err)
	}
	if cfg.Region == "" {
		return nil, rbcs.Errorf(rbcs.InvalidRequest, "the region is not known: set AWS_REGION")
	}
	return func(ctx context.Context, conn *pgx.ConnConfig) (string, time.Time, error) {
		for _, f := range conn.Fallbacks {
			if f.Host != conn.Host || f.Port != conn.Port {
				return "", time.Time{}, fmt.Errorf("a token is good for one host, and the DSN names %s and %s; write the cluster's endpoint", conn.Host, f.Host)
			}
		}
		made := time.Now()
		endpoint := net.JoinHostPort(conn.Host, strconv.Itoa(int(conn.Port)))
		token, err := auth.BuildAuthToken(ctx, endpoint, cfg.Region, conn.User, cfg.Credentials)
		return token, made.Add(awsTokenLife), err
	}, nil
}

// metadataHost is where machines on Google Cloud ask who they are.
const metadataHost = "metadata.google.internal"

// GCPTokens returns a source of tokens for Cloud SQL: those of the service account
// that this machine, pod (workload identity) or container runs as, from the
// metadata server; GCE_METADATA_HOST names another one. The account needs the
// role Cloud SQL Instance User and is a user of the database, and the machine
// the scope sqlservice.login or cloud-platform.
func GCPTokens() TokenSource {
	host := os.Getenv("GCE_METADATA_HOST")
	if host == "" {
		host = metadataHost
	}
	url := "http://" + host + "/computeMetadata/v1/instance/service-accounts/default/token"
	client := &http.Client{Transport: &http.Transport{Proxy: nil}} // it is on this machine, so to speak
	return func(ctx context.Context, _ *pgx.ConnConfig) (string, time.Time, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return "", time.Time{}, err
		}
		r.Header.Set("Metadata-Flavor", "Google")
		asked := time.Now()
		answer, err := client.Do(r)
		if err != nil {
			return "", time.Time{}, err
		}
		defer func() { _ = answer.Body.Close() }()
		body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<16))
		if err != nil {
			return "", time.Time{}, err
		}
		var t struct {
			AccessToken string `json:"access_token"`
			ExpiresIn   int64  `json:"expires_in"`
		}
		if err := json.Unmarshal(body, &t); answer.StatusCode != http.StatusOK || err != nil || t.AccessToken == "" {
			return "", time.Time{}, fmt.Errorf("the metadata server answered %s without a token", answer.Status)
		}
		return t.AccessToken, asked.Add(time.Duration(t.ExpiresIn) * time.Second), nil
	}
}
