package postgres

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"rbcs/internal/testenv"
)

func cpuOf(port string) (total time.Duration) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	var pm string
	parent := map[string]string{}
	cpu := map[string]float64{}
	for _, d := range dirs {
		b, err := os.ReadFile(d + "/stat")
		if err != nil {
			continue
		}
		s := string(b)
		f := strings.Fields(s[strings.LastIndex(s, ")")+2:])
		pid := filepath.Base(d)
		parent[pid] = f[1]
		u, _ := strconv.ParseFloat(f[11], 64)
		k, _ := strconv.ParseFloat(f[12], 64)
		cpu[pid] = u + k
		c, _ := os.ReadFile(d + "/cmdline")
		if strings.Contains(string(c), "-p\x00"+port+"\x00") {
			pm = pid
		}
	}
	for pid, p := range parent {
		if p == pm && pm != "" {
			total += time.Duration(cpu[pid]*10) * time.Millisecond
		}
	}
	return
}

func self() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(0, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func TestZZCPU(t *testing.T) {
	server := testenv.PostgresServer(t, "shared_buffers=512MB", "max_wal_size=4GB", "autovacuum=off", "log_min_duration_statement="+map[bool]string{true: "0", false: "-1"}[os.Getenv("ZLOG") != ""], "log_parameter_max_length=0")
	if err := Migrate(t.Context(), server.URL, MigrateOptions{Logger: quiet}); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, server.URL)
	createAccounts(t, s, 10000)
	port := strings.Split(strings.Split(server.URL, ":")[3-1], "/")[0]
	port = strings.Split(server.URL[strings.LastIndex(server.URL, ":")+1:], "/")[0]
	g := generator{prefix: "z", accounts: 10000, random: rand.New(rand.NewPCG(1, 2))}
	sizes := []int{1000, 100, 10}
	if v := os.Getenv("ZSIZES"); v != "" {
		sizes = nil
		for _, x := range strings.Split(v, ",") {
			n, _ := strconv.Atoi(x)
			sizes = append(sizes, n)
		}
	}
	for _, size := range sizes {
		n := 60000
		if v := os.Getenv("ZN"); v != "" {
			n, _ = strconv.Atoi(v)
		}
		if size < 1000 {
			n = 20000
		}
		if size < 100 {
			n = 5000
		}
		c0, s0, t0 := cpuOf(port), self(), time.Now()
		done := 0
		var gen time.Duration
		for done < n {
			g0 := self()
			b := g.batch(size)
			gen += self() - g0
			if _, err := s.Commit(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			done += size
		}
		el := time.Since(t0)
		if os.Getenv("ZLOG") != "" {
			dumpLog(server)
		}
		pg, me := cpuOf(port)-c0, self()-s0-gen
		fmt.Printf("size %4d: pg %.2f us/tx, go %.2f us/tx, wall %.2f us/tx, per batch pg %.0f go %.0f us\n", size,
			float64(pg.Microseconds())/float64(done), float64(me.Microseconds())/float64(done), float64(el.Microseconds())/float64(done),
			float64(pg.Microseconds())/float64(done)*float64(size), float64(me.Microseconds())/float64(done)*float64(size))
	}
}

func dumpLog(s interface{ Log() (string, error) }) {
	l, _ := s.Log()
	_ = os.WriteFile("/tmp/zlog", []byte(l), 0o644)
}
