package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// injected matches what Kubernetes and Docker set for a service called rbcs:
// addresses, and nobody's mistake.
var injected = regexp.MustCompile(`^RBCS_(SERVICE_(HOST|PORT)|PORT)(_|$)`)

// warnOfVariables says, on one line, which variables were probably meant for
// this program and are not: a misspelt one must not be ignored without a word.
func (m *Main) warnOfVariables(app *kong.Node) {
	known := variables(app)
	var unknown []string
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "RBCS_") && !injected.MatchString(name) && !slices.Contains(known, name) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		fmt.Fprintf(m.Stderr, "warning: no flag is called like the environment's %s: ignored\n", strings.Join(unknown, ", "))
	}
}

// variables returns the names of the variables of all flags of a command and those below it.
func variables(command *kong.Node) (names []string) {
	for _, flag := range command.Flags {
		names = append(names, flag.Envs...)
	}
	for _, child := range command.Children {
		names = append(names, variables(child)...)
	}
	return names
}
