package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"rbcs/internal/postgres"
	"rbcs/internal/testenv"
)

// postgresSettings are those of a server that somebody has looked at once; the
// durable ones stay as they are. All marks and rbcs run on the same server.
var postgresSettings = []string{
	"shared_buffers=1GB", "max_wal_size=8GB", "checkpoint_timeout=15min", "wal_compression=off",
	"max_connections=200", "unix_socket_directories=/tmp",
}

const tps = `(?m)^tps = ([0-9.]+)`

// pgbench runs the transfer function of pgbench/schema.sql with 64 clients.
func pgbench(ctx context.Context, m *machine) (float64, error) {
	dsn, drop, err := m.database(ctx)
	if err != nil {
		return 0, err
	}
	defer drop()
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return 0, err
	}
	here := filepath.Join("test", "load", "pgbench")
	psql := func(name string, args ...string) ([]byte, error) {
		args = append(args, "-h", config.Host, "-p", strconv.Itoa(int(config.Port)), "-U", config.User)
		out, err := exec.CommandContext(ctx, name, append(args, config.Database)...).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", name, err, out)
		}
		return out, nil
	}
	if _, err := psql("psql", "-v", "ON_ERROR_STOP=1", "-q", "-f", filepath.Join(here, "schema.sql")); err != nil {
		return 0, err
	}
	out, err := psql("pgbench", "-n", "-M", "prepared", "-c", "64", "-j", "2",
		"-T", strconv.Itoa(m.seconds), "-f", filepath.Join(here, "transfer.sql"))
	if err != nil {
		return 0, err
	}
	match := regexp.MustCompile(tps).FindSubmatch(out)
	if match == nil {
		return 0, fmt.Errorf("pgbench printed no tps:\n%s", out)
	}
	return strconv.ParseFloat(string(match[1]), 64)
}

// rawRows inserts rows as rbcs writes them for posted transfers, in one statement per 1,000.
const rawRows = `
insert into transactions (sequence, source_key, destination_key, source_version, destination_version,
    occurred_at, committed_at, decimals, id, type, status, currency, amount,
    source_balance, destination_balance, instance)
select s, a, b, v, w, now(), now(), 2, i, 'transfer', 'posted', 'USD', m, x, y, 'load'
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::bigint[], $8::bigint[], $9::bigint[])
    as rows (s, a, b, v, w, i, m, x, y)`

// rawInsert fills the service's own log over 4 connections, and does nothing else.
func rawInsert(ctx context.Context, m *machine) (float64, error) {
	dsn, drop, err := m.database(ctx)
	if err != nil {
		return 0, err
	}
	defer drop()
	if err := postgres.Migrate(ctx, dsn, postgres.MigrateOptions{}); err != nil {
		return 0, err
	}
	const connections, batch, population = 4, 1000, 10_000
	var rows, sequence atomic.Int64
	end := time.Now().Add(time.Duration(m.seconds) * time.Second)
	var group errgroup.Group
	for worker := range connections {
		group.Go(func() error {
			conn, err := pgx.Connect(ctx, dsn)
			if err != nil {
				return err
			}
			defer conn.Close(context.Background())
			random := rand.New(rand.NewPCG(1, uint64(worker)))
			versions := make([]int64, population)
			columns := make([][]int64, 8)
			ids := make([]string, batch)
			for time.Now().Before(end) {
				for i := range columns {
					columns[i] = make([]int64, batch)
				}
				for i := range batch {
					a, b := random.IntN(population), random.IntN(population)
					versions[a]++
					versions[b]++
					n := sequence.Add(1)
					row := [...]int64{
						n, int64(a*connections + worker), int64(b*connections + worker), versions[a]*2 + 1, versions[b] * 2,
						1 + random.Int64N(10_000), 1_000_000_000 + n, 1_000_000_000 - n,
					}
					for c, value := range row {
						columns[c][i] = value
					}
					ids[i] = fmt.Sprintf("load-%016x-%08x", n, random.Uint32())
				}
				if _, err := conn.Exec(ctx, rawRows, columns[0], columns[1], columns[2], columns[3], columns[4],
					ids, columns[5], columns[6], columns[7]); err != nil {
					return err
				}
				rows.Add(batch)
			}
			return nil
		})
	}
	err = group.Wait()
	return float64(rows.Load()) / float64(m.seconds), err
}

// emptyHandler serves the balance reads of rbcs bench from a handler that does
// nothing: what is left is net/http and the load generator. Everything else, the
// accounts before and after, goes on to a service.
func emptyHandler(ctx context.Context, m *machine) (perSecond float64, err error) {
	dir, err := os.MkdirTemp(m.dir, "empty-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	service, err := m.start(ctx, "serve", "--store", "sqlite:"+filepath.Join(dir, "rbcs.db"))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, service.stop()) }()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	body := []byte(`{"number":"a","currency":"USD","balance":"0.00","available":"0.00","held":"0.00","version":0,` +
		`"as_of":"2026-01-01T00:00:00.000000Z","served_by":"store"}`)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/accounts/{number}/balance", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	})
	mux.Handle("/", httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: testenv.HostOf(service.URL)}))
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: mux}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	result, err := m.load(ctx, "http://"+listener.Addr().String(), "--workload", "read", "--clients", "64", "--accounts", "1000")
	return result.Reads.PerSecond, err
}

// database makes an empty database, and returns its DSN and what drops it.
func (m *machine) database(ctx context.Context) (string, func(), error) {
	dsn, err := testenv.CreateDatabase(ctx, m.postgres.URL)
	return dsn, func() {
		if err := testenv.DropDatabase(context.WithoutCancel(ctx), m.postgres.URL, dsn); err != nil {
			fmt.Fprintln(os.Stderr, "load:", err)
		}
	}, err
}
