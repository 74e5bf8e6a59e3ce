package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"rbcs/internal/testenv"
)

// onPostgres measures rbcs bench against rbcs serve on an empty PostgreSQL database.
func onPostgres(bench ...string) func(context.Context, *machine) (float64, error) {
	return func(ctx context.Context, m *machine) (float64, error) {
		dsn, drop, err := m.database(ctx)
		if err != nil {
			return 0, err
		}
		defer drop()
		return m.bench(ctx, []string{"--store", dsn, "--migrate"}, bench)
	}
}

// withCache measures the same with the balance cache, on an empty Redis.
func withCache(bench ...string) func(context.Context, *machine) (float64, error) {
	return func(ctx context.Context, m *machine) (float64, error) {
		dsn, drop, err := m.database(ctx)
		if err != nil {
			return 0, err
		}
		defer drop()
		redis, err := testenv.NewRedis(ctx)
		if err != nil {
			return 0, err
		}
		defer redis.Close()
		return m.bench(ctx, []string{"--store", dsn, "--migrate", "--redis", redis.URL}, bench)
	}
}

// onSQLite measures rbcs bench against rbcs serve on a new file.
func onSQLite(bench ...string) func(context.Context, *machine) (float64, error) {
	return func(ctx context.Context, m *machine) (float64, error) {
		dir, err := os.MkdirTemp(m.dir, "sqlite-")
		if err != nil {
			return 0, err
		}
		defer os.RemoveAll(dir)
		return m.bench(ctx, []string{"--store", "sqlite:" + filepath.Join(dir, "rbcs.db")}, bench)
	}
}

// bench starts the service, loads it, and stops it.
func (m *machine) bench(ctx context.Context, serve, bench []string) (perSecond float64, err error) {
	service, err := m.start(ctx, append([]string{"serve"}, serve...)...)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, service.stop()) }()
	result, err := m.load(ctx, service.URL, bench...)
	if result.Reads.OK > 0 {
		fmt.Fprintf(os.Stderr, "%.1f %% of the reads were answered by a cache\n", 100*float64(result.Reads.Cached)/float64(result.Reads.OK))
	}
	return result.Transactions.PerSecond + result.Reads.PerSecond, err
}

// process is rbcs while it serves.
type process struct{ *testenv.Process }

// start starts rbcs, on a port that is free, and waits until it serves.
func (m *machine) start(ctx context.Context, args ...string) (*process, error) {
	cmd := exec.CommandContext(ctx, m.binary, append(args, "--listen", "127.0.0.1:0")...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	started, err := testenv.StartProcess(cmd, new(testenv.Log))
	if err != nil {
		return nil, err
	}
	p := &process{started}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := p.Await(ctx); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return p, nil
}

// stop ends it, and waits until it has ended.
func (p *process) stop() error {
	code, err := p.End(syscall.SIGTERM)
	if err == nil && code != 0 {
		err = fmt.Errorf("rbcs %s ended with %d\n%s", p.Cmd.Args[1], code, p.Log.Tail())
	}
	return err
}

// cpu returns the processor time that it has taken.
func (p *process) cpu() (time.Duration, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(raw), ") ") // the name before it may hold anything
	fields := strings.Fields(after)
	var ticks int64
	for _, field := range fields[11:13] { // of the program, and of the kernel for it
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100, nil // what Linux shows is always in hundredths
}

// loaded is what rbcs bench reports.
type loaded struct {
	Transactions struct {
		Posted    int64   `json:"posted"`
		PerSecond float64 `json:"posted_per_second"`
	} `json:"transactions"`
	Reads struct {
		OK        int64   `json:"ok"`
		Cached    int64   `json:"cached"`
		PerSecond float64 `json:"per_second"`
	} `json:"reads"`
}

// load runs rbcs bench against a service.
func (m *machine) load(ctx context.Context, url string, bench ...string) (result loaded, err error) {
	output := filepath.Join(m.dir, "bench.json")
	args := append([]string{"bench", "--url", url, "--duration", strconv.Itoa(m.seconds) + "s", "--json", output}, bench...)
	if out, err := exec.CommandContext(ctx, m.binary, args...).CombinedOutput(); err != nil {
		return result, fmt.Errorf("bench: %w\n%s", err, out)
	}
	raw, err := os.ReadFile(output)
	if err != nil {
		return result, err
	}
	return result, json.Unmarshal(raw, &result)
}
