package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

var update = flag.Bool("update", false, "write the golden files")

// commands calls visit with every command, named as it is typed.
func commands(t *testing.T, visit func(words []string, node *kong.Node)) {
	t.Helper()
	parser, err := kong.New(&cli{}, kong.DefaultEnvars("RBCS"), kong.Vars{"version": ""})
	if err != nil {
		t.Fatal(err)
	}
	var walk func(words []string, node *kong.Node)
	walk = func(words []string, node *kong.Node) {
		visit(words, node)
		for _, child := range node.Children {
			walk(append(words[:len(words):len(words)], child.Name), child)
		}
	}
	walk(nil, parser.Model.Node)
}

// TestHelpIsGolden shows in review how the help of every command changes.
func TestHelpIsGolden(t *testing.T) {
	t.Setenv("COLUMNS", "80")
	var all strings.Builder
	commands(t, func(words []string, _ *kong.Node) {
		r := run(t, append(words, "--help")...)
		r.check(t, exitDone)
		all.WriteString("$ " + strings.Join(append(append([]string{"rbcs"}, words...), "--help"), " ") + "\n" + r.stdout + "\n")
	})
	golden := filepath.Join("testdata", "help.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(all.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if all.String() != string(want) {
		t.Errorf("the help has changed; go test -run Golden ./cmd/rbcs -update writes %s", golden)
	}
}

func TestHelpIsComplete(t *testing.T) {
	commands(t, func(words []string, node *kong.Node) {
		name := strings.Join(words, " ")
		if node.Help == "" && len(words) > 0 {
			t.Errorf("rbcs %s has no help", name)
		}
		if node.Leaf() && !strings.Contains(node.Detail, "Example") {
			t.Errorf("the help of rbcs %s has no example", name)
		}
		for _, f := range node.Flags {
			switch {
			case f.Help == "":
				t.Errorf("rbcs %s --%s has no help", name, f.Name)
			case len(f.Envs) == 0 && f.Name != "help" && f.Name != "version":
				t.Errorf("rbcs %s --%s has no environment variable", name, f.Name)
			}
		}
	})
}
