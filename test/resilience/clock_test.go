package resilience

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// By how many seconds clocks jump. A database's clock that is set ahead while the
// cache is off ends that early (ADR 0007): no fault of this suite turns it off then.
const (
	jump         = 3600 // an instance's
	databaseJump = 60
)

// clockSource is put into package time of the jumping program: what the clock
// says there is moved by what stands in a file that is mapped into memory. A
// program in Go asks the kernel itself and so cannot be deceived by libfaketime.
const clockSource = `package time

import (
	"syscall"
	"unsafe"
)

var jump = func() *int64 {
	name, ok := syscall.Getenv("RBCS_TEST_CLOCK")
	if !ok {
		return new(int64)
	}
	file, err := syscall.Open(name, syscall.O_RDONLY, 0)
	if err != nil {
		panic("RBCS_TEST_CLOCK: " + err.Error())
	}
	page, err := syscall.Mmap(file, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic("RBCS_TEST_CLOCK: " + err.Error())
	}
	return (*int64)(unsafe.Pointer(&page[0]))
}()

func jumpedNow() (sec int64, nsec int32, mono int64) {
	sec, nsec, mono = runtimeNow()
	return sec + *jump, nsec, mono
}
`

// buildJumping builds the program with a clock that the test sets, at this path.
func buildJumping(ctx context.Context, path string) error {
	dir := filepath.Dir(path)
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	folder := filepath.Join(strings.TrimSpace(string(out)), "src", "time")
	original, err := os.ReadFile(filepath.Join(folder, "time.go"))
	if err != nil {
		return err
	}
	const now = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()"
	if strings.Count(string(original), now) != 1 {
		return fmt.Errorf("%s does not have the time.Now that this test changes", runtime.Version())
	}
	changed := strings.Replace(string(original), now, strings.Replace(now, "runtimeNow", "jumpedNow", 1), 1)
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{
		filepath.Join(folder, "time.go"): filepath.Join(dir, "time.go"),
		filepath.Join(folder, "jump.go"): filepath.Join(dir, "jump.go"),
	}})
	if err != nil {
		return err
	}
	for name, content := range map[string]string{"time.go": changed, "jump.go": clockSource, "overlay.json": string(overlay)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	out, err = exec.CommandContext(ctx, "go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", path, "rbcs/cmd/rbcs").CombinedOutput()
	if err != nil {
		return fmt.Errorf("go build -overlay: %w\n%s", err, out)
	}
	return nil
}

// clock is the file that moves the clock of one instance.
type clock string

// set writes in place: the file is mapped, and must never be shorter.
func (c clock) set(seconds int64) error {
	f, err := os.OpenFile(string(c), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(seconds)), 0)
	return errors.Join(err, f.Close())
}

// clocksJump makes the clock of one instance jump by an hour, ahead or back, and back again.
func (s *system) clocksJump(clocks []clock) (list []fault) {
	for n := range 2 * len(clocks) {
		c, by := clocks[n/2], int64(jump)
		if n%2 == 1 {
			by = -jump
		}
		list = append(list, fault{
			name: "clock of an instance: jumps by an hour", touches: s.instances[n/2].name, hold: 300 * time.Millisecond,
			begin: lasting(func() error { return c.set(by) }, func(context.Context) error { return c.set(0) }),
		})
	}
	return list
}

// restartJumping makes all instances run the program at this path, with clocks that jump.
func (s *system) restartJumping(ctx context.Context, path string) (clocks []clock, err error) {
	for range s.instances {
		c := clock(filepath.Join(filepath.Dir(path), fmt.Sprintf("clock-%d", len(clocks))))
		if err := c.set(0); err != nil {
			return nil, err
		}
		clocks = append(clocks, c)
	}
	return clocks, s.restart(ctx, func(n int) (string, []string) { return path, []string{"RBCS_TEST_CLOCK=" + string(clocks[n])} })
}

// The database's clock jumps for the service's sessions: theirs is another
// clock_timestamp, which all commit times come from.
var (
	makeClockSQL = []string{
		"create schema faked",
		"create table faked.jump as select 0 as seconds",
		"create function faked.clock_timestamp() returns timestamptz language sql volatile as 'select pg_catalog.clock_timestamp() + make_interval(secs => (select seconds from faked.jump))'",
	}
	moveClockSQL = "update faked.jump set seconds = %d"
)

// databaseClockJumps makes the database's clock jump by a minute, ahead and back.
func (c *cluster) databaseClockJumps() (list []fault) {
	for _, by := range []int{databaseJump, -databaseJump} {
		move := func(ctx context.Context, by int) error {
			return c.execute(ctx, c.direct(), fmt.Sprintf(moveClockSQL, by))
		}
		list = append(list, fault{
			name: "clock of the database: jumps by a minute", touches: "servers", hold: 300 * time.Millisecond,
			begin: func(ctx context.Context) (func(ctx context.Context) error, error) {
				return func(ctx context.Context) error { return move(ctx, 0) }, move(ctx, by)
			},
		})
	}
	return list
}

// fakeDatabaseClock gives the service's sessions the clock that jumps, or takes it away.
func (c *cluster) fakeDatabaseClock(ctx context.Context, on bool) error {
	statements := []string{"alter database " + c.database + " reset search_path"}
	if on {
		statements = append(slices.Clone(makeClockSQL), "alter database "+c.database+" set search_path = faked, public, pg_catalog")
	}
	return c.execute(ctx, c.direct()+"&application_name=checks", append(statements, terminateSQL)...)
}
