package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"rbcs"
)

// Access is how connections prove who they are, beside what stands in the DSN.
// It is asked for each new connection; those that are open stay.
type Access struct {
	// PasswordFile is a file with the password, which may be replaced at any time:
	// a mounted secret that rotates. A newline at its end is not a part of it.
	PasswordFile string

	// Tokens yields passwords that are good for a while, such as those of a cloud's
	// IAM ([AWSTokens], [GCPTokens]). They are kept until shortly before they
	// expire. All hosts of the DSN must use TLS: whoever sees a token may use it.
	Tokens TokenSource
}

// TokenSource yields a password for the host, port and user of a connection, and
// when it expires.
type TokenSource func(ctx context.Context, config *pgx.ConnConfig) (token string, expires time.Time, err error)

const (
	// tokenMargin is how long before its end a token is replaced. Where no other one
	// is to be had meanwhile, it is used to its end.
	tokenMargin = time.Minute
	// tokenTimeout bounds how long one is waited for.
	tokenTimeout = 10 * time.Second
)

// access is an [Access] and the token that it has.
type access struct {
	Access
	mu      sync.Mutex
	token   string
	expires time.Time
}

// check refuses a configuration that would show a token.
func (a *access) check(config *pgx.ConnConfig) error {
	if a.Tokens == nil {
		return nil
	}
	secure := config.TLSConfig != nil
	for _, f := range config.Fallbacks {
		secure = secure && f.TLSConfig != nil
	}
	if !secure {
		return rbcs.Errorf(rbcs.InvalidRequest, "tokens go over TLS only; write sslmode=verify-full (or require) into the store's DSN")
	}
	return nil
}

// prove sets the password of a connection that is about to be made.
func (a *access) prove(ctx context.Context, config *pgx.ConnConfig) (err error) {
	switch {
	case a.Tokens != nil:
		config.Password, err = a.current(ctx, config)
	case a.PasswordFile != "":
		config.Password, err = readPassword(a.PasswordFile)
	}
	return err
}

func readPassword(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("the password file: %w", err)
	}
	password := strings.TrimRight(string(text), "\r\n")
	if password == "" {
		return "", fmt.Errorf("the password file %s is empty", file)
	}
	return password, nil
}

// current returns the token that is good now. One that is being fetched is waited for.
func (a *access) current(ctx context.Context, config *pgx.ConnConfig) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Until(a.expires) > tokenMargin {
		return a.token, nil
	}
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	token, expires, err := a.Tokens(ctx, config)
	switch {
	case err == nil:
		a.token, a.expires = token, expires
	case time.Until(a.expires) <= 0:
		return "", fmt.Errorf("fetching a token: %w", err)
	}
	return a.token, nil
}

// forget has the next connection fetch a token anew.
func (a *access) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.token, a.expires = "", time.Time{}
}

// isRefused reports that the server did not accept who the connection says it is.
func isRefused(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && strings.HasPrefix(pg.Code, "28")
}
