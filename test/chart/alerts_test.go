package chart

import (
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// TestAlertsSeeTheFirst: an increase from nothing is none. So what an alert on single events
// counts must be there, at zero, before something happens for the first time.
func TestAlertsSeeTheFirst(t *testing.T) {
	var fresh string
	scrape(t, func(url string) { fresh = fetch(t, http.MethodGet, url+"/metrics", "") }, "serve", "--listen=127.0.0.1:0", "--log-format=json")
	n := 0
	for where, expression := range expressions(t) {
		if !strings.HasPrefix(where, "alert ") {
			continue
		}
		parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expression)
		if err != nil {
			t.Fatal(err)
		}
		parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
			call, ok := node.(*parser.Call)
			if !ok || call.Func.Name != "increase" {
				return nil
			}
			selector := call.Args[0].(*parser.MatrixSelector).VectorSelector.(*parser.VectorSelector)
			if own := ownLabels(selector); len(own) > 0 {
				if n++; !isServed(fresh, selector.Name, own) {
					t.Errorf("%s does not see the first: nothing is served for %s", where, selector)
				}
			}
			return nil
		})
	}
	if n < 2 {
		t.Errorf("only %d alerts are on single events", n)
	}
}

// ownLabels returns what a selector asks of the labels that the program itself writes.
func ownLabels(s *parser.VectorSelector) (own []string) {
	for _, m := range s.LabelMatchers {
		if (m.Name == "status" || m.Name == "code" || m.Name == "outcome") && m.Type == labels.MatchEqual {
			own = append(own, m.Name+`="`+m.Value+`"`)
		}
	}
	return own
}

// isServed reports whether there is a series with the name and all of the labels.
func isServed(metrics, name string, with []string) bool {
	for line := range strings.Lines(metrics) {
		found := strings.HasPrefix(line, name+"{")
		for _, label := range with {
			found = found && strings.Contains(line, label)
		}
		if found {
			return true
		}
	}
	return false
}
