package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
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
	address, err := freeAddress()
	if err != nil {
		return 0, err
	}
	service := exec.CommandContext(ctx, m.binary, append([]string{"serve", "--listen", address}, serve...)...)
	service.Cancel = func() error { return service.Process.Signal(syscall.SIGTERM) }
	log, err := service.StderrPipe()
	if err != nil {
		return 0, err
	}
	if err := service.Start(); err != nil {
		return 0, err
	}
	var lines []string
	logged := make(chan struct{})
	go func() {
		defer close(logged)
		for scanner := bufio.NewScanner(log); scanner.Scan(); {
			lines = append(lines, scanner.Text())
		}
	}()
	defer func() {
		_ = service.Process.Signal(syscall.SIGTERM)
		<-logged
		if stopErr := service.Wait(); stopErr != nil {
			err = errors.Join(err, fmt.Errorf("serve: %w\n%s", stopErr, strings.Join(lines, "\n")))
		}
	}()
	if err := dial(ctx, address); err != nil {
		return 0, err
	}

	output := filepath.Join(m.dir, "bench.json")
	args := append([]string{"bench", "--url", "http://" + address, "--duration", strconv.Itoa(m.seconds) + "s", "--json", output}, bench...)
	if out, err := exec.CommandContext(ctx, m.binary, args...).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("bench: %w\n%s", err, out)
	}
	raw, err := os.ReadFile(output)
	if err != nil {
		return 0, err
	}
	var result struct {
		Transactions struct {
			PerSecond float64 `json:"posted_per_second"`
		} `json:"transactions"`
		Reads struct {
			PerSecond float64 `json:"per_second"`
		} `json:"reads"`
	}
	if err := json.Unmarshal(raw, &result); err != nil {
		return 0, err
	}
	return result.Transactions.PerSecond + result.Reads.PerSecond, nil
}

// freeAddress returns a loopback address that nothing listens on.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// dial waits until something accepts connections.
func dial(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("the service did not start: %w", err)
		}
	}
}
