package resilience

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"rbcs/test/resilience/report"
)

// write writes the report and its plot.
func (u *suite) write(dir string) error {
	u.run.Environment = environment()
	u.run.Command = command()
	u.run.Goals = goals(u.run)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "resilience.svg"), []byte(u.run.SVG()), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "resilience.md"), []byte(u.run.Markdown("resilience.svg")), 0o644)
}

// command is how to run the same again.
func command() string {
	flags := fmt.Sprintf("-resilience.long -resilience.seed=%d", seed())
	if *share != 1 {
		flags += fmt.Sprintf(" -resilience.share=%g", *share)
	}
	return "go test -count=1 -timeout 60m ./test/resilience " + flags
}

// environment describes the machine and the programs.
func environment() [][2]string {
	first := func(name string, args ...string) string {
		out, err := exec.Command(name, args...).Output()
		line, _, _ := strings.Cut(string(out), "\n")
		if err != nil {
			return err.Error()
		}
		return line
	}
	postgres, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	postgres = append([]string{"postgres"}, postgres...)
	kernel := first("uname", "-sr")
	return [][2]string{
		{"processors", fmt.Sprintf("%d, shared by the clients, two instances, two PostgreSQL servers, Redis and the proxies", runtime.NumCPU())},
		{"system", kernel + ", " + runtime.GOARCH},
		{"Go", runtime.Version()},
		{"PostgreSQL", first(postgres[len(postgres)-1], "--version") + ", fsync on, a synchronous standby (but for the scenario that says otherwise)"},
		{"Redis", first("redis-server", "--version")},
		{"service", "two `rbcs serve` with one balance cache; for SQLite one"},
		{"clients", fmt.Sprintf("%d that submit one transaction at a time, %d that submit batches of %d, a reader per instance; %d accounts", singles, batchers, batchSize, accounts)},
		{"retries", fmt.Sprintf("the Go client's, for at most %s; one attempt takes at most %s", retry.MaxElapsed, retry.AttemptTimeout)},
	}
}

// goals compares the run with what had to come out of the long form.
func goals(r *report.Run) []report.Goal {
	total := r.Totals()
	list := []report.Goal{
		{What: "0 anomalies", Found: fmt.Sprint(total.Anomalous), Met: total.Anomalous == 0},
		{What: "at least 500 faults", Found: fmt.Sprint(total.Faults), Met: total.Faults >= 500},
		{What: "at least 1,000,000 transactions", Found: fmt.Sprint(total.Transactions), Met: total.Transactions >= 1_000_000},
	}
	for i := range r.Scenarios {
		switch s := &r.Scenarios[i]; {
		case strings.HasPrefix(s.Name, "instance: SIGTERM"):
			list = append(list, report.Goal{
				What: "SIGTERM under load: no request fails, none loses its connection", Found: fmt.Sprintf("%d failed, %d connections lost", s.Failed, s.Lost), Met: s.Failed+s.Lost == 0,
			})
		case strings.HasPrefix(s.Name, "instance: SIGKILL"):
			list = append(list, report.Goal{
				What: "SIGKILL of one of two instances: no request fails", Found: fmt.Sprintf("%d failed", s.Failed), Met: s.Failed == 0,
			})
		case s.Name == "primary: killed, standby promoted":
			most := report.Max(s.Recovery)
			list = append(list,
				report.Goal{What: "promotion: the first success within 5 s of the new primary accepting writes", Found: most.Round(time.Millisecond).String() + " at most", Met: most <= 5*time.Second},
				report.Goal{What: "promotion of a synchronous standby: nothing acknowledged is lost", Found: fmt.Sprint(s.LostData), Met: s.LostData == 0 && s.Anomalous == 0})
		}
	}
	return list
}
