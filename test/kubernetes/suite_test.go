//go:build kubernetes

package kubernetes

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	module = "../.."
	imager = "../../tools/image"
)

// The two versions of the image that there are.
const (
	first  = "first"
	second = "second"
)

// suite is what all scenarios share: a cluster with the databases beside it, and the load.
type suite struct {
	*cluster
	postgres *postgres
	redis    *server
	ledger   *ledger
	load     *load
	report   *report
	before   []string // what was in the namespace before the installation
}

func newSuite(t *testing.T) *suite {
	t.Helper()
	c := newCluster(t)
	version, err := c.Discovery().ServerVersion()
	if err != nil {
		t.Fatal(err)
	}
	s := &suite{cluster: c, ledger: newLedger(), report: &report{version: version.GitVersion, settings: c.settings, began: time.Now()}}
	s.kubectl(t, "delete", "namespace", namespace, "--ignore-not-found", "--timeout=2m")
	s.clear(t)
	if err := os.RemoveAll(s.chart()); err != nil {
		t.Fatal(err)
	}
	// The chart as it is now: an edit in the midst of a run would be an upgrade.
	if err := os.CopyFS(s.chart(), os.DirFS("../../deploy/helm/rbcs")); err != nil {
		t.Fatal(err)
	}
	s.images(t)
	s.postgres = startPostgres(t, c)
	s.redis = startRedis(t, c)
	if _, err := c.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	owner, service := rand.Text(), rand.Text()
	s.postgres.setPassword(t, ownerRole, owner)
	s.postgres.setPassword(t, serviceRole, service)
	s.secret(t, "database", map[string]string{"owner": s.postgres.url(ownerRole, owner), "service": s.postgres.url(serviceRole, "")})
	s.secret(t, "database-password", map[string]string{"password": service})
	s.secret(t, "cache", map[string]string{"url": "redis://" + s.redis.address()})
	s.before = s.inventory(t)
	return s
}

// inventory returns the names of all objects in the namespace, but for those that only tell what happened or how much was used.
func (s *suite) inventory(t *testing.T) []string {
	t.Helper()
	var kinds []string
	for kind := range strings.Lines(s.kubectl(t, "api-resources", "--verbs=list", "--namespaced", "-o", "name")) {
		if kind = strings.TrimSpace(kind); !strings.HasPrefix(kind, "event") && kind != "endpoints" && !strings.HasSuffix(kind, "metrics.k8s.io") {
			kinds = append(kinds, kind)
		}
	}
	return strings.Fields(s.kubectl(t, "get", strings.Join(kinds, ","), "-o", "name"))
}

// secret creates a Secret or replaces what is in it.
func (s *suite) secret(t *testing.T, name string, content map[string]string) {
	t.Helper()
	secrets := s.CoreV1().Secrets(namespace)
	wanted := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: content}
	if _, err := secrets.Get(t.Context(), name, metav1.GetOptions{}); err == nil {
		if _, err := secrets.Update(t.Context(), wanted, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		return
	}
	if _, err := secrets.Create(t.Context(), wanted, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func (s *suite) chart() string { return filepath.Join(s.run, "chart") }

// program is the binary of a version; the suite audits with the first one.
func (s *suite) program(version string) string { return filepath.Join(s.run, "rbcs-"+version, "rbcs") }

// images builds both versions and puts their images into the containerd of every node.
func (s *suite) images(t *testing.T) {
	t.Helper()
	nodes, err := s.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{first, second} {
		build := exec.CommandContext(t.Context(), "go", "build", "-C", module, "-trimpath", "-ldflags", "-s -w -X main.version="+version, "-o", s.program(version), "./cmd/rbcs")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build rbcs: %v\n%s", err, out)
		}
		archive := filepath.Join(s.run, "images", "rbcs-"+version+".tar") // where a node that starts finds it, too
		s.must(t, "go", "-C", imager, "run", ".", "-name", "rbcs:"+version, "-output", archive, s.program(version))
		for _, n := range nodes.Items {
			s.node(t, "exec", n.Name, "ctr", "-n", "k8s.io", "images", "import", archive)
		}
	}
}

// upgrade installs the chart or changes the release, and waits for it.
func (s *suite) upgrade(t *testing.T, changes ...string) {
	t.Helper()
	if out, err := s.tryUpgrade(t.Context(), "4m", changes...); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func (s *suite) tryUpgrade(ctx context.Context, timeout string, changes ...string) (string, error) {
	args := []string{"-n", namespace, "upgrade", "--install", release, s.chart(), "--values", "values.yaml", "--wait", "--timeout", timeout}
	for _, c := range changes {
		args = append(args, "--set", c)
	}
	return s.try(ctx, filepath.Join(s.bin, "helm"), args...)
}

// expectation says which failures a scenario may have.
type expectation int

const (
	noFailures   expectation = iota // the client must see none
	someFailures                    // what breaks takes requests with it; the report says how many
)

// scenario runs one scenario under load and compares what the client was told with what is there.
func (s *suite) scenario(t *testing.T, name, did string, expected expectation, act func(*testing.T, *outcome)) {
	t.Helper()
	s.line(t, name, did, func(t *testing.T, o *outcome) {
		s.awaitSettled(t, 3*time.Minute)
		s.underLoad(t, o, func() {
			act(t, o)
			s.awaitSettled(t, 4*time.Minute)
		})
		if _, failures := s.load.counts(); expected == noFailures && failures > 0 {
			t.Errorf("the client saw %d failures: %s", failures, kinds(o.failures))
		}
		s.audit(t, o)
	})
}

// line runs one line of the report.
func (s *suite) line(t *testing.T, name, did string, act func(*testing.T, *outcome)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		o := &outcome{name: name, did: did}
		s.report.outcomes = append(s.report.outcomes, o)
		before, _ := s.history(t)
		defer func() {
			o.happened = s.happened(t, before)
			o.failed = t.Failed()
			s.report.failed = s.report.failed || t.Failed()
			if t.Failed() {
				s.explain(t)
			}
			t.Logf("%d requests, failures: %s; longest gap %s, slowest %s; %s; %v; %v", o.requests, kinds(o.failures), seconds(o.gap), seconds(o.slowest), o.recovered(), o.notes, o.happened)
		}()
		act(t, o)
	})
}

// underLoad does something while the load runs; before and after it, the load gets answers.
func (s *suite) underLoad(t *testing.T, o *outcome, act func()) {
	t.Helper()
	s.load.start(t)
	defer func() {
		s.load.finish()
		s.load.mu.Lock()
		defer s.load.mu.Unlock()
		o.requests, o.failures, o.gap, o.slowest = s.load.requests, maps.Clone(s.load.failures), s.load.gap, s.load.slowest
		for _, read := range s.load.stale {
			t.Errorf("stale read: %s", read)
		}
	}()
	s.flowing(t, 2*pace)
	act()
	s.flowing(t, 2*pace)
}

// busy lets the load run as fast as it can, so that every worker has a request under way.
func (s *suite) busy(t *testing.T) {
	t.Helper()
	s.load.flatOut.Store(true)
	s.flowing(t, 4*pace)
}

// flowing waits until n further requests succeeded.
func (s *suite) flowing(t *testing.T, n int64) {
	t.Helper()
	requests, failures := s.load.counts()
	goal := requests - failures + n
	eventually(t, 2*time.Minute, "answers to the load", func(context.Context) error {
		requests, failures := s.load.counts()
		if done := requests - failures; done < goal {
			return fmt.Errorf("%d of %d", done, goal)
		}
		return nil
	})
}

// audit compares what the client was told with what is there, and lets the service's own audit look.
func (s *suite) audit(t *testing.T, o *outcome) {
	t.Helper()
	acknowledged, recorded, absent := s.ledger.check(t, s.postgres, s.load.client)
	o.acknowledged = acknowledged
	if recorded+absent > 0 {
		o.note("the client gave up on %d transactions; %d of them were found recorded", recorded+absent, recorded)
	}
	s.verify(t)
}

func (s *suite) verify(t *testing.T) {
	t.Helper()
	s.must(t, s.program(first), "verify", "--store", s.postgres.url("postgres", s.postgres.superuser))
}

// explain logs what a person would look at first.
func (s *suite) explain(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	kubectl := filepath.Join(s.bin, "kubectl")
	for _, args := range [][]string{
		{"get", "pods,deployments,hpa,pdb,jobs", "-o", "wide"},
		{"get", "events", "--sort-by=.lastTimestamp"},
		{"logs", "-l", "app.kubernetes.io/instance=" + release, "--tail=15", "--prefix"},
	} {
		out, _ := s.try(ctx, kubectl, append([]string{"-n", namespace}, args...)...)
		t.Logf("kubectl %v\n%s", args, out)
	}
}
