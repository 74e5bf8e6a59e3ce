//go:build kubernetes

package kubernetes

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func (s *suite) databaseAway(t *testing.T) {
	s.scenario(t, "database away and back", "PostgreSQL is crashed (an immediate shutdown), and started again 20 s later.", someFailures, func(t *testing.T, o *outcome) {
		before := s.restarts(t)
		began := time.Now()
		s.postgres.kill(t, "QUIT")
		eventually(t, time.Minute, "readiness falling", func(ctx context.Context) error { return s.allReady(ctx, "balance", false) })
		o.took("no balance pod ready", began)
		eventually(t, time.Minute, "a while without a database", func(context.Context) error {
			if left := 20*time.Second - time.Since(began); left > 0 {
				return fmt.Errorf("%s left", left)
			}
			return nil
		})
		if err := s.allReady(t.Context(), "gateway", true); err != nil {
			t.Errorf("the gateways must answer while no balance pod does: %v", err)
		}
		if n := s.load.failuresOf("connection refused"); n > 0 {
			t.Errorf("%d connections were refused: a gateway that stays ready answers 503 instead", n)
		}
		o.note("all gateways stayed ready, and refused no connection")
		back := time.Now()
		s.postgres.start(t)
		o.took("PostgreSQL accepts connections", back)
		eventually(t, 2*time.Minute, "readiness returning", func(ctx context.Context) error { return s.allReady(ctx, "balance", true) })
		o.took("all balance pods ready after its start", back)
		after := s.restarts(t)
		for name, n := range before {
			if m, ok := after[name]; !ok || m != n {
				t.Errorf("%s was started again: liveness must not depend on the database", name)
			}
		}
		o.note("no container was started again")
	})
}

// allReady reports whether all pods of a component are ready, or none.
func (s *suite) allReady(ctx context.Context, component string, want bool) error {
	pods, err := s.pods(ctx, component)
	if err != nil {
		return err
	}
	for _, p := range pods {
		if ready(p) != want {
			return fmt.Errorf("%s: ready is %t", p.Name, !want)
		}
	}
	return nil
}

func (s *suite) redisAway(t *testing.T) {
	s.scenario(t, "Redis away and back", "Redis is killed, stays away for 15 s, and comes back empty.", noFailures, func(t *testing.T, o *outcome) {
		s.awaitServedBy(t, "cache")
		before := s.restarts(t)
		began := time.Now()
		s.redis.kill(t, "KILL")
		eventually(t, time.Minute, "a while without Redis", func(ctx context.Context) error {
			if err := s.allReady(ctx, "balance", true); err != nil {
				t.Errorf("without Redis: %v", err)
			}
			if left := 15*time.Second - time.Since(began); left > 0 {
				return fmt.Errorf("%s left", left)
			}
			return nil
		})
		s.awaitServedBy(t, "store")
		back := time.Now()
		s.redis.start(t)
		s.awaitServedBy(t, "cache")
		o.took("balances from the cache after it came back", back)
		for name, n := range before {
			if m, ok := s.restarts(t)[name]; ok && m != n {
				t.Errorf("%s was started again", name)
			}
		}
		o.note("all pods stayed ready; balances came from the database meanwhile")
	})
}

// awaitServedBy waits until a balance is read from the cache or the store.
func (s *suite) awaitServedBy(t *testing.T, want string) {
	t.Helper()
	eventually(t, 2*time.Minute, "a balance from the "+want, func(ctx context.Context) error {
		b, err := s.load.client.Balance(ctx, account(1))
		if err == nil && b.ServedBy != want {
			err = fmt.Errorf("served by the %s", b.ServedBy)
		}
		return err
	})
}

func (s *suite) secretRotated(t *testing.T) {
	s.scenario(t, "secret rotated", "The password of the service's role is changed in the Secret and in PostgreSQL; then all its connections are ended, so that every pod needs the new one.", noFailures, func(t *testing.T, o *outcome) {
		before := s.names(t)
		password := rand.Text()
		began := time.Now()
		s.secret(t, "database-password", map[string]string{"password": password})
		s.postgres.setPassword(t, serviceRole, password)
		eventually(t, 3*time.Minute, "the new password in every pod", func(ctx context.Context) error { return s.mounted(ctx, t, password) })
		o.took("the new password in every pod", began)
		s.postgres.exec(t, "postgres", "select pg_terminate_backend(pid) from pg_stat_activity where usename = '"+serviceRole+"'")
		s.flowing(t, 4*pace)
		if after := s.names(t); !slices.Equal(before, after) {
			t.Errorf("pods changed: %v, before %v", after, before)
		}
		o.note("no pod was started again")
	})
}

// mounted reports whether the file with the password is the new one in every balance pod. The image has no shell: it is
// read on the nodes.
func (s *suite) mounted(ctx context.Context, t *testing.T, password string) error {
	pods, err := s.pods(ctx, "balance")
	if err != nil {
		return err
	}
	for _, p := range pods {
		file := fmt.Sprintf("/var/lib/kubelet/pods/%s/volumes/kubernetes.io~secret/store-password/password", p.UID)
		if content := s.node(t, "exec", p.Spec.NodeName, "cat", file); strings.TrimSpace(content) != password {
			return errors.New(p.Name + " has the old one")
		}
	}
	return nil
}
