package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"rbcs"
)

// TestImportHasOneTarget: what is typed wins over a variable or the
// configuration, and two targets are wrong usage.
func TestImportHasOneTarget(t *testing.T) {
	url, store := "http://127.0.0.1:1", "sqlite:nosuch/rbcs.db"
	run(t, "import", "--url", url, "--store", store, "-").check(t, exitUsage, "--url and --store exclude each other")
	config := writeFile(t, "import: {retry-for: 1ms, url: '"+url+"'}")
	line := `{"number":"a","currency":"USD"}`
	for _, test := range []struct {
		name, want string
		env        [2]string
		args       []string
	}{
		{"variable of the other", "nosuch/rbcs.db", [2]string{"RBCS_URL", url}, []string{"--store", store}},
		{"store in a variable", "127.0.0.1:1", [2]string{"RBCS_STORE", store}, []string{"--url", url, "--retry-for", "1ms"}},
		{"configuration", "nosuch/rbcs.db", [2]string{"RBCS_CONFIG", config}, []string{"--store", store}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv(test.env[0], test.env[1])
			args := append([]string{"import", "-"}, test.args...)
			runWith(t, line, args...).check(t, exitFailed, test.want)
		})
	}
}

// TestImportProgress: what was only read is not done.
func TestImportProgress(t *testing.T) {
	name := writeFile(t, strings.Repeat(`{"number":"a","currency":"USD"}`+"\n", 1000))
	files, err := openImports([]string{name}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer files.close()
	batches := make(chan *importBatch, 10)
	if err := files.read(t.Context(), 100, batches); err != nil {
		t.Fatal(err)
	}
	if got := files.fraction(); got != 0 {
		t.Errorf("all is read and nothing imported, and %g is done", got)
	}
	for n := range 10 {
		files.imported.Store((<-batches).read)
		if got, want := files.fraction(), float64(n+1)/10; got != want {
			t.Errorf("%g is done after %d of 10 batches, not %g", got, n+1, want)
		}
	}
}

// TestImportOfTheDemoInterrupted: nobody is told to go on with a folder that is gone.
func TestImportOfTheDemoInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var stderr strings.Builder
	imports := ImportCmd{Files: []string{"-"}, Store: sqliteStore(t), Batch: 1, RetryFor: time.Second, unrepeatable: true}
	cancel()
	r, w := io.Pipe()
	defer func() { _ = w.Close() }() // ends the reader
	err := imports.Run(ctx, &Main{Stdin: r, Stdout: io.Discard, Stderr: &stderr})
	if !errors.Is(err, context.Canceled) || strings.Contains(stderr.String(), "again") {
		t.Errorf("%v; it says %q", err, stderr.String())
	}
}

func TestCodeOnce(t *testing.T) {
	for message, want := range map[string]string{
		"--store x: unavailable: opening: unavailable: closed": "--store x: unavailable: opening: closed",
		"unavailable: closed": "unavailable: closed",
		"closed":              "closed",
	} {
		if got := codeOnce(message, rbcs.Unavailable); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
