// Package test holds the tests of the project as a whole.
package test

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestReadmeTour runs the commands of the README's tour against the real binary
// and compares what they print. "…" in the README stands for anything.
func TestReadmeTour(t *testing.T) {
	raw, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, tour, found := strings.Cut(string(raw), "<!-- tour:")
	tour, _, ended := strings.Cut(tour, "<!-- end of tour -->")
	if !found || !ended {
		t.Fatal("README.md has no tour between its two comments")
	}
	address := serve(t)
	commands := 0
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(tour, -1) {
		for _, step := range strings.Split("\n"+block[1], "\n$ ")[1:] {
			command, want, _ := strings.Cut(step, "\n")
			commands++
			command = strings.ReplaceAll(command, "127.0.0.1:8080", address)
			out, err := exec.CommandContext(t.Context(), "bash", "-c", command).CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %v\n%s", command, err, out)
			}
			if !matches(string(out), want) {
				t.Errorf("%s\nprinted %s\nREADME  %s", command, out, want)
			}
		}
	}
	if commands < 7 {
		t.Errorf("the tour has %d commands; were they found?", commands)
	}
}

// matches reports whether the output is what the README says.
func matches(got, want string) bool {
	parts := strings.Split(strings.TrimSpace(want), "…")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile("(?s)^" + strings.Join(parts, ".*") + "$").MatchString(strings.TrimSpace(got))
}

// serve builds and starts the binary as the README says, on a free port and in
// an empty folder, and returns its address.
func serve(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "rbcs")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../cmd/rbcs").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	service := exec.Command(binary, "serve", "--listen", address)
	service.Dir, service.Stderr = dir, &log
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = service.Process.Signal(syscall.SIGTERM)
		if err := service.Wait(); err != nil {
			t.Errorf("serve: %v\n%s", err, &log)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			_ = conn.Close()
			return address
		}
		if ctx.Err() != nil {
			t.Fatalf("the service did not start: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
