package chart

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// TestWrongValuesAreRefused, with a message that names what is wrong.
func TestWrongValuesAreRefused(t *testing.T) {
	const minimal = "database: {url: 'postgres://rbcs@db/rbcs'}\n"
	for _, wrong := range []struct {
		name, values string
		says         []string
	}{
		{"typo", minimal + "balance: {replicsa: 3}", []string{"balance", "replicsa"}},
		{"typo at the top", minimal + "databse: {}", []string{"databse"}},
		{"typo deep down", minimal + "gateway: {autoscaling: {scaleUp: {pod: 1}}}", []string{"gateway/autoscaling/scaleUp", "pod"}},
		{"type", minimal + "balance: {replicas: three}", []string{"balance/replicas", "integer"}},
		{"memory", minimal + "balance: {resources: {limits: {memory: 1GB}}}", []string{"memory"}},
		{"decimals", minimal + "currencies: {BTC: 19}", []string{"currencies/BTC", "18"}},
		{"a flag", minimal + "balance: {extraArgs: [serve]}", []string{"extraArgs"}},
		{"password in a URL", "database: {url: 'postgres://rbcs:secret@db/rbcs'}", []string{"database.url has a password"}},
		{"password as a parameter", "database: {url: 'postgres://rbcs@db/rbcs?password=secret'}", []string{"database.url has a password"}},
		{"another store", "database: {url: 'mysql://db'}", []string{"database/url"}},
		{"password of Redis", minimal + "redis: {url: 'redis://:secret@cache:6379'}", []string{"redis.url has a password"}},
		{"no database", "{}", []string{"database.url", "database.secret.name", "tryout.postgresql.enabled"}},
		{"two databases", minimal + "tryout: {postgresql: {enabled: true}}", []string{"two databases"}},
		{"two caches", minimal + "redis: {url: 'redis://cache'}\ntryout: {redis: {enabled: true}}", []string{"two caches"}},
		{"replicas", minimal + "balance: {autoscaling: {minReplicas: 11}}", []string{"minReplicas 11 is more than maxReplicas 10"}},
		{"route", minimal + "httpRoute: {enabled: true}", []string{"parentRefs"}},
		{"ingress", minimal + "ingress: {enabled: true}", []string{"ingress.hosts"}},
		{"nothing to scale by", minimal + "balance: {autoscaling: {cpuPercent: 0}}", []string{"balance.autoscaling", "nothing to scale by"}},
		{"a share of nothing", minimal + "gateway: {resources: {requests: {cpu: null}, limits: {cpu: null}}}", []string{"gateway.autoscaling.cpuPercent", "resources.requests.cpu"}},
		{"no quantity", minimal + "balance: {autoscaling: {commitLatencySeconds: 250ms}}", []string{"commitLatencySeconds", "250ms"}},
		{"a quantity of nothing", minimal + "balance: {autoscaling: {pendingTransactions: '0'}}", []string{"pendingTransactions"}},
		{"no surge", minimal + "gateway: {rollout: {maxSurge: 0%}}", []string{"maxSurge", "0%"}},
		{"no disruption", minimal + "balance: {disruptionBudget: {maxUnavailable: 0%}}", []string{"maxUnavailable", "0%"}},
		{"port of a node", minimal + "service: {nodePort: 30080}", []string{"service.nodePort", "service.type"}},
		{"distribution", minimal + "service: {trafficDistribution: Nearby}", []string{"trafficDistribution", "PreferClose"}},
		{"label of the chart", minimal + "commonLabels: {app.kubernetes.io/name: a}", []string{"commonLabels", "app.kubernetes.io/name", "sets itself"}},
		{"label of the pods", minimal + "gateway: {podLabels: {app.kubernetes.io/component: a}}", []string{"gateway.podLabels", "sets itself"}},
		{"no label", minimal + "commonLabels: {team: a b}", []string{"commonLabels/team"}},
		{"no name", minimal + "fullnameOverride: My_Bank", []string{"fullnameOverride", "My_Bank"}},
		{"no tag", minimal + "image: {tag: a b}", []string{"image/tag"}},
		{"no currency", minimal + "currencies: {btc: 8}", []string{"currencies", "btc"}},
		{"no interval", minimal + "monitoring: {serviceMonitor: {interval: often}}", []string{"interval", "often"}},
		{"no alert", minimal + "monitoring: {prometheusRule: {enabled: true, disabled: [RbcsNothing]}}", []string{"there is no alert RbcsNothing"}},
		{"no Gateway", minimal + "httpRoute: {enabled: true, parentRefs: [{nmae: a}]}", []string{"parentRefs", "nmae"}},
		{"a part taken away", minimal + "balance: {autoscaling: null}", []string{"balance", "missing property 'autoscaling'"}},
		{"authority", minimal + "trustedCAs: [{configmap: ca}]", []string{"trustedCAs"}},
	} {
		var values map[string]any
		if err := yaml.Unmarshal([]byte(wrong.values), &values); err != nil {
			t.Fatal(err)
		}
		_, err := render(load(t), values)
		for _, word := range wrong.says {
			if err == nil || !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %v does not say %q", wrong.name, err, word)
			}
		}
		if err != nil && strings.Contains(err.Error(), "=secret") || err != nil && strings.Contains(err.Error(), ":secret") {
			t.Errorf("%s: the password is printed: %v", wrong.name, err)
		}
	}
}

// TestGoodURLsAreTaken: the check of passwords refuses nothing else.
func TestGoodURLsAreTaken(t *testing.T) {
	for _, url := range []string{
		"postgres://rbcs@db/rbcs", "postgresql://rbcs@db:5432/rbcs?sslmode=verify-full&pool_max_conns=20",
		"postgres://rbcs%40project.iam@10.0.0.3:5432/rbcs?sslmode=require", "postgres://db/rbcs",
		"postgres://rbcs@a:5432,b:5432/rbcs?target_session_attrs=read-write",
	} {
		if _, err := render(load(t), map[string]any{"database": map[string]any{"url": url}}); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// TestEveryValueIsWrittenDown: what the schema takes stands in values.yaml with its default.
func TestEveryValueIsWrittenDown(t *testing.T) {
	var schema struct {
		node
		Defs map[string]node `json:"$defs"`
	}
	text, err := os.ReadFile(filepath.Join(chartDir, "values.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	var walk func(path string, n node, values any)
	walk = func(path string, n node, values any) {
		if name, ok := strings.CutPrefix(n.Ref, "#/$defs/"); ok {
			n = schema.Defs[name]
		}
		if path != "" && n.Type == "object" && n.Additional == nil && n.Properties == nil && path != ".global" && !strings.HasSuffix(path, ".affinity") {
			t.Errorf("%s: takes everything", path)
		}
		given, _ := values.(map[string]any)
		for key, child := range n.Properties {
			value, ok := given[key]
			if optional := strings.Contains(path, ".resources"); !ok && !optional {
				t.Errorf("values.yaml does not have %s.%s", path, key)
			} else if ok {
				walk(path+"."+key, child, value)
			}
		}
	}
	walk("", schema.node, any(load(t).Values))
}

// node is what is looked at in a schema.
type node struct {
	Ref        string          `json:"$ref"`
	Type       any             `json:"type"`
	Properties map[string]node `json:"properties"`
	Additional any             `json:"additionalProperties"`
}

// TestNoSecretIsRendered: passwords come from Secrets that exist; the chart makes
// none and writes none.
func TestNoSecretIsRendered(t *testing.T) {
	password := regexp.MustCompile(`://[^/?#@\s"]*:[^/?#@\s"]*@|(?i)(password|secret)["']?\s*[:=]\s*["']?[a-z0-9]{4,}`)
	comment := regexp.MustCompile(`(?m)(^| )#.*$`)
	eachScenario(t, func(t *testing.T, r release) {
		for _, o := range r.objects {
			if o.Kind == "Secret" {
				t.Errorf("there is a %s", o)
			}
			if found := password.FindString(comment.ReplaceAllString(o.yaml, "")); found != "" {
				t.Errorf("%s: %s", o, found)
			}
			pod := podOf(decode(t, o))
			if pod == nil {
				continue
			}
			for _, c := range pod.Spec.Containers {
				for _, e := range c.Env {
					if regexp.MustCompile(`(?i)passw|secret|token`).MatchString(e.Name) && e.Value != "" {
						t.Errorf("%s: %s is written down", o, e.Name)
					}
				}
			}
		}
	})
	if password.FindString("value: postgres://a:b@c/d") == "" || password.FindString(`password: "abcd"`) == "" {
		t.Error("the check finds nothing")
	}
}

// TestSecretsAreReferences follows the Secrets of two ways to give them into the pods.
func TestSecretsAreReferences(t *testing.T) {
	r, err := render(load(t), valuesOf(t, scenarios["eks"]...))
	if err != nil {
		t.Fatal(err)
	}
	balance := podOf(decode(t, r.find(t, "Deployment", "rbcs-balance"))).Spec.Containers[0]
	if from := env(balance, "RBCS_REDIS").ValueFrom.SecretKeyRef; from.Name != "rbcs-redis" || from.Key != "redis" {
		t.Errorf("RBCS_REDIS is from %v", from)
	}
	if arg(balance, "--store-auth") != "aws-rds" {
		t.Errorf("flags %v", balance.Args)
	}
	if r, err = render(load(t), valuesOf(t, scenarios["ack"]...)); err != nil {
		t.Fatal(err)
	}
	pod := podOf(decode(t, r.find(t, "Deployment", "rbcs-balance"))).Spec
	mounts := func(v corev1.Volume) bool { return v.Secret != nil && v.Secret.SecretName == "rbcs-store" }
	if arg(pod.Containers[0], "--store-password-file") != "/etc/rbcs/store/password" || !mounts(pod.Volumes[0]) {
		t.Errorf("flags %v, volumes %v", pod.Containers[0].Args, pod.Volumes)
	}
}

// TestDocumentsNameRealValues: every --set of this chart in the documents is a value
// of it, and every file of values that they name exists.
func TestDocumentsNameRealValues(t *testing.T) {
	files, err := filepath.Glob(root + "/docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	set := regexp.MustCompile(`--set(?:-string|-json)? '?([A-Za-z][\w.]*)`)
	named := regexp.MustCompile(`deploy/helm/rbcs[\w./-]*`)
	n := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for command := range strings.Lines(strings.ReplaceAll(string(text), "\\\n", " ")) {
			paths := named.FindAllString(command, -1)
			for _, path := range paths {
				if _, err := os.Stat(filepath.Join(root, strings.TrimRight(path, "."))); err != nil {
					t.Errorf("%s: %v", file, err)
				}
			}
			if len(paths) == 0 {
				continue // about another chart, or none
			}
			for _, match := range set.FindAllStringSubmatch(command, -1) {
				n++
				if err := has(load(t).Values, match[1]); err != nil {
					t.Errorf("%s: %v", file, err)
				}
			}
		}
	}
	if n < 4 {
		t.Errorf("only %d values are set in the documents", n)
	}
}

func has(values map[string]any, path string) error {
	key, rest, deeper := strings.Cut(path, ".")
	value, ok := values[key]
	if !ok {
		return fmt.Errorf("there is no value %s", key)
	}
	if child, isMap := value.(map[string]any); deeper && isMap && len(child) > 0 {
		return has(child, rest)
	}
	return nil
}
