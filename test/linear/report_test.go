package linear

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// results are what this process has played and found.
var results = tally{rows: map[string]*row{}, faults: map[string]int{}}

type tally struct {
	mu     sync.Mutex
	rows   map[string]*row // by scenario
	faults map[string]int
	fence  fence
	lost   int // versions, by promotions
	caught []string
}

// row is what became of a scenario.
type row struct {
	runs, failed int
	verdict
}

func (r *tally) note(w *world, v verdict) {
	name := w.t.Name()
	name = strings.ReplaceAll(name[strings.Index(name, "/")+1:], "_", " ")
	name, _, _ = strings.Cut(name, "#")
	f := w.fence()
	r.mu.Lock()
	defer r.mu.Unlock()
	entry := r.rows[name]
	if entry == nil {
		entry = &row{}
		r.rows[name] = entry
	}
	entry.runs++
	if !v.clean() {
		entry.failed++
	}
	entry.add(v)
	for fault, n := range w.faults {
		r.faults[fault] += n
	}
	r.fence.add(f)
}

func (r *tally) lose(versions int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost += versions
}

func (r *tally) caughtOne(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.caught = append(r.caught, fmt.Sprintf(format, args...))
}

const reportHead = `# No balance read is stale

Written by ` + "`%s`" + ` on %s, in %v%s. The seed was %d (` + "`-linear.seed=%d`" + `).

**%d operations, %d of them reads (%.0f %% answered by the cache), %d faults: %d anomalies.**

Three instances of the service, a real PostgreSQL and a real Redis, %d clients that post (single transfers, batches of
2–5, holds with their captures and releases) and read (one balance, many at once, with consistency=strong) on %d
accounts, each request through any instance. What they have seen was judged by porcupine (a register per account: the
version, with its balance) and by a direct check over everything: what begins after an operation has returned must not
show an older state; each read must show what the log has under its version; what was acknowledged must be in the log as
it was told. The log is read from the database at the end.

## Scenarios

An operation is a version of an account, or a read of it. An unanswered request says nothing, and claims nothing; a
posting that was found in the log alone counts as one that may have happened at any time.

| scenario | runs | operations | reads | cached | unanswered | found in the log alone | anomalies |
|---|---|---|---|---|---|---|---|
`

const reportTail = `
## The checkers are checked

The same clients with a cache that lacks one rule; both checkers must find it out.

%s
## What happens when an asynchronous standby is promoted

What it had not received is lost, though it was acknowledged (here %d versions of accounts): that is what asynchronous
means. Redis is then ahead of the database. Checked is what the cache can promise: until the primary died reads are
linearizable by its log; all that begins later than 1 s after that is linearizable by the promoted server's log alone, so
that nothing that was lost is read any more, and nothing older than what anybody was told; in the second between, a read
shows what one of the two had, and the promoted server acknowledges nothing.
`

func (r *tally) write(path string, took time.Duration) error {
	var sum verdict
	faults, wrong := 0, ""
	for _, row := range r.rows {
		sum.add(row.verdict)
		if row.failed > 0 {
			wrong = ". **Not everything was as promised**"
		}
	}
	for _, n := range r.faults {
		faults += n
	}
	var b strings.Builder
	command := "go test -count=1 -timeout 30m ./test/linear -linear.long"
	fmt.Fprintf(&b, reportHead, command, time.Now().UTC().Format(time.DateOnly), took.Round(time.Second), wrong, seed(), seed(),
		sum.operations, sum.reads, 100*float64(sum.cached)/float64(max(1, sum.reads)), faults, sum.wrong(), writers+readers, len(numbers))
	for _, name := range slices.Sorted(maps.Keys(r.rows)) {
		v := r.rows[name]
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %.0f %% | %d | %d | %d |\n", name, v.runs, v.operations, v.reads,
			100*float64(v.cached)/float64(max(1, v.reads)), v.verdict.failed, v.unacknowledged, v.wrong())
	}
	b.WriteString("\nThe share of cached reads is low where a fault turns the cache off, for 20 s at a time, which is what it has to do.\n\n## Faults\n\n| fault | times |\n|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(r.faults)) {
		fmt.Fprintf(&b, "| %s | %d |\n", name, r.faults[name])
	}
	f := r.fence
	fmt.Fprintf(&b, "\nHow often the fence was needed, by what the instances in the test's process have counted: %d commits with marks that were confirmed and "+
		"%d without, so that the cache was turned off; %d reads that met a mark; %d reads that did not fill since a transaction held the account; "+
		"%d fills that came too late and were refused; %d marks that were replaced by the new balance.\n",
		f.confirmed, f.unconfirmed, f.marksMet, f.unfit, f.fillsRefused, f.refreshed)
	slices.Sort(r.caught)
	fmt.Fprintf(&b, reportTail, "- "+strings.Join(r.caught, "\n- ")+"\n", r.lost)
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

func TestMain(m *testing.M) {
	begin := time.Now()
	code := m.Run()
	if len(results.rows) > 0 && (*long || *reportFlag != "") {
		path := *reportFlag
		if path == "" {
			path = filepath.Join("..", "..", "docs", "reports", "cache.md")
		}
		if err := results.write(path, time.Since(begin)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}
