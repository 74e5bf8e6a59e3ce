//go:build kubernetes

package kubernetes

import (
	"context"
	"fmt"
	"testing"
	"time"

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
	s.networkPolicies(t)
	s.uninstalled(t)
	s.report.complete = len(s.report.outcomes) == scenarios
}

// scenarios is how many there are: a report tells of all of them.
const scenarios = 16

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
