package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// result is what one command line printed and returned.
type result struct {
	code           int
	stdout, stderr string
}

// run runs a command line in this process.
func run(t *testing.T, args ...string) result {
	t.Helper()
	return runWith(t, "", args...)
}

// runWith runs a command line with a standard input.
func runWith(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	m := Main{Stdin: strings.NewReader(stdin), Stdout: &stdout, Stderr: &stderr}
	code := m.Run(t.Context(), args)
	return result{code, stdout.String(), stderr.String()}
}

// check fails the test unless the command ended as expected, with an error
// line that holds every one of the words.
func (r result) check(t *testing.T, code int, words ...string) {
	t.Helper()
	if r.code != code {
		t.Fatalf("exit code %d, want %d\nstdout: %s\nstderr: %s", r.code, code, r.stdout, r.stderr)
	}
	for _, word := range words {
		if !strings.Contains(r.stderr, word) {
			t.Errorf("the error does not say %q: %s", word, r.stderr)
		}
	}
	if code != exitDone && (!strings.HasPrefix(r.stderr, "rbcs: ") || strings.Count(r.stderr, "\n") != 1) {
		t.Errorf("an error is one line that begins with rbcs: , not %q", r.stderr)
	}
}

func TestWrongUsage(t *testing.T) {
	for name, test := range map[string]struct {
		args  []string
		words []string
	}{
		"a sign":          {[]string{"tx", "submit", "a", "b", "-1.50"}, []string{"an amount has no sign", "rbcs tx submit --help"}},
		"a sign, no zero": {[]string{"tx", "capture", "a", "-.5"}, []string{"an amount has no sign"}},
		"no amount":       {[]string{"verify", "-1"}, []string{"unknown flag -1"}},
		"no such flag":    {[]string{"tx", "submit", "a", "b", "1", "-x"}, []string{"unknown flag -x"}},
		"unknown command": {[]string{"serv"}, []string{"serv", "serve"}},
		"unknown flag":    {[]string{"serve", "--nosuch"}, []string{"--nosuch", "rbcs serve --help"}},
		"unknown status":  {[]string{"account", "list", "--status", "forzen"}, []string{`"frozen_outgoing","closed" but got "forzen"`}},
		"unknown store":   {[]string{"verify", "--store", "mysql://h/d"}, []string{"--store", "mysql://h/d", "sqlite:FILE"}},
		"secret in store": {[]string{"verify", "--store", "mysql://u:geheim@h/d"}, []string{"mysql://u:xxxxx@h/d"}},
		"@ in password":   {[]string{"verify", "--store", "postgres://u:geheim@x@h/d"}, []string{"%40"}},
		"no file":         {[]string{"verify", "--store", "sqlite:"}, []string{"sqlite:FILE"}},
		"empty argument":  {[]string{"account", "get", ""}, []string{"the argument <number> is empty", "rbcs account get --help"}},
		"empty amount":    {[]string{"tx", "capture", "h", ""}, []string{"the argument <amount> is empty"}},
		"empty ID":        {[]string{"tx", "submit", "a", "b", "1", "--id", ""}, []string{"--id is empty"}},
		"missing config":  {[]string{"serve", "--config", "nosuch.yaml"}, []string{"--config", "nosuch.yaml"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, test.args...)
			r.check(t, exitUsage, test.words...)
			if strings.Contains(r.stderr, "geheim") {
				t.Error("a password is printed")
			}
		})
	}
}

// TestNoCommand: the help is shown, and where nobody takes it for a result.
func TestNoCommand(t *testing.T) {
	for command, usage := range map[string]string{"": "Usage: rbcs <command>", "tx": "Usage: rbcs tx <command>"} {
		r := run(t, strings.Fields(command)...)
		if r.code != exitUsage || r.stdout != "" || !strings.HasPrefix(r.stderr, usage) || r.stderr != run(t, append(strings.Fields(command), "--help")...).stdout {
			t.Errorf("rbcs %s: exit code %d, it says %s%s", command, r.code, r.stdout, r.stderr)
		}
	}
}

func TestConfigFileIsRefusedWhole(t *testing.T) {
	for content, word := range map[string]string{
		"nosuch: 1":                    "line 1: there is no flag --nosuch",
		"serve:\n  nosuch: 1":          "line 2: there is no flag --nosuch",
		"nosuch: {a: 1}":               `there is no command "nosuch"`,
		"serve: {listen: [[1]]}":       "plain values only",
		"- a list":                     "YAML",
		"store: sqlite:a\nstore: b":    "already defined",
		"serve: {max-batch: many}":     "line 1, key serve.max-batch: expected a valid",
		"max-batch: many":              "line 1, key max-batch: expected a valid",
		"serve:\n  log-level: loud":    `line 2, key serve.log-level: "loud" is none of debug,info,warn,error`,
		"max-batch: 1\n---\nstore: x":  "more than one YAML document",
		"serve: {store: 'mysql://h/'}": "sqlite:FILE",
		"serve:\n  store:\n":           "line 2, key store: it has no value",
		"store: ~":                     "line 1, key store: it has no value",
		"config: other.yaml":           "line 1: --config is for the command line only",
		"help: true":                   "--help is for the command line only",
	} {
		t.Run(content, func(t *testing.T) {
			run(t, "serve", "--config", writeFile(t, content)).check(t, exitUsage, word)
		})
	}
}

// verifyError says which store the command meant: none of them exists.
func verifyError(t *testing.T, args ...string) string {
	t.Helper()
	r := run(t, append([]string{"verify"}, args...)...)
	r.check(t, exitFailed)
	return r.stderr
}

func TestWhereFlagsComeFrom(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return "sqlite:" + filepath.Join(dir, name) }
	general := writeFile(t, "store: "+file("general")+"\n")
	both := writeFile(t, "store: "+file("general")+"\nverify:\n  store: "+file("own")+"\n")
	for _, test := range []struct {
		name, env, want string
		args            []string
	}{
		{"default", "", "rbcs.db", nil},
		{"file", "", "general", []string{"--config", general}},
		{"section", "", "own", []string{"--config", both}},
		{"environment", file("env"), "env", []string{"--config", both}},
		{"command line", file("env"), "flag", []string{"--config", both, "--store", file("flag")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if test.env != "" {
				t.Setenv("RBCS_STORE", test.env)
			}
			if got := verifyError(t, test.args...); !strings.Contains(got, test.want) {
				t.Errorf("got %q, want the store %s", got, test.want)
			}
		})
	}
	t.Run("empty section", func(t *testing.T) {
		if got := verifyError(t, "--config", writeFile(t, "serve:\n  # all is commented out\nstore: "+file("general")+"\n")); !strings.Contains(got, "general") {
			t.Errorf("got %q, want the store general", got)
		}
	})
	t.Run("file of the environment", func(t *testing.T) {
		t.Setenv("RBCS_CONFIG", both)
		if got := verifyError(t); !strings.Contains(got, "own") {
			t.Errorf("got %q, want the store of the file", got)
		}
	})
}

// TestUnknownVariables: a misspelt one is told, those that a cluster sets are not.
func TestUnknownVariables(t *testing.T) {
	for _, name := range []string{"RBCS_STOER", "RBCS_CONFIGFILE", "RBCS_PORT_8080_TCP", "RBCS_SERVICE_HOST", "RBCS_BENCH_JSON", "RBCS_SERVICE_ROLE", "OTHER"} {
		t.Setenv(name, "")
	}
	want := "warning: no flag is called like the environment's RBCS_CONFIGFILE, RBCS_STOER: ignored\n"
	if r := run(t, "--version"); r.code != exitDone || r.stderr != want {
		t.Errorf("exit code %d, got %q", r.code, r.stderr)
	}
}

// fullDisk fails every write behind the first ones.
type fullDisk struct{ room int }

func (f *fullDisk) Write(b []byte) (int, error) {
	if f.room -= len(b); f.room < 0 {
		return 0, syscall.ENOSPC
	}
	return len(b), nil
}

// TestOutputThatIsLost: whoever redirects an answer to a full disk is not told that all went well.
func TestOutputThatIsLost(t *testing.T) {
	store := string(sqliteStore(t))
	run(t, "migrate", "--store", store).check(t, exitDone)
	for _, args := range [][]string{{"verify"}, {"verify", "--json"}, {"migrate"}, {"import", writeFile(t, strings.SplitAfter(broken, "\n")[0])}} {
		for _, room := range []int{0, 5} {
			var stderr bytes.Buffer
			m := Main{Stdin: strings.NewReader(""), Stdout: &fullDisk{room}, Stderr: &stderr}
			code := m.Run(t.Context(), append(args, "--store", store))
			if code != exitFailed || !strings.Contains(stderr.String(), "no space left on device") {
				t.Errorf("%s: exit code %d: %s", args, code, stderr.String())
			}
		}
	}
}

func TestVersion(t *testing.T) {
	r := run(t, "--version")
	r.check(t, exitDone)
	if !strings.HasPrefix(r.stdout, "rbcs ") {
		t.Errorf("got %q", r.stdout)
	}
}

func TestRedact(t *testing.T) {
	for text, want := range map[string]string{
		"postgres://u:p%40ss@h:5432/d?sslmode=disable": "postgres://u:xxxxx@h:5432/d?sslmode=disable",
		"cannot open postgres://u:a/b@c@h/d":           "cannot open postgres://u:xxxxx@h/d",
		"postgres://u@h/d":                             "postgres://u@h/d",
		"postgres://h/d?user=u&password=p&x=1":         "postgres://h/d?user=u&password=xxxxx&x=1",
		"host=h password='a b' user=u":                 "host=h password=xxxxx user=u",
		"http://127.0.0.1:8080/a":                      "http://127.0.0.1:8080/a",
	} {
		if got := redact(text); got != want {
			t.Errorf("redact(%q) = %q, want %q", text, got, want)
		}
	}
}

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
