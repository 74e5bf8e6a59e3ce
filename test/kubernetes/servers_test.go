//go:build kubernetes

package kubernetes

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// server is PostgreSQL or Redis beside the cluster, as a provider would run it: in the network of the cluster, not in
// a pod. It runs as user postgres in the control plane's namespaces, and ends with the cluster at the latest.
type server struct {
	cluster *cluster
	name    string
	dir     string
	port    int
	command []string
	pidFile string // as numbered in the control plane's namespace
}

func (s *server) address() string { return net.JoinHostPort(s.cluster.lan+".1", strconv.Itoa(s.port)) }

// newServer makes the server's folder.
func newServer(t *testing.T, c *cluster, name string, port int) *server {
	t.Helper()
	dir, err := os.MkdirTemp(c.run, name+"-")
	if err != nil {
		t.Fatal(err)
	}
	owner, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(owner.Uid)
	gid, _ := strconv.Atoi(owner.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	return &server{cluster: c, name: name, dir: dir, port: port}
}

// inside returns what runs a command beside the control plane as user postgres.
func inside(command ...string) []string {
	return append([]string{"exec", "setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"}, command...)
}

// start starts it and waits until it accepts connections.
func (s *server) start(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(s.cluster.run, "log", s.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	process := exec.Command(script, inside(s.command...)...)
	process.Dir, process.Stdout, process.Stderr = ".", log, log
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = process.Wait() }() // its port tells how it is; this only clears away what is left of it
	eventually(t, time.Minute, s.name+" answering", func(context.Context) error { return s.dial() })
}

func (s *server) dial() error {
	conn, err := net.DialTimeout("tcp", s.address(), time.Second)
	if err != nil {
		return err
	}
	return conn.Close()
}

// kill ends it without a chance to tidy up, and waits until it is gone.
func (s *server) kill(t *testing.T, signal string) {
	t.Helper()
	content, err := os.ReadFile(s.pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, _, _ := strings.Cut(strings.TrimSpace(string(content)), "\n")
	eventually(t, time.Minute, s.name+" gone", func(ctx context.Context) error {
		if _, err := s.cluster.try(ctx, script, "exec", "kill", "-"+signal, pid); err != nil {
			return nil // there is no such process any more
		}
		signal = "0" // which asks only whether it is there
		return fmt.Errorf("process %s is still there", pid)
	})
}

// clear ends the servers that an earlier run of the suite left on a cluster that was kept.
func (c *cluster) clear(t *testing.T) {
	t.Helper()
	for pattern, signal := range map[string]string{"postgres-*/data/postmaster.pid": "QUIT", "redis-*/redis.pid": "KILL"} {
		files, err := filepath.Glob(filepath.Join(c.run, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			(&server{cluster: c, name: "an earlier server", pidFile: file}).kill(t, signal)
			if err := os.RemoveAll(file); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// The roles of the database: one owns the schema and migrates it, the other is the service's.
const (
	database    = "rbcs"
	ownerRole   = "rbcs_owner"
	serviceRole = "rbcs"
)

// postgres is the database, and the connection by which the suite looks into it.
type postgres struct {
	server
	superuser string // its password
}

func startPostgres(t *testing.T, c *cluster) *postgres {
	t.Helper()
	p := &postgres{*newServer(t, c, "postgres", 5432), rand.Text()}
	programs, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(programs) == 0 {
		t.Fatal("PostgreSQL is not installed: make deps")
	}
	bin := filepath.Dir(programs[len(programs)-1])
	data := filepath.Join(p.dir, "data")
	secret := filepath.Join(p.dir, "superuser")
	if err := os.WriteFile(secret, []byte(p.superuser), 0o644); err != nil {
		t.Fatal(err)
	}
	c.must(t, script, inside(filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "--pwfile", secret,
		"--auth-host=scram-sha-256", "--auth-local=scram-sha-256", "--no-sync", "-E", "UTF8", "--locale=C")...)
	access := filepath.Join(data, "pg_hba.conf")
	if err := os.WriteFile(access, []byte("host all all 10.0.0.0/8 scram-sha-256\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p.command = []string{
		filepath.Join(bin, "postgres"), "-D", data, "-h", c.lan + ".1", "-p", strconv.Itoa(p.port), "-k", "",
		"-c", "max_connections=200", "-c", "shared_buffers=128MB",
	}
	p.pidFile = filepath.Join(data, "postmaster.pid")
	p.start(t)
	p.exec(t, "postgres", "create role "+ownerRole+" login", "create role "+serviceRole+" login",
		"create database "+database+" owner "+ownerRole)
	return p
}

// url returns the address of the service's database for a role, without a password where that is "".
func (p *postgres) url(role, password string) string {
	who := role
	if password != "" {
		who += ":" + password
	}
	return fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", who, p.address(), database)
}

// connect connects as the superuser. It waits for a database that recovers from a crash.
func (p *postgres) connect(t *testing.T, name string) *pgx.Conn {
	t.Helper()
	var conn *pgx.Conn
	eventually(t, time.Minute, "a connection to PostgreSQL", func(ctx context.Context) (err error) {
		conn, err = pgx.Connect(ctx, fmt.Sprintf("postgres://postgres:%s@%s/%s?sslmode=disable", p.superuser, p.address(), name))
		return err
	})
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func (p *postgres) exec(t *testing.T, name string, statements ...string) {
	t.Helper()
	conn := p.connect(t, name)
	for _, statement := range statements {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func (p *postgres) setPassword(t *testing.T, role, password string) {
	t.Helper()
	p.exec(t, "postgres", fmt.Sprintf("alter role %s password '%s'", role, password))
}

func startRedis(t *testing.T, c *cluster) *server {
	t.Helper()
	s := newServer(t, c, "redis", 6379)
	s.pidFile = filepath.Join(s.dir, "redis.pid")
	s.command = []string{
		"redis-server", "--bind", c.lan + ".1", "--port", strconv.Itoa(s.port), "--protected-mode", "no",
		"--dir", s.dir, "--pidfile", s.pidFile, "--save", "", "--appendonly", "no",
	}
	s.start(t)
	return s
}
