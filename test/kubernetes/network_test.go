//go:build kubernetes

package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// networkPolicies checks what the chart's NetworkPolicies let through and what not. What they refuse is seen to be let
// through without them: otherwise nothing might be listening there.
func (s *suite) networkPolicies(t *testing.T) {
	s.scenario(t, "network policies", "Connections are tried from pods of the release and one with the labels of its migration, from pods that have nothing to do with it, and from namespace `monitoring`: as the chart is delivered, with the policies deleted, and with `networkPolicy.clients` set by `helm upgrade`.", noFailures, func(t *testing.T, o *outcome) {
		v := s.visitors(t)
		s.migrationPolicy(t)
		allowed, refused := s.expect(t, v, asDelivered)
		tag := "image.tag=" + s.tag(t)
		began := time.Now()
		s.kubectl(t, "delete", "networkpolicies", "--all")
		s.expect(t, v, withoutPolicies)
		o.took("everything let through after the policies were deleted", began)
		o.note("%d connections were let through and %d refused; these, too, were let through while the policies were deleted", allowed, refused)
		s.upgrade(t, tag, "networkPolicy.clients[0].ipBlock.cidr="+s.lan+".0/24") // the load's: it comes from a node
		s.migrationPolicy(t)
		began = time.Now()
		_, more := s.expect(t, v, clientsNamed)
		o.took("enforced after `helm upgrade` created them again", began)
		o.note("with `networkPolicy.clients` set, %d were refused: the strangers' to the gateways too, and not those of the load and the monitoring", more)
		s.helm(t, "test", release, "--timeout", "1m")
		o.note("`helm test` passed then")
		s.upgrade(t, tag)
		s.migrationPolicy(t)
		s.expect(t, v, asDelivered)
	})
}

// migrationPolicy creates the migration's NetworkPolicy, as the release has it, for a visitor with the labels of its
// pod: the hook itself is gone when the upgrade is done. That the migration reaches its database, every upgrade shows.
func (s *suite) migrationPolicy(t *testing.T) {
	t.Helper()
	hooks := s.helm(t, "get", "hooks", release)
	for hook := range strings.SplitSeq("\n"+hooks, "\n---\n") {
		if !strings.Contains(hook, "\nkind: NetworkPolicy\n") {
			continue
		}
		file := filepath.Join(s.run, "migration-policy.yaml")
		if err := os.WriteFile(file, []byte(hook), 0o600); err != nil {
			t.Fatal(err)
		}
		s.kubectl(t, "apply", "-f", file)
		t.Cleanup(func() { s.afterwards(t, "delete", "-f", file, "--ignore-not-found") })
		return
	}
	t.Fatalf("the migration has no NetworkPolicy:\n%s", hooks)
}

// tag returns the version that is installed.
func (s *suite) tag(t *testing.T) string {
	t.Helper()
	image := s.pod(t, "balance").Spec.Containers[0].Image
	return image[strings.LastIndex(image, ":")+1:]
}

// visitors are pods that are not the release's.
type visitors struct {
	strangers []corev1.Pod // one in a namespace of its own, one in the release's
	monitor   corev1.Pod   // in the namespace that may scrape
	migration corev1.Pod   // with the labels of the migration's
}

// visitors starts them on one node, where there is a balance pod too: connections within a node and between nodes
// take different ways.
func (s *suite) visitors(t *testing.T) visitors {
	t.Helper()
	node := s.pod(t, "balance").Spec.NodeName
	for _, name := range []string{"stranger", "monitoring"} {
		s.kubectl(t, "delete", "namespace", name, "--ignore-not-found", "--timeout=1m") // an interrupted run's
		s.kubectl(t, "create", "namespace", name)
		t.Cleanup(func() { s.afterwards(t, "delete", "namespace", name) })
	}
	t.Cleanup(func() { s.afterwards(t, "delete", "pod", "visitor", "migrator", "--ignore-not-found") })
	start := func(in, name string, labels map[string]string) (p corev1.Pod) {
		pods := s.CoreV1().Pods(in)
		if _, err := pods.Create(t.Context(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
			Spec: corev1.PodSpec{
				NodeName:                      node,
				TerminationGracePeriodSeconds: new(int64),
				Containers:                    []corev1.Container{{Name: "pause", Image: "docker.io/local/pause:1", ImagePullPolicy: corev1.PullNever}},
			},
		}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		eventually(t, time.Minute, "the pod in "+in+" ready", func(ctx context.Context) error {
			found, err := pods.Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if p = *found; !ready(p) {
				return fmt.Errorf("it is %s", p.Status.Phase)
			}
			return nil
		})
		return p
	}
	migration := map[string]string{"app.kubernetes.io/name": "rbcs", "app.kubernetes.io/instance": release, "app.kubernetes.io/component": "migration"}
	return visitors{
		strangers: []corev1.Pod{start("stranger", "visitor", nil), start(namespace, "visitor", nil)},
		monitor:   start("monitoring", "visitor", nil),
		migration: start(namespace, "migrator", migration),
	}
}

// afterwards runs kubectl when the test has ended.
func (s *suite) afterwards(t *testing.T, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	if _, err := s.try(ctx, filepath.Join(s.bin, "kubectl"), append([]string{"-n", namespace}, args...)...); err != nil {
		t.Error(err)
	}
}

// regime is which policies there are.
type regime int

const (
	withoutPolicies regime = iota
	asDelivered            // everybody may call the gateways
	clientsNamed           // the strangers are not among them
)

// attempts are connections from one pod.
type attempts struct {
	from             corev1.Pod
	allowed, refused []string // "tcp/ADDRESS:PORT", or "dns/ADDRESS:PORT" for a question by UDP
}

// attempts lists what is tried under a regime.
func (s *suite) attempts(ctx context.Context, v visitors, r regime) ([]attempts, error) {
	services := map[string]string{}
	for name, in := range map[string]string{release: namespace, "kube-dns": "kube-system"} {
		service, err := s.CoreV1().Services(in).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		services[name] = fmt.Sprintf("%s:%d", service.Spec.ClusterIP, service.Spec.Ports[0].Port)
	}
	balances, err := s.pods(ctx, "balance")
	if err != nil {
		return nil, err
	}
	gateways, err := s.pods(ctx, "gateway")
	if err != nil {
		return nil, err
	}
	var (
		dns       = []string{"tcp/" + services["kube-dns"], "dns/" + services["kube-dns"]}
		databases = []string{"tcp/" + s.postgres.address(), "tcp/" + s.redis.address()}
		elsewhere = []string{"tcp/" + s.lan + ".1:6443"} // the apiserver, at the databases' address
		front     = append(addresses(gateways), "tcp/"+services[release])
		all       = []attempts{{v.monitor, slices.Concat(addresses(balances), front), nil}}
	)
	for _, p := range v.strangers {
		if r == clientsNamed {
			all = append(all, attempts{p, nil, slices.Concat(addresses(balances), front)})
		} else {
			all = append(all, attempts{p, front, addresses(balances)})
		}
	}
	all = append(all, attempts{v.migration, slices.Concat(dns, databases), slices.Concat(elsewhere, front, addresses(balances))})
	for _, p := range balances {
		all = append(all, attempts{p, slices.Concat(dns, databases), slices.Concat(elsewhere, front, addresses(balances, p.Name))})
	}
	for _, p := range gateways {
		// Not to each other: they must not, but kube-router lets a pod send what the same policy lets it receive.
		all = append(all, attempts{p, slices.Concat(dns, addresses(balances)), slices.Concat(elsewhere, databases)})
	}
	if r == withoutPolicies {
		for i, a := range all {
			all[i].allowed, all[i].refused = slices.Concat(a.allowed, a.refused), nil
		}
	}
	return all, nil
}

// addresses returns where pods listen, but for those of some names.
func addresses(pods []corev1.Pod, except ...string) (all []string) {
	for _, p := range pods {
		if !slices.Contains(except, p.Name) {
			all = append(all, fmt.Sprintf("tcp/%s:%d", p.Status.PodIP, p.Spec.Containers[0].Ports[0].ContainerPort))
		}
	}
	return all
}

// expect waits until every attempt under a regime ends as it should, and returns how many there were. What a change of
// policies or pods needs to reach the nodes is a matter of a second.
func (s *suite) expect(t *testing.T, v visitors, r regime) (allowed, refused int) {
	t.Helper()
	eventually(t, time.Minute, "connections let through and refused as they should be", func(ctx context.Context) error {
		all, err := s.attempts(ctx, v, r)
		if err != nil {
			return err
		}
		allowed, refused = 0, 0
		var faults []error
		for _, a := range all {
			allowed, refused = allowed+len(a.allowed), refused+len(a.refused)
			answers, err := s.answers(ctx, t, a.from, slices.Concat(a.allowed, a.refused))
			if err != nil {
				return err
			}
			who := a.from.Namespace + "/" + a.from.Name
			for _, to := range a.allowed {
				if answers[to] != reached {
					faults = append(faults, fmt.Errorf("from %s to %s: %q", who, to, answers[to]))
				}
			}
			for _, to := range a.refused {
				if answers[to] == reached {
					faults = append(faults, fmt.Errorf("from %s to %s: let through", who, to))
				}
			}
		}
		return errors.Join(faults...)
	})
	return allowed, refused
}

// probeVar is set in the process that tries connections from the network of a pod; it says to where.
const (
	probeVar = "RBCS_KUBERNETES_PROBE"
	reached  = "reached"
)

// answers tries connections from the network of a pod and returns what came of each. The images have no shell, so this
// program runs there.
func (s *suite) answers(ctx context.Context, t *testing.T, from corev1.Pod, targets []string) (map[string]string, error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	out, err := s.try(ctx, script, "node", "exec", strings.TrimPrefix(from.Spec.NodeName, "n"),
		"nsenter", "-t", s.process(t, from), "-n", "--", "env", probeVar+"="+strings.Join(targets, ","), self)
	if err != nil {
		return nil, err
	}
	return pairs(out), nil
}

// probe tries connections and prints a line TARGET=OUTCOME for each.
func probe(targets []string) {
	var all sync.WaitGroup
	for _, target := range targets {
		all.Go(func() {
			outcome := reached
			if err := reach(target); err != nil {
				outcome = err.Error()
			}
			fmt.Printf("%s=%s\n", target, outcome)
		})
	}
	all.Wait()
}

// reach makes a connection, or asks a DNS server a question.
func reach(target string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	kind, address, _ := strings.Cut(target, "/")
	var dialer net.Dialer
	if kind == "dns" {
		resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "udp", address)
		}}
		_, err := resolver.LookupHost(ctx, "kubernetes.default.svc.cluster.local.")
		return err
	}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}
