package chart

import (
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// TestAlertsSeeTheFirst: the series of a counter with labels of its own begins, at one, when
// something happens for the first time, and an increase from nothing is none. So an alert on
// a single event also asks for the series that did not exist before.
func TestAlertsSeeTheFirst(t *testing.T) {
	n := 0
	for where, expression := range expressions(t) {
		if !strings.HasPrefix(where, "alert ") {
			continue
		}
		parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expression)
		if err != nil {
			t.Fatal(err)
		}
		increases, begins := "", ""
		parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
			switch node := node.(type) {
			case *parser.Call:
				if node.Func.Name == "increase" {
					increases = selected(node.Args[0].(*parser.MatrixSelector).VectorSelector)
				}
			case *parser.BinaryExpr:
				if now, ok := node.LHS.(*parser.VectorSelector); ok && node.Op == parser.LUNLESS && selected(now) == selected(node.RHS) {
					begins = selected(now)
				}
			}
			return nil
		})
		if !strings.Contains(increases, "status=") && !strings.Contains(increases, "code=") {
			continue // there from the start
		}
		if n++; begins != increases {
			t.Errorf("%s does not see the first: %s", where, expression)
		}
	}
	if n < 2 {
		t.Errorf("only %d alerts are on single events", n)
	}
}

// selected returns what a selector asks for, without its offset.
func selected(e parser.Expr) string {
	selector, ok := e.(*parser.VectorSelector)
	if !ok {
		return ""
	}
	var all []string
	for _, m := range selector.LabelMatchers {
		if m.Name != labels.MetricName {
			all = append(all, m.String())
		}
	}
	return selector.Name + strings.Join(all, ",")
}
