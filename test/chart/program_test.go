package chart

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// program builds the binary once.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "rbcs-chart")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "rbcs")
	build := exec.Command("go", "build", "-o", binary, "./cmd/rbcs")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return binary, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if binary, err := program(); err == nil {
		_ = os.RemoveAll(filepath.Dir(binary))
	}
	os.Exit(code)
}

func built(t *testing.T) string {
	t.Helper()
	binary, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// ours returns the containers of the program in what was rendered.
func ours(t *testing.T, r release) (containers []corev1.Container) {
	for _, o := range r.objects {
		pod := podOf(decode(t, o))
		if pod == nil {
			continue
		}
		for _, c := range pod.Spec.Containers {
			if !strings.Contains(c.Image, "/library/") {
				containers = append(containers, c)
			}
		}
	}
	return containers
}

// TestTheProgramTakesTheFlags: every command, flag and variable in the chart exists,
// and every flag with a value of few takes it.
func TestTheProgramTakesTheFlags(t *testing.T) {
	help := map[string]string{}
	eachScenario(t, func(t *testing.T, r release) {
		for _, c := range ours(t, r) {
			command := c.Args[0]
			if _, ok := help[command]; !ok {
				out, err := exec.Command(built(t), command, "--help").CombinedOutput()
				if err != nil {
					t.Fatalf("rbcs %s: %v: %s", command, err, out)
				}
				help[command] = string(out)
			}
			for _, a := range c.Args[1:] {
				name, _, _ := strings.Cut(a, "=")
				if !strings.HasPrefix(name, "--") || !regexp.MustCompile(regexp.QuoteMeta(name)+`[\s=]`).MatchString(help[command]) {
					t.Errorf("rbcs %s has no flag %s", command, name)
				}
			}
			for _, e := range c.Env {
				if strings.HasPrefix(e.Name, "RBCS_") && !strings.Contains(help[command], "$"+e.Name+")") {
					t.Errorf("rbcs %s has no variable %s", command, e.Name)
				}
			}
		}
	})
	if len(help) != 4 { // serve, gateway, migrate, balances
		t.Errorf("commands in the chart: %d", len(help))
	}
}

// TestTheProgramTakesTheValues: what the instances are started with passes the
// checks of the command line. They end since the store does not answer.
func TestTheProgramTakesTheValues(t *testing.T) {
	eachScenario(t, func(t *testing.T, r release) {
		for _, c := range ours(t, r) {
			if c.Args[0] != "serve" {
				continue
			}
			args := slices.DeleteFunc(slices.Clone(c.Args), func(a string) bool { return a == "--migrate" })
			for i := range args {
				args[i] = strings.Replace(args[i], "=:8080", "=127.0.0.1:0", 1)
				args[i] = strings.Replace(args[i], "/etc/rbcs/store/password", "/dev/null", 1)
				args[i] = strings.Replace(args[i], ":6060", ":0", 1)
			}
			run := exec.Command(built(t), args...)
			store := "postgres://rbcs@127.0.0.1:1/rbcs?connect_timeout=1&sslmode=require"
			run.Env = append(os.Environ(), "RBCS_STORE="+store, "AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=none", "AWS_SECRET_ACCESS_KEY=none",
				"GOOGLE_APPLICATION_CREDENTIALS=/dev/null")
			out, err := run.CombinedOutput()
			if code := run.ProcessState.ExitCode(); err == nil || code != 1 {
				t.Errorf("rbcs %v ended with %d: %s", args, code, out)
			}
		}
	})
}

// scrape starts the program, lets it answer a few requests, and returns its metrics
// with their labels.
func scrape(t *testing.T, use func(url string), args ...string) map[string][]string {
	t.Helper()
	run := exec.Command(built(t), args...)
	run.Dir = t.TempDir()
	stderr, err := run.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = run.Process.Signal(syscall.SIGTERM)
		_ = run.Wait()
	})
	url := listens(t, stderr)
	use(url)
	body := fetch(t, http.MethodGet, url+"/metrics", "")
	metrics := map[string][]string{}
	for line := range strings.Lines(body) {
		series := line[:max(0, strings.LastIndexByte(line, ' '))]
		name, labels, _ := strings.Cut(series, "{")
		if strings.HasPrefix(line, "#") || name == "" {
			continue
		}
		for _, match := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(labels, -1) {
			metrics[name] = append(metrics[name], match[1])
		}
		metrics[name] = append(metrics[name], "")
	}
	return metrics
}

// listens returns the address that the program logs.
func listens(t *testing.T, stderr io.Reader) string {
	t.Helper()
	found := make(chan string, 1)
	go func() {
		var seen bytes.Buffer
		lines := bufio.NewScanner(io.TeeReader(stderr, &seen))
		for lines.Scan() {
			if match := regexp.MustCompile(`"url":"(http://[^"]+)"`).FindStringSubmatch(lines.Text()); match != nil {
				found <- match[1]
				_, _ = io.Copy(io.Discard, stderr)
				return
			}
		}
		found <- "it ended: " + seen.String()
	}()
	select {
	case url := <-found:
		if !strings.HasPrefix(url, "http") {
			t.Fatal(url)
		}
		return url
	case <-time.After(time.Minute):
		t.Fatal("it does not say where it listens")
	}
	return ""
}

func fetch(t *testing.T, method, url, body string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
