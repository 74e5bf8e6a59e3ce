package chart

import (
	"fmt"
	"slices"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common/util"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"
)

// options are values that change what is rendered, one at a time.
var options = []string{
	"gateway: {enabled: false}",
	"gateway: {autoscaling: {enabled: false}, disruptionBudget: {enabled: false}, serviceAccount: {create: false}, behindProxy: true}",
	"balance: {autoscaling: {enabled: false}, replicas: 1, disruptionBudget: {maxUnavailable: 50%}}",
	"balance: {autoscaling: {cpuPercent: 0, pendingTransactions: 1000000, commitLatencySeconds: 0.25}}",
	"balance: {autoscaling: {cpuPercent: 150, minReplicas: 1, maxReplicas: 1, extraMetrics: [{type: External, external: {metric: {name: a}, target: {type: Value, value: '1'}}}]}}",
	"balance: {resources: {limits: {cpu: null, memory: 805306368}}}",
	"balance: {resources: {limits: {memory: null}}}",
	"balance: {serviceAccount: {create: false, name: mine}, podLabels: {team: a}}",
	"commonLabels: {team: b}",
	"migration: {enabled: false}",
	"migration: {serviceAccount: {create: false}, database: {auth: gcp}}",
	"networkPolicy: {enabled: false}",
	"networkPolicy: {monitoring: [], egressPorts: []}",
	"networkPolicy: {clients: [{podSelector: {}}], extraEgress: [{ports: [{port: 80}]}]}",
	"ingress: {enabled: true, hosts: [{}, {host: a.example.com, paths: [{path: /v1}, {path: /x, pathType: Exact}]}], tls: [{hosts: [a.example.com]}]}",
	"httpRoute: {enabled: true, parentRefs: [{name: a, namespace: b}]}",
	"service: {type: LoadBalancer, nodePort: 30080, port: 8080, trafficDistribution: PreferClose}",
	"monitoring: {serviceMonitor: {enabled: true}}",
	"monitoring: {prometheusRule: {enabled: true}, dashboard: {enabled: true}}",
	"tryout: {redis: {enabled: true}}",
	"trustedCAs: [{secret: a}]",
	"imagePullSecrets: [{name: a}]",
}

// TestEveryPairOfOptions renders every option with every other one: what comes out is
// decoded strictly, each object once, and the memory limit of Go is never nothing.
func TestEveryPairOfOptions(t *testing.T) {
	c := load(t)
	for i, first := range options {
		for _, second := range options[i:] {
			values := map[string]any{"database": map[string]any{"url": "postgres://rbcs@db/rbcs", "passwordSecret": map[string]any{"name": "store"}}}
			for _, option := range []string{first, second} {
				var more map[string]any
				if err := yaml.Unmarshal([]byte(option), &more); err != nil {
					t.Fatal(err)
				}
				values = util.MergeTables(more, values)
			}
			r, err := render(c, values)
			if err != nil {
				t.Errorf("%s, %s: %v", first, second, err)
				continue
			}
			if err := sound(r); err != nil {
				t.Errorf("%s, %s: %v", first, second, err)
			}
		}
	}
}

func sound(r release) error {
	seen := map[string]bool{}
	for _, o := range r.objects {
		if seen[o.String()] {
			return fmt.Errorf("two of %s", o)
		}
		seen[o.String()] = true
		decoded, _, err := decoder.Decode([]byte(o.yaml), nil, nil)
		if err != nil {
			return fmt.Errorf("%s: %w in\n%s", o, err, o.yaml)
		}
		if pod := podOf(decoded); pod != nil {
			if err := soundPod(pod.Spec); err != nil {
				return fmt.Errorf("%s: %w", o, err)
			}
		}
		if d, ok := decoded.(*appsv1.Deployment); ok {
			if scaled := slices.ContainsFunc(r.objects, func(o object) bool {
				return o.Kind == "HorizontalPodAutoscaler" && o.Metadata.Name == d.Name
			}); scaled == (d.Spec.Replicas != nil) && d.Name != "rbcs-tryout-redis" {
				return fmt.Errorf("%s: it has a number of replicas and an autoscaler, or neither", o)
			}
		}
	}
	return nil
}

func soundPod(spec corev1.PodSpec) error {
	for _, container := range spec.Containers {
		limit, limited := container.Resources.Limits[corev1.ResourceMemory]
		given := env(container, "GOMEMLIMIT")
		if given == nil {
			if limited && container.Image == "rbcs:0.1.0" && container.Name != "test" {
				return fmt.Errorf("no GOMEMLIMIT")
			}
			continue
		}
		if told := resource.MustParse(given.Value); told.Value() < limit.Value()*89/100 || !limited {
			return fmt.Errorf("GOMEMLIMIT is %s with a limit of %s", given.Value, &limit)
		}
	}
	return nil
}
