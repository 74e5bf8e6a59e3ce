package testenv

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func query(t *testing.T, dsn, sql string) (result string) {
	t.Helper()
	err := withConn(t.Context(), dsn, func(conn *pgx.Conn) error {
		return conn.QueryRow(t.Context(), sql).Scan(&result)
	})
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return result
}

func execute(t *testing.T, dsn, sql string) {
	t.Helper()
	err := withConn(t.Context(), dsn, func(conn *pgx.Conn) error {
		_, err := conn.Exec(t.Context(), sql)
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func TestDatabasesAreFreshAndDurable(t *testing.T) {
	first, second := Postgres(t), Postgres(t)
	execute(t, first, "create table only_here as select 1")
	if got := query(t, second, "select count(*)::text from pg_tables where tablename = 'only_here'"); got != "0" {
		t.Errorf("the second database has the first one's table")
	}
	for _, name := range []string{"fsync", "full_page_writes", "synchronous_commit"} {
		if got := query(t, first, "show "+name); got != "on" {
			t.Errorf("%s = %s", name, got)
		}
	}
}

func TestServerKeepsItsDataOverCrashAndStop(t *testing.T) {
	s := PostgresServer(t, "work_mem=8MB")
	if got := query(t, s.URL, "show work_mem"); got != "8MB" {
		t.Errorf("work_mem = %s", got)
	}
	execute(t, s.URL, "create table kept as select 1")
	for _, end := range []func() error{s.Crash, s.Stop} {
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if err := s.ready(t.Context()); err == nil {
			t.Fatal("it answers after its end")
		}
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := query(t, s.URL, "select count(*)::text from kept"); got != "1" {
			t.Errorf("the table has %s rows", got)
		}
	}
	if log, err := s.Log(); err != nil || !strings.Contains(log, "automatic recovery") {
		t.Errorf("the log does not speak of a recovery: %v\n%s", err, log)
	}
}

func TestPgBouncerPoolsTransactions(t *testing.T) {
	dsn := PgBouncer(t, Postgres(t))
	if got := query(t, dsn, "select 'through'"); got != "through" {
		t.Errorf("got %q", got)
	}
	err := withConn(t.Context(), dsn+"&statement_timeout=1s", func(*pgx.Conn) error { return nil })
	if err == nil {
		t.Error("a start-up parameter is let through")
	}
}

func TestRedisAnswers(t *testing.T) {
	s := RedisServer(t)
	if !strings.HasPrefix(s.URL, "redis://127.0.0.1:") || Redis(t) == s.URL {
		t.Errorf("URL %s", s.URL)
	}
	if err := s.Crash(); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestWhatDoesNotStartSaysWhy(t *testing.T) {
	s, err := NewPostgres(t.Context(), "no_such_setting=1")
	if err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("error %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := find("no-such-program", "the-package", "/nowhere"); err == nil || !strings.Contains(err.Error(), "the-package") {
		t.Errorf("error %v", err)
	}
	if _, err := CreateDatabase(t.Context(), "host=localhost"); err == nil {
		t.Error("a keyword DSN is accepted")
	}
	if _, err := NewPgBouncer(t.Context(), "postgres://%"); err == nil {
		t.Error("a broken DSN is accepted")
	}
}

// TestGuardOutlivesItsProcess runs this test binary as a process that starts a
// server and is killed.
func TestGuardOutlivesItsProcess(t *testing.T) {
	const variable = "RBCS_TESTENV_CHILD"
	if os.Getenv(variable) != "" {
		s, err := NewRedis(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = os.Stdout.WriteString(s.dir + "\n" + s.URL + "\n")
		select {}
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), variable+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf, n := make([]byte, 4096), 0
	for strings.Count(string(buf[:n]), "\n") < 2 {
		k, err := out.Read(buf[n:])
		if err != nil {
			t.Fatal(err)
		}
		n += k
	}
	lines := strings.Split(string(buf[:n]), "\n")
	dir, address := lines[0], HostOf(lines[1])
	if err := pingRedis(t.Context(), address); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	for deadline := time.Now().Add(20 * time.Second); ; {
		_, statErr := os.Stat(dir)
		if os.IsNotExist(statErr) && pingRedis(t.Context(), address) != nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the server or its folder is still there")
		}
	}
}

func TestLinkIsSickAndCured(t *testing.T) {
	l, err := NewLink(HostOf(Redis(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Cut()
	ping := func() error { return pingRedis(t.Context(), l.Address()) }
	well := func(when string) {
		t.Helper()
		if err := ping(); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	well("at first")
	if err := l.Poison("reset_peer", map[string]int{"timeout": 0}); err != nil {
		t.Fatal(err)
	}
	if err := ping(); err == nil {
		t.Error("a link that resets connections lets one through")
	}
	if err := l.Poison("reset_peer", nil); err == nil {
		t.Error("it is poisoned twice")
	}
	l.Cure(t.Context())
	well("cured")
	l.Cut()
	if err := ping(); err == nil {
		t.Error("a link that is cut lets a connection through")
	}
	if err := l.Join(); err != nil {
		t.Fatal(err)
	}
	well("joined")
	if err := l.Poison("no such toxic", nil); err == nil {
		t.Error("there are other toxics than toxiproxy's")
	}
}

func TestProcessServesAndEnds(t *testing.T) {
	store := "sqlite:" + filepath.Join(t.TempDir(), "rbcs.db")
	p := Run(t, "serve", "--listen", "127.0.0.1:0", "--store", store)
	if !strings.HasPrefix(p.URL, "http://127.0.0.1:") || !strings.Contains(p.Log.String(), p.URL) {
		t.Errorf("it serves at %q; its log: %s", p.URL, p.Log)
	}
	if code, err := p.End(syscall.SIGTERM); err != nil || code != 0 {
		t.Errorf("after SIGTERM: %d, %v", code, err)
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("a signal to what has ended: %v", err)
	}
	if err := Verify(t.Context(), store); err != nil {
		t.Error(err)
	}
	if err := Verify(t.Context(), "sqlite:"+t.TempDir()); err == nil {
		t.Error("a folder is a sound store")
	}
	p, err := StartProcess(exec.Command(p.Cmd.Path, "serve", "--no-such-flag"), new(Log))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Await(t.Context()); err == nil || !strings.Contains(err.Error(), "no-such-flag") {
		t.Errorf("what does not serve says: %v", err)
	}
	if _, err := StartProcess(exec.Command("/nowhere"), new(Log)); err == nil {
		t.Error("what is not there is started")
	}
}
