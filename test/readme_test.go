// Package test holds the tests of the project as a whole.
package test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"rbcs/internal/testenv"
	"rbcs/internal/webhook"
)

// TestReadmeTour runs the commands of the README's tour against the real binary
// and compares what they print. "…" in the README stands for anything.
func TestReadmeTour(t *testing.T) {
	_, tour, found := strings.Cut(readFile(t, "../README.md"), "<!-- tour:")
	tour, _, ended := strings.Cut(tour, "<!-- end of tour -->")
	if !found || !ended {
		t.Fatal("README.md has no tour between its two comments")
	}
	if commands := runConsole(t, tour); commands < 7 {
		t.Errorf("the tour has %d commands; were they found?", commands)
	}
}

// TestLifePage does the same with docs/life.md.
func TestLifePage(t *testing.T) {
	if commands := runConsole(t, readFile(t, "../docs/life.md")); commands < 30 {
		t.Errorf("the page has %d commands; were they found?", commands)
	}
}

// TestLifePageVerifies runs the receiver's function of docs/life.md on signatures of the service.
func TestLifePageVerifies(t *testing.T) {
	block := regexp.MustCompile("(?s)```go\n(.*?)```").FindStringSubmatch(readFile(t, "../docs/life.md"))
	if block == nil {
		t.Fatal("docs/life.md has no Go")
	}
	const body = `{"type":"transaction.posted"}`
	program := `package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

` + block[1] + `
func main() {
	h := http.Header{}
	h.Set("webhook-id", "wh_1_1-42")
	h.Set("webhook-timestamp", os.Args[2])
	h.Set("webhook-signature", "v1,bm90aGluZw== "+os.Args[3])
	fmt.Print(verify(os.Args[1], h, []byte(os.Args[4])))
}
`
	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	binary := strings.TrimSuffix(file, ".go")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, file).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	secret, now := webhook.NewSecret(), time.Now()
	old := now.Add(-10 * time.Minute)
	for _, c := range []struct {
		secret, body string
		signed       time.Time
		want         string
	}{
		{secret, body, now, "true"},
		{secret, body + " ", now, "false"},
		{webhook.NewSecret(), body, now, "false"},
		{secret, body, old, "false"},
	} {
		signature, err := webhook.Sign(secret, "wh_1_1-42", c.signed, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), binary, c.secret, strconv.FormatInt(c.signed.Unix(), 10), signature, c.body).CombinedOutput()
		if err != nil || string(out) != c.want {
			t.Errorf("%+v: %s, %v", c, out, err)
		}
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// runConsole runs the commands of all console blocks in their order, against a
// service of their own, and returns how many there are. A line that begins with
// "> " continues a command.
func runConsole(t *testing.T, page string) (commands int) {
	t.Helper()
	folder := t.TempDir()
	binary, address := serve(t, folder)
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(page, -1) {
		for _, step := range strings.Split("\n"+block[1], "\n$ ")[1:] {
			command, want, _ := strings.Cut(step, "\n")
			for strings.HasPrefix(want, "> ") {
				line, rest, _ := strings.Cut(want, "\n")
				command, want = command+"\n"+line[2:], rest
			}
			commands++
			run := exec.CommandContext(t.Context(), "bash", "-c", strings.ReplaceAll(command, "127.0.0.1:8080", address))
			run.Dir = folder
			run.Env = append(os.Environ(), "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"), "RBCS_URL=http://"+address)
			out, err := run.CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %v\n%s", command, err, out)
			}
			if !matches(string(out), want) {
				t.Errorf("%s\nprinted %s\nand not %s", command, out, want)
			}
		}
	}
	return commands
}

// matches reports whether the output is what the page says.
func matches(got, want string) bool {
	parts := strings.Split(strings.TrimSpace(want), "…")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile("(?s)^" + strings.Join(parts, ".*") + "$").MatchString(strings.TrimSpace(got))
}

// serve builds the binary, starts it in the folder as the README says, but on a
// free port, and returns where the binary is and its address.
func serve(t *testing.T, folder string) (binary, address string) {
	t.Helper()
	binary, err := testenv.Program()
	if err != nil {
		t.Fatal(err)
	}
	service := exec.Command(binary, "serve", "--listen", "127.0.0.1:0")
	service.Dir = folder
	p, err := testenv.StartProcess(service, new(testenv.Log))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if code, err := p.End(syscall.SIGTERM); err != nil || code != 0 {
			t.Errorf("serve: %d, %v\n%s", code, err, p.Log)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := p.Await(ctx); err != nil {
		t.Fatal(err)
	}
	return binary, testenv.HostOf(p.URL)
}
