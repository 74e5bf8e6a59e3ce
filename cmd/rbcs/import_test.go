package main

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"rbcs"
	"rbcs/client"
	"rbcs/internal/testenv"
)

// says checks the exit code and what was printed.
func (r result) says(t *testing.T, code int, words ...string) {
	t.Helper()
	if r.code != code {
		t.Fatalf("exit code %d, want %d\nstdout: %s\nstderr: %s", r.code, code, r.stdout, r.stderr)
	}
	all := strings.Join(strings.Fields(r.stdout+r.stderr), " ")
	for _, word := range words {
		if !strings.Contains(all, word) {
			t.Errorf("it does not say %q: %s", word, all)
		}
	}
}

// checkExpected compares every balance of a service with expected-balances.ndjson.
func checkExpected(t *testing.T, dir, url string) {
	t.Helper()
	api, err := client.New(url)
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	found := map[string]client.Account{}
	for a, err := range api.Accounts(t.Context(), client.AccountQuery{PageSize: 1000}) {
		if err != nil {
			t.Fatal(err)
		}
		found[a.Number] = a
	}
	expected := 0
	for line := range strings.Lines(readFile(t, dir, "expected-balances.ndjson")) {
		var e client.Account
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		expected++
		if a := found[e.Number]; a.Balance != e.Balance || a.Available != e.Available || a.Version != e.Version || a.Currency != e.Currency {
			t.Errorf("%s has %s at version %d, expected %s at %d", e.Number, a.Balance, a.Version, e.Balance, e.Version)
		}
	}
	if len(found) != expected {
		t.Errorf("there are %d accounts, expected %d", len(found), expected)
	}
}

func dataFiles(dir string) []string {
	return []string{filepath.Join(dir, "accounts.ndjson"), filepath.Join(dir, "transactions.ndjson")}
}

// TestImport: through a service and straight into both stores, every balance is
// what the mock data expects, and importing again changes nothing.
func TestImport(t *testing.T) {
	for _, shape := range []string{"uniform", "zipf", "hot"} {
		dir := mockData(t, "--seed", "7", "--accounts", "200", "--transactions", "6000", "--shape", shape)
		t.Run(shape+"/url", func(t *testing.T) {
			s := start(t, ServeCmd{})
			importTwice(t, dir, "--batch", "500", "--url", s.URL())
			checkExpected(t, dir, s.URL())
		})
		t.Run(shape+"/sqlite", func(t *testing.T) {
			store := sqliteStore(t)
			importTwice(t, dir, "--store", string(store))
			run(t, "verify", "--store", string(store)).check(t, exitDone)
			checkExpected(t, dir, start(t, ServeCmd{Store: store}).URL())
		})
		t.Run(shape+"/postgres", func(t *testing.T) {
			store := testenv.Postgres(t)
			run(t, "migrate", "--store", store).check(t, exitDone)
			importTwice(t, dir, "--store", store)
			checkExpected(t, dir, start(t, ServeCmd{Store: StoreName(store)}).URL())
		})
	}
}

func importTwice(t *testing.T, dir string, args ...string) {
	t.Helper()
	args = append(append([]string{"import"}, args...), dataFiles(dir)...)
	first := run(t, args...)
	first.says(t, exitDone, "6,200 lines", "accounts created 200", "posted 5,", "rejected", "insufficient_funds", "replayed")
	again := run(t, args...)
	again.says(t, exitDone, "accounts known 200", "replayed 6,000")
	for _, word := range []string{"posted", "rejected", "created"} {
		if strings.Contains(again.stdout, word) {
			t.Errorf("the second import has %s: %s", word, again.stdout)
		}
	}
}

func TestImportFormats(t *testing.T) {
	s := start(t, ServeCmd{})
	dir := t.TempDir()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := io.WriteString(w, "number;currency;overdraft;metadata\nbank;USD;unlimited;\"{\"\"a\"\": 1}\"\nalice;USD;1;\n"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	accounts := writeFile(t, packed.String())
	transactions := "id,source,destination,amount,currency,timestamp,description\n" +
		"t1,bank,alice,10,USD,2026-01-31T12:00:00Z,\"one, two\"\n"
	args := []string{"import", "--url", s.URL(), accounts, "-"}
	runWith(t, transactions, args...).says(t, exitDone, "accounts created 2", "posted 1")
	if got := s.ok(t, "tx", "get", "t1", "--json"); !strings.Contains(got, `"description":"one, two"`) {
		t.Errorf("got %s", got)
	}
	if got := s.ok(t, "account", "get", "bank", "--json"); !strings.Contains(got, `"metadata":{"a":1}`) || !strings.Contains(got, `"balance":"-10.00"`) {
		t.Errorf("got %s", got)
	}
	run(t, "import", filepath.Join(dir, "nosuch")).check(t, exitFailed, "nosuch")
	run(t, "import", dir).check(t, exitFailed, "not a file")
	run(t, "import", "--url", "nowhere", accounts).check(t, exitUsage, "--url")
	run(t, "import", "--batch", "0", accounts).check(t, exitUsage, "--batch")
	run(t, "import", "--retry-for", "0s", accounts).check(t, exitUsage, "--retry-for")
	store := string(sqliteStore(t))
	run(t, "import", "--store", store, "--currencies", "BTC=8", "-").check(t, exitDone)
	run(t, "import", "--store", store, "--currencies", "BTC=6", "-").check(t, exitFailed, "--currencies", "BTC")
	run(t, "import", "--errors", dir, accounts).check(t, exitFailed, "--errors")
	runWith(t, "id,color\n", args...).says(t, exitFailed, `stdin:1: column 2 is called "color"`, "repair the file first, and then run the same command again")
	cut := writeFile(t, packed.String()[:packed.Len()-12])
	run(t, "import", "--url", s.URL(), cut).says(t, exitFailed, cut+": it cannot be read", "unexpected EOF; repair the file first")
	run(t, "import", "--store", string(sqliteStore(t)), "--errors", "nosuch/x", accounts).says(t, exitFailed, "rbcs: --errors: open")
}

// TestImportKeepsItsFiles: the list of refused lines does not overwrite what is imported.
func TestImportKeepsItsFiles(t *testing.T) {
	file := writeFile(t, broken)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	for _, name := range []string{file, "-"} {
		var stderr bytes.Buffer
		m := Main{Stdin: in, Stdout: io.Discard, Stderr: &stderr}
		code := m.Run(t.Context(), []string{"import", "--store", string(sqliteStore(t)), "--errors", link, name})
		if code != exitUsage || !strings.Contains(stderr.String(), link+" is itself imported") {
			t.Errorf("%s: exit code %d: %s", name, code, stderr.String())
		}
	}
	if readFile(t, file) != broken {
		t.Error("the file was overwritten")
	}
}

// broken is a file with every way of going wrong, and what is said about each line.
const broken = `{"number":"bank","currency":"USD","overdraft":"unlimited"}
{"number":"alice","currency":"USD","overdraft":"0.001"}
{"number":"alice","currency":"XXY"}
{"number":"alice","currency":"USD"}
{"number":"alice","currency":"EUR"}
{"id":"t1","source":"bank","destination":"alice","amount":"10.00","timestamp":"2026-01-31T12:00:00Z"}
{"id":"t2","source":"bank","destination":"alice","amount":"-1","timestamp":"2026-01-31T12:00:00Z"}
nonsense
{"id":"t1","source":"bank","destination":"alice","amount":"11.00","timestamp":"2026-01-31T12:00:00Z"}
{"id":"t3","source":"bank","destination":"alice","amount":"1.234","timestamp":"2026-01-31T12:00:00Z"}
{"id":"t4","source":"bank","destination":"alice","amount":"1.00","currency":"XXY","timestamp":"2026-01-31T12:00:00Z"}

{"id":"t5","source":"alice","destination":"nobody","amount":"1.00","timestamp":"2026-01-31T12:00:00Z"}
{"id":"t6","source":"alice","destination":"bank","amount":"99.00","timestamp":"2026-01-31T12:00:00Z"}
{"id":"t1","source":"bank","destination":"alice","amount":"10","timestamp":"2026-01-31T12:00:00Z"}
{"id":"t7","source":"alice","destination":"bank","amount":"1.00","timestamp":"2026-01-31T12:00:00Z"}`

var brokenLines = []string{
	"2: overdraft: the amount has more decimals than its currency",
	`3: currency: the currency "XXY" is not known`,
	"5: ", // in the words of the store
	"7: amount: the amount has a sign",
	"8: it is not a JSON object",
	"9: the ID t1 is recorded with other content; amount: recorded as",
	"10: amount: the amount has more decimals than its currency",
	`11: currency: the currency "XXY" is not known`,
}

// TestImportOfABrokenFile: each bad line is named, each good one is imported.
func TestImportOfABrokenFile(t *testing.T) {
	for _, batch := range []string{"1", "3", "5000"} {
		for _, where := range []string{"--url", "--store"} {
			target := string(sqliteStore(t))
			if where == "--url" {
				target = start(t, ServeCmd{}).URL()
			}
			list := filepath.Join(t.TempDir(), "refused")
			file := writeFile(t, broken)
			r := run(t, "import", where, target, "--batch", batch, "--errors", list, file)
			r.says(t, exitFailed, "15 lines", "accounts created 2", "posted 2", "replayed 1", "rejected 2 (account_not_found 1, insufficient_funds 1)",
				"refused 8", "rbcs: 8 of 15 lines were refused")
			refused := readFile(t, list)
			for _, line := range brokenLines {
				if !strings.Contains(refused, file+":"+line) || !strings.Contains(r.stderr, file+":"+line) {
					t.Errorf("batch %s, %s: line %s is not reported in\n%s", batch, where, line, refused)
				}
			}
			numbers := regexp.MustCompile(`(?m):(\d+): `).FindAllStringSubmatch(refused, -1)
			if !slices.IsSortedFunc(numbers, func(a, b []string) int { return cmp.Or(len(a[1])-len(b[1]), strings.Compare(a[1], b[1])) }) {
				t.Errorf("batch %s, %s: out of order:\n%s", batch, where, refused)
			}
			if n := strings.Count(refused, "\n"); n != len(brokenLines) {
				t.Errorf("batch %s, %s: %d lines are listed, not %d", batch, where, n, len(brokenLines))
			}
		}
	}
}

func TestImportPrintsABoundedList(t *testing.T) {
	list := filepath.Join(t.TempDir(), "refused")
	r := runWith(t, "{\n"+strings.Repeat("{\n", 99), "import", "--store", string(sqliteStore(t)), "--errors", list, "-")
	r.says(t, exitFailed, "100 of 100 lines were refused", "--errors FILE lists all of them")
	if n := strings.Count(r.stderr, "stdin:"); n != maxPrinted {
		t.Errorf("%d lines are printed, not %d", n, maxPrinted)
	}
	if n := strings.Count(readFile(t, list), "stdin:"); n != 100 {
		t.Errorf("%d lines are listed, not 100", n)
	}
}

// cutReader calls cut when half of it was read.
type cutReader struct {
	content string
	at      int
	cut     func()
}

func (r *cutReader) Read(b []byte) (int, error) {
	if r.at >= len(r.content)/2 {
		r.cut()
	}
	if r.at == len(r.content) {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), 10_000)], r.content[r.at:])
	r.at += n
	return n, nil
}

// TestImportInterrupted: it stops cleanly in the middle, says how far it came,
// and running it again brings every balance to where it must be.
func TestImportInterrupted(t *testing.T) {
	dir := mockData(t, "--accounts", "100", "--transactions", "5000")
	s := start(t, ServeCmd{})
	all := readFile(t, dir, "accounts.ndjson") + readFile(t, dir, "transactions.ndjson")
	ctx, cancel := context.WithCancel(t.Context())
	var stdout, stderr bytes.Buffer
	m := Main{Stdin: &cutReader{content: all, cut: cancel}, Stdout: &stdout, Stderr: &stderr}
	if code := m.Run(ctx, []string{"import", "--url", s.URL(), "--batch", "50", "-"}); code != exitFailed {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	if !strings.Contains(stderr.String(), "stopped after stdin:") || !strings.HasSuffix(stderr.String(), "rbcs: interrupted\n") {
		t.Errorf("it says %s", stderr.String())
	}
	var lines int
	if _, err := fmt.Sscanf(stderr.String(), "stopped after stdin:%d;", &lines); err != nil || lines < 50 || lines > 4000 {
		t.Errorf("it stopped after %d lines, %v", lines, err)
	}
	if !strings.HasPrefix(stdout.String(), thousands(int64(lines))+" lines") {
		t.Errorf("the summary does not say %d lines: %s", lines, stdout.String())
	}
	runWith(t, all, "import", "--url", s.URL(), "-").says(t, exitDone, "accounts known 100", "posted", "replayed")
	checkExpected(t, dir, s.URL())
}

// TestImportInterruptedWhileWaiting: nothing comes from standard input any more.
func TestImportInterruptedWhileWaiting(t *testing.T) {
	r, w := io.Pipe()
	defer func() { _ = w.Close() }() // ends the reader
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _ = io.WriteString(w, strings.Repeat("{\n", 100)) // the reader has all of it when this returns
		cancel()
	}()
	var stderr bytes.Buffer
	m := Main{Stdin: r, Stdout: io.Discard, Stderr: &stderr}
	if code := m.Run(ctx, []string{"import", "--store", string(sqliteStore(t)), "-"}); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	if !strings.HasPrefix(stderr.String(), "stopped after no line; run the same command again") {
		t.Errorf("it says %s", stderr.String())
	}
}

// TestImportInterruptedWithoutAService: no further attempt is waited for, and
// the summary tells what is certain from what is not.
func TestImportInterruptedWithoutAService(t *testing.T) {
	for name, test := range map[string]struct {
		answer func(http.ResponseWriter)
		want   string
	}{
		"away": {func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) }, "not recorded 5"},
		"lost": {func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, "outcome unknown 5"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			var requests atomic.Int64
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				requests.Add(1)
				cancel()
				test.answer(w)
			}))
			defer front.Close()
			var stdout, stderr bytes.Buffer
			m := Main{Stdin: strings.NewReader(broken), Stdout: &stdout, Stderr: &stderr}
			code := m.Run(ctx, []string{"import", "--url", front.URL, "-"})
			result{code, stdout.String(), stderr.String()}.says(t, exitFailed, test.want, "stopped after no line", "rbcs: interrupted")
			if n := requests.Load(); n != 1 {
				t.Errorf("%d requests were sent", n)
			}
		})
	}
}

// TestImportThroughABadNetwork: lost answers and refusals in between are
// retried with the same IDs, and no money moves twice.
func TestImportThroughABadNetwork(t *testing.T) {
	dir := mockData(t, "--accounts", "100", "--transactions", "3000")
	s := start(t, ServeCmd{})
	target, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	var n atomic.Int64
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch n.Add(1) % 4 {
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2: // it is carried out, and the answer is lost
			proxy.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		default:
			proxy.ServeHTTP(w, r)
		}
	}))
	defer front.Close()
	args := append([]string{"import", "--url", front.URL, "--batch", "300"}, dataFiles(dir)...)
	run(t, args...).says(t, exitDone, "3,100 lines")
	checkExpected(t, dir, s.URL())
}

// TestImportStopsWithoutAService: what fails is not passed over.
func TestImportStopsWithoutAService(t *testing.T) {
	file := writeFile(t, broken)
	r := run(t, "import", "--url", "http://127.0.0.1:1", "--retry-for", "1ms", file)
	r.says(t, exitFailed, "not recorded 5 (nothing of them was decided)", "the import stopped after no line", "run the same command again", "is `rbcs serve` running")
}

// failingTarget fails at the second transaction of each batch.
type failingTarget struct {
	importTarget
	err *rbcs.Error
}

func (f failingTarget) submit(_ context.Context, transactions []*rbcs.Transaction) ([]importOutcome, error) {
	outcomes := make([]importOutcome, len(transactions))
	outcomes[1].err = f.err
	return outcomes, nil
}

// TestImportStopsAtAnUnknownOutcome: the lines behind it are not sent, since the
// import must be run again anyway, in order.
func TestImportStopsAtAnUnknownOutcome(t *testing.T) {
	s := &importSummary{out: io.Discard, rejected: map[rbcs.Code]int64{}}
	b := &importBatch{name: "f", lines: []int{7, 8, 9}, transactions: make([]*rbcs.Transaction, 3), last: 9}
	unknown := rbcs.Errorf(rbcs.OutcomeUnknown, "lost")
	err := s.send(t.Context(), failingTarget{err: unknown}, b)
	if !errors.Is(err, unknown) || !strings.HasPrefix(err.Error(), "f:8: ") || s.unknown != 1 || s.absent != 0 || s.posted != 2 || s.last() != "no line" {
		t.Errorf("%v, %+v", err, s)
	}
}
