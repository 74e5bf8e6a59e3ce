//go:build kubernetes

package kubernetes

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// reportFile is where the report is written, from this folder.
const reportFile = "../../docs/reports/kubernetes.md"

// outcome is what one scenario came to.
type outcome struct {
	name, did    string
	happened     []string
	requests     int64
	failures     map[string]int64
	gap, slowest time.Duration
	recoveries   []recovery
	notes        []string
	acknowledged int // transactions that the client was told are posted, of all scenarios until now
	failed       bool
}

// recovery is how long something took.
type recovery struct {
	what string
	took time.Duration
}

// took records how long something took since a moment.
func (o *outcome) took(what string, since time.Time) {
	o.recoveries = append(o.recoveries, recovery{what, time.Since(since)})
}

func (o *outcome) note(format string, args ...any) {
	o.notes = append(o.notes, fmt.Sprintf(format, args...))
}

// report writes the report of a run.
type report struct {
	version  string // of Kubernetes
	settings map[string]string
	outcomes []*outcome
	began    time.Time
	failed   bool
	complete bool // all scenarios ran
}

func (r *report) write(t *testing.T) {
	t.Helper()
	if !r.complete {
		t.Log("not all scenarios ran: the report stays as it is")
		return
	}
	var b strings.Builder
	result := "All scenarios passed."
	if r.failed {
		result = "**Not all scenarios passed.**"
	}
	fmt.Fprintf(&b, `# The service on a running Kubernetes

Written by `+"`make kubernetes`"+` on %s, in %d minutes. %s

## What ran

Kubernetes %s (apiserver, etcd, scheduler, controllers; three nodes, each with a kubelet, containerd, runc and
kube-proxy; CoreDNS, metrics-server; kube-router's firewall for NetworkPolicies) on one machine with %d processors, which all of it shares, the load too. The chart
`+"`deploy/helm/rbcs`"+` was installed by helm with [values.yaml](../../test/kubernetes/values.yaml). PostgreSQL and
Redis ran beside the cluster, as a provider would run them.

Load ran through the Service's address in every scenario: a Go client with keep-alive, %d requests at a time, %d a
second (as fast as it can where something is killed or lost, and for the autoscaler), three transactions for each
balance read. Requests are counted as they are sent, before the client tries again: a failure is a request that was
answered with 429 or 5xx, or not within %s. A slowest call is one with all its attempts. Recovery is from the fault
until what is named held.

After each scenario the load was stopped, and compared with the database: every acknowledged transaction is there once,
with the amount, the balances, versions, sequence and time that the client was told; nothing else is there; every
balance is what the transactions come to; no read showed less than what had been acknowledged before it;
`+"`rbcs verify`"+` found no fault.

Timers were shorter than Kubernetes' defaults, so that a run takes minutes:

| timer | here | default |
|---|---|---|
| a silent node is not ready after | %s | 50s |
| its pods are evicted after | %s s | 300 s |
| the autoscaler looks every | %s | 15s |
| it scales in after | 30 s of less load, 2 pods every 15 s | 300 s (the chart), 1 pod a minute |
| metrics-server measures every | %s | 15s |
| a kubelet looks after its pods, and mounted Secrets, at least every | 10s | 60s |

CPU requests were cut to what two processors hold; see values.yaml. The chart's NetworkPolicies were enforced all the time.

## Scenarios

| scenario | requests | failed | longest time without a success | slowest call | recovery |
|---|---|---|---|---|---|
`, r.began.UTC().Format("2006-01-02"), int(time.Since(r.began).Minutes()+0.5), result, r.version, runtime.NumCPU(), workers, pace, patience,
		r.settings["NODE_GRACE"], r.settings["TOLERATION"], r.settings["HPA_SYNC"], r.settings["METRICS"])
	for _, o := range r.outcomes {
		total := int64(0)
		for _, n := range o.failures {
			total += n
		}
		name := o.name
		if o.failed {
			name += " (**failed**)"
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %s | %s | %s |\n", name, o.requests, total, seconds(o.gap), seconds(o.slowest), o.recovered())
	}
	b.WriteString("\n## What was done, and what Kubernetes did\n")
	for _, o := range r.outcomes {
		fmt.Fprintf(&b, "\n### %s\n\n%s\n\n", o.name, o.did)
		for _, n := range o.notes {
			fmt.Fprintf(&b, "- %s\n", n)
		}
		if len(o.happened) > 0 {
			fmt.Fprintf(&b, "- Kubernetes: %s\n", strings.Join(o.happened, "; "))
		}
		if len(o.failures) > 0 {
			fmt.Fprintf(&b, "- failures that the client saw, and tried again: %s\n", kinds(o.failures))
		}
		fmt.Fprintf(&b, "- acknowledged until then and found once each: %d transactions\n", o.acknowledged)
	}
	if err := os.MkdirAll(filepath.Dir(reportFile), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(reportFile, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (o *outcome) recovered() string {
	var all []string
	for _, r := range o.recoveries {
		all = append(all, fmt.Sprintf("%s: %s", r.what, seconds(r.took)))
	}
	return strings.Join(all, "<br>")
}

func kinds(failures map[string]int64) string {
	var all []string
	for _, kind := range slices.Sorted(maps.Keys(failures)) {
		all = append(all, fmt.Sprintf("%d × %s", failures[kind], kind))
	}
	return strings.Join(all, ", ")
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
