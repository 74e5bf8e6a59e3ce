//go:build kubernetes

package kubernetes

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	namespace = "rbcs" // of the release
	release   = "rbcs"
	vantage   = "n1" // the node from whose network the load comes: it is never drained or lost
)

// cluster is the cluster that runs, seen by somebody who administers it.
type cluster struct {
	kubernetes.Interface
	bin      string            // kubectl, helm
	run      string            // its files
	lan      string            // the first three numbers of its network: the databases are at .1
	cache    string            // for what is built
	settings map[string]string // its timers
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	env, err := environment()
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(env["RUN"], "kubeconfig", "admin.conf"))
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1 // the suite polls; its errors should be those of the cluster
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	settings, err := os.ReadFile(filepath.Join(env["RUN"], "settings"))
	if err != nil {
		t.Fatal(err)
	}
	return &cluster{clients, env["BIN"], env["RUN"], env["LAN"], env["CACHE"], pairs(string(settings))}
}

// try runs a program and returns what it wrote.
func (c *cluster) try(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+filepath.Join(c.run, "kubeconfig", "admin.conf"),
		"HELM_CACHE_HOME="+c.run+"/helm", "HELM_CONFIG_HOME="+c.run+"/helm", "HELM_DATA_HOME="+c.run+"/helm")
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return string(out), err
}

func (c *cluster) must(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := c.try(t.Context(), name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (c *cluster) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	return c.must(t, filepath.Join(c.bin, "kubectl"), append([]string{"-n", namespace}, args...)...)
}

// helm runs helm on the release's namespace.
func (c *cluster) helm(t *testing.T, args ...string) string {
	t.Helper()
	return c.must(t, filepath.Join(c.bin, "helm"), append([]string{"-n", namespace}, args...)...)
}

// node does what cluster/cluster node does.
func (c *cluster) node(t *testing.T, what, name string, args ...string) string {
	t.Helper()
	return c.must(t, script, append([]string{"node", what, strings.TrimPrefix(name, "n")}, args...)...)
}

// pods returns the pods of a component of the release, or of all; those of the migration Job are not among them.
func (c *cluster) pods(ctx context.Context, component string) ([]corev1.Pod, error) {
	selector := "app.kubernetes.io/component in (balance, gateway)"
	if component != "" {
		selector = "app.kubernetes.io/component=" + component
	}
	list, err := c.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list.Items, func(p corev1.Pod) bool {
		return p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded
	}), nil
}

// pod returns a running pod of a component that is not on the vantage node where another one is.
func (c *cluster) pod(t *testing.T, component string) corev1.Pod {
	t.Helper()
	pods, err := c.pods(t.Context(), component)
	if err != nil || len(pods) == 0 {
		t.Fatalf("no pods of %s: %v", component, err)
	}
	for _, p := range pods {
		if p.Spec.NodeName != vantage && ready(p) {
			return p
		}
	}
	return pods[0]
}

func ready(p corev1.Pod) bool {
	for _, condition := range p.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue && p.DeletionTimestamp == nil
		}
	}
	return false
}

func (c *cluster) deployments(ctx context.Context) ([]appsv1.Deployment, error) {
	list, err := c.AppsV1().Deployments(namespace).List(ctx, metav1.ListOptions{})
	return list.Items, err
}

// settled reports whether everything of the release is as it should be: every replica that is wanted is up to date and
// ready, and none is left over.
func (c *cluster) settled(ctx context.Context) error {
	deployments, err := c.deployments(ctx)
	if err != nil {
		return err
	}
	if len(deployments) == 0 {
		return fmt.Errorf("nothing is installed")
	}
	wanted := 0
	for _, d := range deployments {
		s := d.Status
		n := *d.Spec.Replicas
		if s.ObservedGeneration < d.Generation || s.UpdatedReplicas != n || s.ReadyReplicas != n || s.AvailableReplicas != n || s.Replicas != n {
			return fmt.Errorf("%s: %d wanted, %d updated, %d ready, %d available, %d there", d.Name, n, s.UpdatedReplicas, s.ReadyReplicas, s.AvailableReplicas, s.Replicas)
		}
		wanted += int(n)
	}
	pods, err := c.pods(ctx, "")
	if err != nil {
		return err
	}
	if len(pods) != wanted {
		return fmt.Errorf("%d pods, %d wanted", len(pods), wanted)
	}
	return nil
}

// awaitSettled waits until settled holds.
func (c *cluster) awaitSettled(t *testing.T, limit time.Duration) {
	t.Helper()
	eventually(t, limit, "everything ready", c.settled)
}

// eventually polls until the condition holds.
func eventually(t *testing.T, limit time.Duration, what string, condition func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	last := error(nil)
	for {
		err := condition(ctx)
		if err == nil {
			return
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			t.Fatalf("not within %s: %s: %v", limit, what, last)
		case <-tick.C:
		}
	}
}

// restarts returns how often the containers of the release's pods were started again, by pod.
func (c *cluster) restarts(t *testing.T) map[string]int32 {
	t.Helper()
	pods, err := c.pods(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]int32{}
	for _, p := range pods {
		for _, s := range p.Status.ContainerStatuses {
			all[p.Name] += s.RestartCount
		}
	}
	return all
}
