package chart

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/prometheus/promql/parser"
)

// TestQueriesAskForWhatThereIs parses every expression of the alerts and of the
// dashboard, and looks for its metrics and labels in what the program serves.
func TestQueriesAskForWhatThereIs(t *testing.T) {
	served := map[string][]string{"up": nil}
	instance := ""
	maps.Copy(served, scrape(t, func(url string) {
		instance = url
		account := `{"number":"%","currency":"EUR","overdraft":"unlimited"}`
		for _, number := range []string{"a", "b"} {
			fetch(t, http.MethodPost, url+"/v1/accounts", strings.Replace(account, "%", number, 1))
		}
		fetch(t, http.MethodPost, url+"/v1/transactions",
			`{"id":"1","source":"a","destination":"b","amount":"1.00","timestamp":"2026-01-01T00:00:00Z"}`)
		maps.Copy(served, scrape(t, func(gateway string) {
			fetch(t, http.MethodGet, gateway+"/v1/accounts/a", "")
		}, "gateway", "--listen=127.0.0.1:0", "--discover=static:"+strings.TrimPrefix(url, "http://"), "--log-format=json"))
	}, "serve", "--listen=127.0.0.1:0", "--log-format=json"))
	if instance == "" {
		t.Fatal("nothing was served")
	}
	declared := declaredMetrics(t)
	for where, expression := range expressions(t) {
		parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expression)
		if err != nil {
			t.Errorf("%s: %v in %s", where, err, expression)
			continue
		}
		parser.Inspect(parsed, func(n parser.Node, _ []parser.Node) error {
			if selector, ok := n.(*parser.VectorSelector); ok {
				checkSelector(t, where, selector, served, declared)
			}
			return nil
		})
	}
}

// targetLabels are those that scraping adds.
var targetLabels = []string{"__name__", "namespace", "job", "pod"}

func checkSelector(t *testing.T, where string, selector *parser.VectorSelector, served map[string][]string, declared map[string]bool) {
	t.Helper()
	has, ok := served[selector.Name]
	if !ok && !declared[regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(selector.Name, "")] {
		t.Errorf("%s: there is no metric %s", where, selector.Name)
	}
	for _, matcher := range selector.LabelMatchers {
		if ok && !slices.Contains(targetLabels, matcher.Name) && !slices.Contains(has, matcher.Name) {
			t.Errorf("%s: %s has no label %s, but %v", where, selector.Name, matcher.Name, has)
		}
	}
}

// declaredMetrics are the names in the program's source: some are served only once
// something happened, or where Redis is used.
func declaredMetrics(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, pattern := range []string{"cmd/rbcs/*.go", "internal/*/*.go"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, match := range regexp.MustCompile(`"(rbcs_[a-z_]+)"`).FindAllStringSubmatch(string(text), -1) {
				names[match[1]] = true
			}
		}
	}
	if len(names) < 20 {
		t.Fatalf("only %d metrics were found", len(names))
	}
	return names
}

// expressions returns every PromQL expression that the chart renders, by its place.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	values := valuesOf(t, scenarios["all"]...)
	values["monitoring"].(map[string]any)["prometheusRule"].(map[string]any)["disabled"] = []any{}
	r, err := render(load(t), values)
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range decodeAs[*monitoring.PrometheusRule](t, r.find(t, "PrometheusRule", "ledger")).Spec.Groups[0].Rules {
		all["alert "+rule.Alert] = rule.Expr.String()
		if rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" || rule.Labels["severity"] == "" {
			t.Errorf("alert %s does not say what to do", rule.Alert)
		}
		if strings.Contains(rule.Expr.String(), "$") {
			t.Errorf("alert %s: %s", rule.Alert, rule.Expr.String())
		}
	}
	if len(all) < 15 {
		t.Errorf("only %d alerts", len(all))
	}
	text, err := os.ReadFile(filepath.Join(chartDir, "files", "dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, panel := range dashboard.Panels {
		for i, target := range panel.Targets {
			all["panel "+panel.Title+string(rune('A'+i))] = strings.NewReplacer("$namespace", "bank", "$release", "ledger").Replace(target.Expr)
		}
	}
	return all
}
