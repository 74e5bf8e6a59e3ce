//go:build kubernetes

package kubernetes

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestKubernetes runs the scenarios one after another on one installation.
func TestKubernetes(t *testing.T) {
	s := newSuite(t)
	defer func() { s.report.write(t) }()
	s.install(t)
	if t.Failed() {
		return // the others need an installation
	}
	s.upgraded(t)
	s.podDeleted(t, "balance")
	s.podDeleted(t, "gateway")
	s.podKilled(t, "balance", noFailures)
	s.podKilled(t, "gateway", someFailures)
	s.nodeDrained(t)
	s.nodeLost(t, "node lost", "The power of a node is cut: its kubelet, containerd and pods are gone at once, and nobody says so. Later it is switched on again.", "off", "up")
	s.nodeLost(t, "node cut off", "The network cable of a node is pulled: its pods go on, reach nobody, and do not know that they are replaced. Later it is plugged in again.", "cut", "heal")
	s.scaled(t)
	s.databaseAway(t)
	s.redisAway(t)
	s.wrongConfiguration(t)
	s.secretRotated(t)
	s.uninstalled(t)
	s.report.complete = len(s.report.outcomes) == scenarios
}

// scenarios is how many there are: a report tells of all of them.
const scenarios = 15

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

func (s *suite) podDeleted(t *testing.T, component string) {
	s.scenario(t, component+" pod deleted", "`kubectl delete pod`, of one that serves.", noFailures, func(t *testing.T, o *outcome) {
		victim := s.pod(t, component)
		began := time.Now()
		s.kubectl(t, "delete", "pod", victim.Name, "--wait=false")
		eventually(t, 3*time.Minute, "the pod gone", func(ctx context.Context) error { return s.gone(ctx, victim) })
		s.awaitSettled(t, 3*time.Minute)
		o.took("another one ready, the old one gone", began)
	})
}

// gone reports whether a pod is no longer there.
func (s *suite) gone(ctx context.Context, victim corev1.Pod) error {
	_, err := s.CoreV1().Pods(namespace).Get(ctx, victim.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return errors.Join(err, errors.New(victim.Name+" is still there"))
}

func (s *suite) podKilled(t *testing.T, component string, expected expectation) {
	s.scenario(t, component+" pod killed", "`kill -9` of the process, on its node.", expected, func(t *testing.T, o *outcome) {
		victim := s.pod(t, component)
		before := s.restarts(t)[victim.Name]
		process := s.process(t, victim)
		s.busy(t)
		began := time.Now()
		s.node(t, "exec", victim.Spec.NodeName, "kill", "-9", process)
		s.flowing(t, 2*pace)
		s.load.flatOut.Store(false)
		eventually(t, 2*time.Minute, "the container started again", func(context.Context) error {
			if n := s.restarts(t)[victim.Name]; n == before {
				return fmt.Errorf("%d restarts", n)
			}
			return nil
		})
		s.awaitSettled(t, 2*time.Minute)
		o.took("ready again", began)
		if _, failures := s.load.counts(); failures > 4*workers {
			t.Errorf("%d requests failed for the end of one process", failures)
		}
	})
}

// process returns the number of a pod's process on its node.
func (s *suite) process(t *testing.T, p corev1.Pod) string {
	t.Helper()
	id := strings.TrimPrefix(p.Status.ContainerStatuses[0].ContainerID, "containerd://")
	for line := range strings.Lines(s.node(t, "exec", p.Spec.NodeName, "ctr", "-n", "k8s.io", "tasks", "list")) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == id {
			return fields[1]
		}
	}
	t.Fatalf("no process of %s on %s", p.Name, p.Spec.NodeName)
	return ""
}

// occupied returns a node, not that of the load, with pods of both components, or with any.
func (s *suite) occupied(t *testing.T) string {
	t.Helper()
	pods, err := s.pods(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	components := map[string]map[string]bool{}
	for _, p := range pods {
		if name := p.Spec.NodeName; name != vantage {
			if components[name] == nil {
				components[name] = map[string]bool{}
			}
			components[name][p.Labels["app.kubernetes.io/component"]] = true
		}
	}
	best := ""
	for name, c := range components {
		if best == "" || len(c) > len(components[best]) {
			best = name
		}
	}
	if best == "" {
		t.Fatalf("all pods are on %s: they should be spread", vantage)
	}
	return best
}

func (s *suite) on(ctx context.Context, node string) (names []string, err error) {
	pods, err := s.pods(ctx, "")
	for _, p := range pods {
		if p.Spec.NodeName == node {
			names = append(names, p.Name)
		}
	}
	return names, err
}

func (s *suite) nodeDrained(t *testing.T) {
	s.scenario(t, "node drained", "`kubectl drain`, and `kubectl uncordon` after it; before it, two balance pods are evicted at once.", noFailures, func(t *testing.T, o *outcome) {
		s.budgetHolds(t, o)
		s.awaitSettled(t, 2*time.Minute)
		node := s.occupied(t)
		leaving, err := s.on(t.Context(), node)
		if err != nil {
			t.Fatal(err)
		}
		least := s.watchReady(t)
		began := time.Now()
		s.kubectl(t, "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=240s")
		o.took("drained", began)
		s.awaitSettled(t, 2*time.Minute)
		for name, short := range least() {
			if short > 1 {
				t.Errorf("%s: %d replicas were missing at a time; the budget allows 1", name, short)
			}
		}
		if left, err := s.on(t.Context(), node); err != nil || len(left) > 0 {
			t.Errorf("still on %s: %v %v", node, left, err)
		}
		s.kubectl(t, "uncordon", node)
		o.note("%d pods left the node; never more than one of a Deployment was missing", len(leaving))
	})
}

// budgetHolds evicts two balance pods at once, of which the PodDisruptionBudget refuses one.
func (s *suite) budgetHolds(t *testing.T, o *outcome) {
	t.Helper()
	pods, err := s.pods(t.Context(), "balance")
	if err != nil || len(pods) < 2 {
		t.Fatalf("%d pods: %v", len(pods), err)
	}
	evict := func(p corev1.Pod) error {
		return s.PolicyV1().Evictions(namespace).Evict(t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: p.Name, Namespace: namespace}})
	}
	if err := evict(pods[0]); err != nil {
		t.Fatalf("the first eviction: %v", err)
	}
	err = evict(pods[1])
	if !apierrors.IsTooManyRequests(err) {
		t.Fatalf("the second eviction should be refused: %v", err)
	}
	o.note("the second of two evictions at once was refused: %v", err)
}

// watchReady looks, until the function that it returns is called, how many ready replicas each Deployment lacks at most.
func (s *suite) watchReady(t *testing.T) func() map[string]int32 {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan map[string]int32, 1)
	go func() {
		most := map[string]int32{}
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			deployments, err := s.deployments(ctx)
			if err == nil {
				for _, d := range deployments {
					most[d.Name] = max(most[d.Name], *d.Spec.Replicas-d.Status.ReadyReplicas)
				}
			}
			select {
			case <-ctx.Done():
				result <- most
				return
			case <-tick.C:
			}
		}
	}()
	return func() map[string]int32 { cancel(); return <-result }
}

func (s *suite) nodeLost(t *testing.T, name, did, off, on string) {
	s.scenario(t, name, did, someFailures, func(t *testing.T, o *outcome) {
		node := s.occupied(t)
		lost, err := s.on(t.Context(), node)
		if err != nil {
			t.Fatal(err)
		}
		s.busy(t)
		began := time.Now()
		s.node(t, off, node)
		eventually(t, 3*time.Minute, "the node not ready", func(ctx context.Context) error { return s.nodeReady(ctx, node, false) })
		o.took("the node declared not ready", began)
		s.load.flatOut.Store(false)
		eventually(t, 3*time.Minute, "all replicas ready elsewhere", func(ctx context.Context) error { return s.readyElsewhere(ctx, node) })
		o.took("all replicas ready elsewhere", began)
		s.flowing(t, pace)
		_, failures := s.load.counts()
		if failures > 8*workers { // each may wait in vain a few times until the node is known to be gone
			t.Errorf("%d requests failed for the loss of one node", failures)
		}
		back := time.Now()
		s.node(t, on, node)
		eventually(t, 2*time.Minute, "the node ready", func(ctx context.Context) error { return s.nodeReady(ctx, node, true) })
		o.took("the node ready again after its return", back)
		o.note("%d pods were on the node: %s", len(lost), strings.Join(componentsOf(lost), ", "))
	})
}

func componentsOf(names []string) []string {
	var all []string
	for _, n := range names {
		all = append(all, madeUp.FindStringSubmatch(n)[1])
	}
	slices.Sort(all)
	return all
}

func (s *suite) nodeReady(ctx context.Context, name string, want bool) error {
	n, err := s.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady && (c.Status == corev1.ConditionTrue) == want {
			return nil
		}
	}
	return fmt.Errorf("%s: ready is not yet %t", name, want)
}

// readyElsewhere reports whether every Deployment has all its replicas ready on other nodes.
func (s *suite) readyElsewhere(ctx context.Context, node string) error {
	deployments, err := s.deployments(ctx)
	if err != nil {
		return err
	}
	for _, d := range deployments {
		pods, err := s.pods(ctx, d.Labels["app.kubernetes.io/component"])
		if err != nil {
			return err
		}
		n := int32(0)
		for _, p := range pods {
			if p.Spec.NodeName != node && ready(p) {
				n++
			}
		}
		if n < *d.Spec.Replicas {
			return fmt.Errorf("%s: %d of %d ready on other nodes", d.Name, n, *d.Spec.Replicas)
		}
	}
	return nil
}

func (s *suite) scaled(t *testing.T) {
	s.scenario(t, "autoscaler", "The load runs as fast as it can until there are more pods, and at its usual pace after that.", noFailures, func(t *testing.T, o *outcome) {
		scaler := func(ctx context.Context) (least, now int32, err error) {
			h, err := s.AutoscalingV2().HorizontalPodAutoscalers(namespace).Get(ctx, release+"-balance", metav1.GetOptions{})
			if err != nil {
				return 0, 0, err
			}
			d, err := s.AppsV1().Deployments(namespace).Get(ctx, release+"-balance", metav1.GetOptions{})
			if err != nil {
				return 0, 0, err
			}
			return *h.Spec.MinReplicas, d.Status.ReadyReplicas, nil
		}
		// Pods that earlier scenarios left behind are gone first.
		eventually(t, 5*time.Minute, "the least replicas", func(ctx context.Context) error {
			least, now, err := scaler(ctx)
			if err == nil && now != least {
				err = fmt.Errorf("%d ready, %d wanted", now, least)
			}
			return err
		})
		began := time.Now()
		s.load.flatOut.Store(true)
		most := int32(0)
		eventually(t, 3*time.Minute, "more replicas", func(ctx context.Context) error {
			least, now, err := scaler(ctx)
			if most = max(most, now); err == nil && now <= least {
				err = fmt.Errorf("%d ready", now)
			}
			return err
		})
		o.took("more balance pods ready", began)
		s.flowing(t, pace)
		s.load.flatOut.Store(false)
		calm := time.Now()
		eventually(t, 6*time.Minute, "the least replicas again", func(ctx context.Context) error {
			least, now, err := scaler(ctx)
			if most = max(most, now); err == nil && now != least {
				err = fmt.Errorf("%d ready", now)
			}
			return err
		})
		o.took("as few as before, after the load", calm)
		o.note("at most %d balance pods were ready at a time", most)
	})
}

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
		if s.allReady(t.Context(), "gateway", false) == nil {
			o.note("no gateway was ready either while no balance pod was: Kubernetes refused new connections; what came over open ones was answered with 503")
		}
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
