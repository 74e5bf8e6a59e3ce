// Package crash tests the built binary as an operator meets it: killed at any
// moment, stopped under load, and run twice on one database. Everything is
// seen from outside, over HTTP and by the binary's own audit.
package crash

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary is the path of the program under test.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "rbcs-crash-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "rbcs")
	watchSources()
	code := 1
	if out, err := exec.Command("go", "build", "-o", binary, "rbcs/cmd/rbcs").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
	} else {
		code = m.Run()
	}
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// watchSources looks at every file that the binary is made of, which is how `go
// test` learns that a cached result is out of date when one of them changes.
func watchSources() {
	roots, err := filepath.Glob("../../*.go")
	if err != nil {
		panic(err)
	}
	for _, root := range append(roots, "../../go.mod", "../../client", "../../cmd", "../../internal") {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err == nil {
				_, err = os.Stat(path)
			}
			if errors.Is(err, fs.ErrNotExist) { // an editor's file that came and went
				return nil
			}
			return err
		})
		if err != nil {
			panic(err)
		}
	}
}

// startTimeout bounds the wait for a server, recovery of its database included.
const startTimeout = 20 * time.Second

// process is a running `rbcs serve`.
type process struct {
	url   string
	cmd   *exec.Cmd
	ended chan struct{} // closed after the process is gone and its log is read
	err   error         // how it ended; read it after ended
	log   syncBuffer
}

// serve starts the service and waits until it says where it serves.
func serve(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{
		cmd:   exec.Command(binary, append([]string{"serve"}, args...)...),
		ended: make(chan struct{}),
	}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.signal(t, syscall.SIGKILL)
		<-p.ended
		if t.Failed() {
			t.Logf("log of %s:\n%s", p.url, p.log.String())
		}
	})
	serving := make(chan string, 1)
	go func() {
		p.read(stderr, serving)
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	select {
	case p.url = <-serving:
	case <-p.ended:
		t.Fatalf("rbcs serve %s ended: %v\n%s", args, p.err, p.log.String())
	case <-time.After(startTimeout):
		t.Fatalf("rbcs serve %s does not serve after %s:\n%s", args, startTimeout, p.log.String())
	}
	return p
}

// read keeps the log, and sends the URL of the line that says where it serves.
func (p *process) read(stderr io.Reader, serving chan<- string) {
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		fmt.Fprintln(&p.log, lines.Text())
		var line struct {
			Msg, URL string
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
			serving <- line.URL
		}
	}
}

func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
}

// wait waits for the end of the process.
func (p *process) wait(t *testing.T) error {
	t.Helper()
	select {
	case <-p.ended:
		return p.err
	case <-time.After(startTimeout):
		t.Fatalf("the process did not end in %s", startTimeout)
		return nil
	}
}

// verify runs the audit, which must find nothing.
func verify(t *testing.T, store string) {
	t.Helper()
	out, err := exec.Command(binary, "verify", "--store", store).CombinedOutput()
	if err != nil {
		t.Errorf("rbcs verify: %v\n%s", err, out)
	}
	t.Logf("%s", bytes.TrimSpace(out))
}

// client has a connection for every worker, and is patient: a request that is
// never answered fails a test.
var client = &http.Client{
	Timeout:   startTimeout,
	Transport: &http.Transport{MaxIdleConnsPerHost: 64},
}

// answer is what the service said.
type answer struct {
	status int
	body   []byte
	replay bool
}

// post sends a JSON body. Its error means that there was no answer.
func post(url, body string) (answer, error) {
	response, err := client.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	return read(response)
}

// get returns what is at an address, which must be there.
func get(t *testing.T, url string, into any) {
	t.Helper()
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	a, err := read(response)
	if err != nil || a.status != http.StatusOK {
		t.Fatalf("GET %s: %d %s %v", url, a.status, a.body, err)
	}
	if err := json.Unmarshal(a.body, into); err != nil {
		t.Fatalf("GET %s: %v in %s", url, err, a.body)
	}
}

func read(response *http.Response) (answer, error) {
	body, err := io.ReadAll(response.Body)
	if closeErr := response.Body.Close(); err == nil {
		err = closeErr
	}
	return answer{response.StatusCode, body, response.Header.Get("Idempotent-Replayed") == "true"}, err
}

// syncBuffer is a buffer that is read while it is written.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
