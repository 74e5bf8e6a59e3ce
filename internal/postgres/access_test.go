package postgres

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"rbcs"
)

func connConfig(t *testing.T, dsn string) *pgx.ConnConfig {
	t.Helper()
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func TestPasswordFileIsReadForEachConnection(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	a := &access{Access: Access{PasswordFile: file}}
	config := connConfig(t, "postgres://u:old@h/d")
	if err := a.prove(t.Context(), config); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without the file: %v", err)
	}
	for content, want := range map[string]string{"one\n": "one", "two \r\n": "two ", "": ""} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		err := a.prove(t.Context(), config)
		if (err != nil) != (want == "") || err == nil && config.Password != want {
			t.Errorf("%q: password %q, error %v", content, config.Password, err)
		}
	}
}

// TestPasswordRotates has a server whose role changes its password, and connections of before and after.
func TestPasswordRotates(t *testing.T) {
	dsn := migrated(t)
	owner := connect(t, dsn)
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("any\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := openAs(t, dsn, Options{Logger: quiet, Access: Access{PasswordFile: file}})
	warm(t, s, 2)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	createAccounts(t, s, 2) // over the connections that are open
	execute(t, owner, "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()")
	again := func() (err error) {
		for range 20 { // the last of these finds no connection left
			_, err = s.Account(t.Context(), "a:0")
		}
		return err
	}
	err := again()
	var known *rbcs.Error
	if !errors.As(err, &known) || known.Code != unavailable || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without the file: %v", err)
	}
	if err := os.WriteFile(file, []byte("another\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := again(); err != nil {
		t.Errorf("with the new password: %v", err)
	}
}

// fakeTokens are good for 10 minutes each.
type fakeTokens struct {
	made int
	err  error
}

func (f *fakeTokens) fetch(context.Context, *pgx.ConnConfig) (string, time.Time, error) {
	if f.err != nil {
		return "", time.Time{}, f.err
	}
	f.made++
	return strings.Repeat("t", f.made), time.Now().Add(10 * time.Minute), nil
}

func TestTokensAreKeptUntilShortlyBeforeTheirEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeTokens{}
		a := &access{Access: Access{Tokens: f.fetch}}
		config := &pgx.ConnConfig{}
		want := func(token string, failed bool) {
			t.Helper()
			config.Password = ""
			err := a.prove(t.Context(), config)
			if config.Password != token || (err != nil) != failed {
				t.Errorf("token %q, error %v, want %q, %v", config.Password, err, token, failed)
			}
		}
		want("t", false)
		time.Sleep(10*time.Minute - tokenMargin - time.Second)
		want("t", false)
		time.Sleep(2 * time.Second)
		want("tt", false)
		f.err = errors.New("throttled")
		time.Sleep(10*time.Minute - time.Second)
		want("tt", false) // to its end
		time.Sleep(2 * time.Second)
		want("", true)
		f.err = nil
		want("ttt", false)
		l := &links{access: access{Access: Access{Tokens: f.fetch}, token: "revoked", expires: time.Now().Add(time.Hour)}}
		l.TraceConnectEnd(t.Context(), pgx.TraceConnectEndData{Err: &pgconn.PgError{Code: "28P01"}})
		if err := l.begin(t.Context(), config); err != nil || config.Password != "tttt" {
			t.Errorf("after a refused login: %q, %v", config.Password, err)
		}
	})
}

func TestTokensNeedTLS(t *testing.T) {
	a := &access{Access: Access{Tokens: (&fakeTokens{}).fetch}}
	for mode, want := range map[string]rbcs.Code{
		"disable": rbcs.InvalidRequest, "prefer": rbcs.InvalidRequest, "require": "", "verify-full": "",
	} {
		wantCode(t, a.check(connConfig(t, "postgres://u@h1,h2/d?sslmode="+mode)), want)
	}
	const plain = "postgres://u@h/d?sslmode=disable"
	_, err := Open(t.Context(), plain, Options{Access: a.Access})
	wantCode(t, err, rbcs.InvalidRequest)
	wantCode(t, Migrate(t.Context(), plain, MigrateOptions{Access: a.Access}), rbcs.InvalidRequest)
}

func TestAWSTokens(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "eu-central-1",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_PROFILE": "",
	} {
		t.Setenv(name, value)
	}
	tokens, err := AWSTokens(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	token, expires, err := tokens(t.Context(), connConfig(t, "postgres://app@db.example.com:5432/d"))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"db.example.com:5432", "Action=connect", "DBUser=app", "AKIDEXAMPLE", "eu-central-1", "X-Amz-Signature="} {
		if !strings.Contains(token, part) {
			t.Errorf("no %s in %s", part, token)
		}
	}
	if left := time.Until(expires); left <= 0 || left > awsTokenLife {
		t.Errorf("it expires in %v", left)
	}
	if _, _, err := tokens(t.Context(), connConfig(t, "postgres://app@a,b/d?sslmode=require")); err == nil || !strings.Contains(err.Error(), "one host") {
		t.Errorf("two hosts: %v", err)
	}
	if _, _, err := tokens(t.Context(), connConfig(t, "postgres://app@a/d?sslmode=prefer")); err != nil {
		t.Errorf("one host, twice: %v", err)
	}
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	if _, err := AWSTokens(t.Context()); err == nil || !strings.Contains(err.Error(), "AWS_REGION") {
		t.Errorf("without a region: %v", err)
	}
}

func TestGCPTokens(t *testing.T) {
	answer := `{"access_token":"ya29.x","expires_in":3599,"token_type":"Bearer"}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Metadata-Flavor") != "Google" || r.URL.Path != "/computeMetadata/v1/instance/service-accounts/default/token" {
			w.WriteHeader(http.StatusForbidden)
		}
		_, _ = w.Write([]byte(answer))
	}))
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(server.URL, "http://"))
	tokens := GCPTokens()
	token, expires, err := tokens(t.Context(), nil)
	if err != nil || token != "ya29.x" || time.Until(expires) > time.Hour || time.Until(expires) < 50*time.Minute {
		t.Errorf("token %q until %v, error %v", token, expires, err)
	}
	for _, answer = range []string{"{}", "<html>"} {
		if _, _, err := tokens(t.Context(), nil); err == nil {
			t.Errorf("%s is taken", answer)
		}
	}
	server.Close()
	if _, _, err := tokens(t.Context(), nil); err == nil {
		t.Error("a token from nowhere")
	}
}
