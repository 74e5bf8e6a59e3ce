//go:build kubernetes

package kubernetes

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func (s *suite) install(t *testing.T) {
	s.line(t, "install", "`helm install` into an empty namespace, on an empty database.", func(t *testing.T, o *outcome) {
		began := time.Now()
		s.upgrade(t, "image.tag="+first)
		o.took("installed", began)
		service, err := s.CoreV1().Services(namespace).Get(t.Context(), release, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		s.load = newLoad(t, fmt.Sprintf("http://%s:%d", service.Spec.ClusterIP, service.Spec.Ports[0].Port), s.ledger)
		s.load.createAccounts(t)
		s.spread(t)
		s.underLoad(t, o, func() {})
		s.audit(t, o)
	})
}

// spread checks that pods of one kind are on different nodes, as far as there are any.
func (s *suite) spread(t *testing.T) {
	t.Helper()
	for _, component := range []string{"balance", "gateway"} {
		pods, err := s.pods(t.Context(), component)
		if err != nil {
			t.Fatal(err)
		}
		nodes := map[string]bool{}
		for _, p := range pods {
			nodes[p.Spec.NodeName] = true
		}
		if len(nodes) < min(len(pods), 3) {
			t.Errorf("%d pods of %s are on %d of 3 nodes", len(pods), component, len(nodes))
		}
	}
}

func (s *suite) upgraded(t *testing.T) {
	s.scenario(t, "upgrade to a new version", "`helm upgrade` to an image of another version.", noFailures, func(t *testing.T, o *outcome) {
		began := time.Now()
		s.upgrade(t, "image.tag="+second)
		o.took("all pods of the new version, the old ones gone", began)
		pods, err := s.pods(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pods {
			if image := p.Spec.Containers[0].Image; !strings.HasSuffix(image, ":"+second) && p.DeletionTimestamp == nil {
				t.Errorf("%s runs %s", p.Name, image)
			}
		}
	})
}

func (s *suite) wrongConfiguration(t *testing.T) {
	s.scenario(t, "wrong configuration", "`helm upgrade` with a database that does not exist; then with a flag that the program refuses, and `helm rollback`.", noFailures, func(t *testing.T, o *outcome) {
		before := s.names(t)
		s.secret(t, "wrong", map[string]string{"store": fmt.Sprintf("postgres://postgres:%s@%s/nowhere?sslmode=disable", s.postgres.superuser, s.postgres.address())})
		defer s.kubectl(t, "delete", "secret", "wrong")
		out, err := s.tryUpgrade(t.Context(), "60s", "image.tag="+second, "migration.database.secret.name=wrong", "migration.database.secret.key=store", "migration.backoffLimit=0")
		if err == nil {
			t.Error("helm upgrade with a wrong database succeeded")
		}
		o.note("the migration stops the upgrade: %s", excerpt(out+s.logsOf(t, "migration"), "does not exist"))
		if after := s.names(t); !slices.Equal(before, after) {
			t.Errorf("a failed migration changed the pods: %v, before %v", after, before)
		}
		if out, err := s.tryUpgrade(t.Context(), "45s", "image.tag="+second, "balance.extraArgs={--max-batch=0}"); err == nil {
			t.Errorf("helm upgrade with a refused flag succeeded: %s", out)
		}
		o.note("the new pod says: %s", excerpt(s.logsOf(t, "balance"), "--max-batch"))
		now := s.names(t)
		for _, name := range before {
			if !slices.Contains(now, name) {
				t.Errorf("%s is gone; the old pods must stay", name)
			}
		}
		began := time.Now()
		s.helm(t, "rollback", release, "--wait", "--timeout", "3m")
		s.awaitSettled(t, 2*time.Minute)
		o.took("as before after the rollback", began)
		o.note("the old pods stayed, and served everything")
	})
}

// names returns the names of the pods that are ready.
func (s *suite) names(t *testing.T) (names []string) {
	t.Helper()
	pods, err := s.pods(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pods {
		if ready(p) {
			names = append(names, p.Name)
		}
	}
	slices.Sort(names)
	return names
}

func (s *suite) logsOf(t *testing.T, component string) string {
	t.Helper()
	out, err := s.try(t.Context(), filepath.Join(s.bin, "kubectl"), "-n", namespace, "logs", "-l", "app.kubernetes.io/component="+component, "--tail=20", "--prefix")
	if err != nil {
		t.Log(err)
	}
	return out
}

// excerpt returns what the program says in the first line that holds one of the texts.
func excerpt(text string, wanted ...string) string {
	for line := range strings.Lines(text) {
		for _, w := range wanted {
			if strings.Contains(line, w) {
				return "`" + strings.TrimSpace(line[max(strings.Index(line, "rbcs: "), 0):]) + "`"
			}
		}
	}
	return ""
}

func (s *suite) uninstalled(t *testing.T) {
	s.line(t, "uninstall", "`helm uninstall`.", func(t *testing.T, o *outcome) {
		began := time.Now()
		s.helm(t, "uninstall", release, "--wait", "--timeout", "3m")
		eventually(t, 2*time.Minute, "the namespace as it was before the installation", func(context.Context) error {
			if after := s.inventory(t); !slices.Equal(after, s.before) {
				return fmt.Errorf("in it are %v; before there were %v", after, s.before)
			}
			return nil
		})
		o.took("everything gone", began)
		s.verify(t)
		s.ledger.mu.Lock()
		defer s.ledger.mu.Unlock()
		for _, e := range s.ledger.entries {
			if e.result != nil {
				o.acknowledged++
			}
		}
		o.note("the database stays, with everything that was acknowledged")
	})
}
