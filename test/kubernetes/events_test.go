//go:build kubernetes

package kubernetes

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// words says in words what an event with a reason means; %d is how often. Reasons that are not here say nothing that
// these do not.
var words = []struct{ reason, words string }{
	{"Scheduled", "%d pods placed"},
	{"FailedScheduling", "%d times no node had room for a pod"},
	{"Started", "%d containers started"},
	{"Killing", "%d containers told to stop"},
	{"Unhealthy", "%d probes failed"},
	{"BackOff", "%d times a start was delayed after failures"},
	{"NodeNotReady", "%d times a node or a pod on it was declared not ready"},
	{"TaintManagerEviction", "%d pods marked to leave a node"},
	{"NodeNotSchedulable", "%d nodes closed for new pods"},
	{"NodeSchedulable", "%d nodes opened for new pods"},
	{"Evicted", "%d pods evicted"},
	{"FailedMount", "%d mounts failed"},
	{"FailedGetResourceMetric", "%d times the autoscaler had no figures"},
}

// told lists the events that are quoted as they are.
var told = []string{"SuccessfulRescale"}

// madeUp matches the names that Kubernetes makes for pods.
var madeUp = regexp.MustCompile(`(rbcs-(?:balance|gateway))-[a-z0-9]+(?:-[a-z0-9]{5})?\b`)

// history is what Kubernetes reported until now about the release and the nodes: how often each event, by its name.
type history map[string]int32

func (c *cluster) history(t *testing.T) (history, []corev1.Event) {
	t.Helper()
	counts := history{}
	var all []corev1.Event
	for _, where := range []string{namespace, metav1.NamespaceDefault} { // nodes have their events in the latter
		list, err := c.CoreV1().Events(where).List(context.WithoutCancel(t.Context()), metav1.ListOptions{})
		if err != nil {
			t.Logf("events: %v", err)
			continue
		}
		for _, e := range list.Items {
			counts[e.Name] = times(e)
		}
		all = append(all, list.Items...)
	}
	return counts, all
}

// happened returns in words what Kubernetes reported since then.
func (c *cluster) happened(t *testing.T, before history) []string {
	t.Helper()
	counts := map[string]int32{}
	var quotes []string
	_, events := c.history(t)
	for _, e := range events {
		n := times(e) - before[e.Name]
		counts[e.Reason] += n
		quote := e.InvolvedObject.Name + ": " + e.Message
		if n > 0 && slices.Contains(told, e.Reason) && !slices.Contains(quotes, quote) {
			quotes = append(quotes, quote)
		}
	}
	var all []string
	for _, w := range words {
		if n := counts[w.reason]; n > 0 {
			text := fmt.Sprintf(w.words, n)
			if n == 1 {
				text = one.Replace(text)
			}
			all = append(all, text)
		}
	}
	return append(all, quotes...)
}

var one = strings.NewReplacer("1 pods", "1 pod", "1 containers", "1 container", "1 probes", "1 probe",
	"1 nodes", "1 node", "1 times", "once", "1 mounts", "1 mount")

func times(e corev1.Event) int32 {
	n := max(e.Count, 1)
	if e.Series != nil {
		n = max(n, e.Series.Count)
	}
	return n
}
