// Command load measures rbcs and the marks beside it in one run, on one
// machine, and prints a table of medians and ratios.
//
//	go run ./test/load [--rounds 3] [--seconds 15] [--only NAME,…] [--json FILE]
//
// Every round runs every measurement once, one after the other, so that a slow
// minute of the machine touches them all; only ratios of one run mean anything.
// It starts its own PostgreSQL (fsync and synchronous_commit on), builds the
// binary, and leaves nothing behind. The marks are
//
//   - pgbench: the same transfer as one PL/pgSQL function call, 64 clients
//     (pgbench/*.sql);
//   - raw insert: the rows that rbcs writes, into its own table, by
//     INSERT … SELECT FROM unnest over 4 connections, and nothing else;
//   - empty handler: the balance reads that net/http alone serves to rbcs bench.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"rbcs/internal/testenv"
)

// measurement is one thing that is measured: per second, the more the better.
type measurement struct {
	name string
	run  func(ctx context.Context, m *machine) (perSecond float64, err error)
}

var measurements = []measurement{
	{"pgbench", pgbench},
	{"raw insert", rawInsert},
	{"empty handler", emptyHandler},
	{"postgres batch uniform", onPostgres("--workload", "uniform", "--clients", "8", "--batch", "1000")},
	{"postgres batch hot", onPostgres("--workload", "hot", "--clients", "8", "--batch", "1000")},
	{"postgres single uniform", onPostgres("--workload", "uniform", "--clients", "256")},
	{"postgres single hot", onPostgres("--workload", "hot", "--clients", "256")},
	{"postgres single hold", onPostgres("--workload", "hold", "--clients", "256")},
	{"sqlite batch uniform", onSQLite("--workload", "uniform", "--clients", "8", "--batch", "1000")},
	{"sqlite batch hot", onSQLite("--workload", "hot", "--clients", "8", "--batch", "1000")},
	{"sqlite single uniform", onSQLite("--workload", "uniform", "--clients", "256")},
	{"sqlite single hot", onSQLite("--workload", "hot", "--clients", "256")},
	{"sqlite single hold", onSQLite("--workload", "hold", "--clients", "256")},
	{"service CPU direct", perServiceCPU(direct)},
	{"service CPU gateway", perServiceCPU(gatewayHTTP1)},
	{"service CPU direct at a rate", perServiceCPU(direct, "--rate", sameRate)},
	{"service CPU gateway at a rate", perServiceCPU(gatewayHTTP1, "--rate", sameRate)},
	{"service CPU gateway HTTP/2 at a rate", perServiceCPU(gatewayHTTP2, "--rate", sameRate)},
	{"service CPU direct at a high rate", perServiceCPU(direct, "--rate", highRate)},
	{"service CPU gateway at a high rate", perServiceCPU(gatewayHTTP1, "--rate", highRate)},
	{"cache batch uniform", withCache("--workload", "uniform", "--clients", "8", "--batch", "1000")},
	{"cache single uniform", withCache("--workload", "uniform", "--clients", "256")},
	{"postgres mixed", onPostgres("--workload", "mixed", "--clients", "256")},
	{"cache mixed", withCache("--workload", "mixed", "--clients", "256")},
	{"cache balance reads", withCache("--workload", "read", "--clients", "64", "--accounts", "1000")},
	{"postgres balance reads", onPostgres("--workload", "read", "--clients", "64")},
	{"sqlite balance reads", onSQLite("--workload", "read", "--clients", "64")},
}

// ratios are what the figures are held against.
var ratios = []struct {
	of, to string
	goal   float64
}{
	{"postgres batch uniform", "pgbench", 3.5},
	{"postgres batch uniform", "raw insert", 0.4},
	{"postgres single uniform", "pgbench", 1.2},
	{"postgres batch hot", "postgres batch uniform", 1},
	{"postgres single hot", "postgres single uniform", 1},
	{"sqlite batch hot", "sqlite batch uniform", 1},
	{"sqlite single hot", "sqlite single uniform", 1},
	{"sqlite single uniform", "postgres single uniform", 0.5},
	{"postgres single hold", "postgres single uniform", 0.5}, // holds and settlements per second: each may cost two transfers
	{"sqlite single hold", "sqlite single uniform", 0.5},
	{"cache batch uniform", "postgres batch uniform", 0.75}, // marks and refreshes
	{"cache single uniform", "postgres single uniform", 0.9},
	{"cache mixed", "postgres mixed", 1},
	{"cache balance reads", "empty handler", 0.6},
	{"service CPU gateway", "service CPU direct", 0.8}, // per second of processor time in the service
	{"service CPU gateway at a rate", "service CPU direct at a rate", 0.8},
	{"service CPU gateway HTTP/2 at a rate", "service CPU direct at a rate", 0.8},
	{"service CPU gateway at a high rate", "service CPU direct at a high rate", 0.8},
}

// sameRate is what a small machine does also through a gateway. As fast as each
// can, the way that is slower makes smaller commits, which cost the service more
// for each transaction; at one rate that is no part of the difference.
const sameRate = "2500"

// highRate is about three quarters of what two processors do through a gateway.
const highRate = "8000"

// machine is what all measurements of one run share.
type machine struct {
	dir      string
	binary   string
	postgres *testenv.Server
	seconds  int
}

func main() {
	rounds := flag.Int("rounds", 3, "how often everything is measured")
	seconds := flag.Int("seconds", 15, "how long each measurement takes")
	only := flag.String("only", "", "measure only what has one of these names, separated by commas")
	output := flag.String("json", "", "write every figure to this file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *rounds, *seconds, *only, *output)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rounds, seconds int, only, output string) error {
	m := &machine{seconds: seconds}
	var err error
	if m.dir, err = os.MkdirTemp("", "rbcs-load-"); err != nil {
		return err
	}
	defer os.RemoveAll(m.dir)
	if m.binary, err = testenv.Program(); err != nil {
		return err
	}
	if m.postgres, err = testenv.NewPostgres(ctx, postgresSettings...); err != nil {
		return err
	}
	defer m.postgres.Close()

	figures := map[string][]float64{}
	for round := range rounds {
		for _, what := range measurements {
			if only != "" && !slices.Contains(strings.Split(only, ","), what.name) {
				continue
			}
			perSecond, err := what.run(ctx, m)
			if err != nil {
				return fmt.Errorf("%s: %w", what.name, err)
			}
			fmt.Fprintf(os.Stderr, "%s  round %d  %-26s %9.0f/s\n", time.Now().Format(time.TimeOnly), round+1, what.name, perSecond)
			figures[what.name] = append(figures[what.name], perSecond)
		}
	}
	report(figures)
	if output == "" {
		return nil
	}
	raw, err := json.MarshalIndent(figures, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(output, append(raw, '\n'), 0o644)
}

// report prints the medians and their ratios as Markdown.
func report(figures map[string][]float64) {
	fmt.Println("| measured | median per second | lowest | highest |")
	fmt.Println("|---|---:|---:|---:|")
	for _, what := range measurements {
		if f := figures[what.name]; len(f) > 0 {
			fmt.Printf("| %s | %.0f | %.0f | %.0f |\n", what.name, median(f), slices.Min(f), slices.Max(f))
		}
	}
	fmt.Println()
	fmt.Println("| ratio (median of the rounds' ratios) | measured | goal |")
	fmt.Println("|---|---:|---:|")
	for _, r := range ratios {
		var each []float64
		for i := range min(len(figures[r.of]), len(figures[r.to])) {
			each = append(each, figures[r.of][i]/figures[r.to][i])
		}
		if len(each) > 0 {
			fmt.Printf("| %s ÷ %s | %.2f | %.2f |\n", r.of, r.to, median(each), r.goal)
		}
	}
}

func median(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
