//go:build kubernetes

package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

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
