//go:build kubernetes

package kubernetes

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

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
