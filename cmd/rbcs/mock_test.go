package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// mockData makes data in a folder of the test, which it returns.
func mockData(t *testing.T, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	r := run(t, append([]string{"mock", "--out", dir}, args...)...)
	r.check(t, exitDone)
	return dir
}

func readFile(t *testing.T, path ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// TestMockIsDeterministic: the same bytes again, in files as on standard output.
func TestMockIsDeterministic(t *testing.T) {
	args := []string{"--seed", "7", "--accounts", "50", "--transactions", "2000", "--shape", "zipf"}
	a, b := mockData(t, args...), mockData(t, args...)
	for _, name := range []string{"accounts.ndjson", "transactions.ndjson", "expected-balances.ndjson"} {
		if one := readFile(t, a, name); one != readFile(t, b, name) || strings.Count(one, "\n") < 50 {
			t.Errorf("%s is not the same again, or not whole", name)
		}
	}
	r := run(t, append([]string{"mock"}, args...)...)
	r.check(t, exitDone)
	if r.stdout != readFile(t, a, "accounts.ndjson")+readFile(t, a, "transactions.ndjson") {
		t.Error("standard output is not accounts and then transactions")
	}
	if entries, err := os.ReadDir(a); err != nil || len(entries) != 3 {
		t.Errorf("the folder has %v, %v", entries, err)
	}
}

func TestMockCurrencies(t *testing.T) {
	for _, test := range []struct{ currency, want string }{
		{"JPY", `"currency":"JPY","overdraft":"500"`},
		{"BTC=8", `"currency":"BTC","overdraft":"500.00000000"`},
	} {
		r := run(t, "mock", "--accounts", "50", "--transactions", "0", "--currency", test.currency)
		r.check(t, exitDone)
		if !strings.Contains(r.stdout, test.want) {
			t.Errorf("%s: %s", test.currency, r.stdout)
		}
	}
}

func TestMockRefuses(t *testing.T) {
	file := writeFile(t, "")
	for args, test := range map[string]struct {
		code int
		word string
	}{
		"--currency BTC":    {exitUsage, "write it with its decimals, such as BTC=8"},
		"--currency BTC=x":  {exitUsage, "BTC=8"},
		"--currency USD=3":  {exitUsage, "USD"},
		"--accounts 1":      {exitUsage, "accounts: 1 is outside"},
		"--shape square":    {exitUsage, "shape"},
		"--out " + file:     {exitFailed, "--out"},
		"--transactions -1": {exitUsage, "transactions"},
	} {
		run(t, append([]string{"mock"}, strings.Fields(args)...)...).check(t, test.code, test.word)
	}
}

// TestMockInterrupted: a file that has its name is whole.
func TestMockInterrupted(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m := Main{Stdout: io.Discard, Stderr: io.Discard}
	if code := m.Run(ctx, []string{"mock", "--out", dir}); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("it left %v, %v", entries, err)
	}
}
