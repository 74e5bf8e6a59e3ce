package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"rbcs"
	"rbcs/internal/testenv"
)

// crash ends the server as a power cut does, and starts it again.
func crash(t *testing.T, server *testenv.Server) {
	t.Helper()
	if err := server.Crash(); err != nil {
		t.Fatal(err)
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestLogOverACrash follows the log while sequences are taken that a crash loses:
// they are given out again, on the same timeline, to decisions that are in the log.
func TestLogOverACrash(t *testing.T) {
	const lost = 2000
	for name, take := range map[string]func(t *testing.T, conn *pgx.Conn){
		"rolled back": func(t *testing.T, conn *pgx.Conn) {
			execute(t, conn, "begin")
			execute(t, conn, placeSQL, lost)
			execute(t, conn, "rollback")
		},
		"in flight": func(t *testing.T, conn *pgx.Conn) {
			execute(t, conn, "begin")
			execute(t, conn, placeSQL, lost)
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := migratedServer(t, "wal_writer_delay=10s") // or it writes to disk by itself what was taken
			s := openStore(t, server.URL)
			createAccounts(t, s, 2)
			commitOne(t, s, "before")
			first := pageOf(t, s, 0, "before")
			take(t, connect(t, server.URL))
			for range 3 {
				pageOf(t, s, first.End)
			}
			crash(t, server)
			end := first.End
			for _, id := range []string{"after", "later"} {
				var decided []rbcs.Result
				again(t, func(ctx context.Context) (err error) {
					decided, err = s.Commit(ctx, []*rbcs.Transaction{transfer(id)})
					return err
				})
				if got := decided[0].Sequence; got <= end || got > lost {
					t.Fatalf("the next decision has sequence %d: this crash has lost nothing", got)
				}
				end = pageOf(t, s, end, id).End
			}
		})
	}
}

// TestLogUnderCommittersOverCrashes follows the log while several commit, and the
// server crashes in between: nothing is passed over.
func TestLogUnderCommittersOverCrashes(t *testing.T) {
	const crashes, committers = 3, 6
	server := migratedServer(t)
	s := openStore(t, server.URL)
	createAccounts(t, s, 100)
	ended := make(chan struct{})
	over := func() bool {
		select {
		case <-ended:
			return true
		default:
			return false
		}
	}
	var committing sync.WaitGroup
	for c := range committers {
		committing.Go(func() {
			g := generator{prefix: fmt.Sprintf("c%d", c), accounts: 100, random: rand.New(rand.NewPCG(1, uint64(c)))}
			for !over() {
				batch := g.batch(1 + 40*c)
				again(t, func(ctx context.Context) error {
					_, err := s.Commit(ctx, batch)
					return err
				})
			}
		})
	}
	var following sync.WaitGroup
	followed, settled := []int64{}, make(chan struct{})
	following.Go(func() {
		at := int64(0)
		for last := false; ; {
			var page rbcs.LogPage
			again(t, func(ctx context.Context) (err error) {
				page, err = s.Log(ctx, at, 1000)
				return err
			})
			for i := range page.Results {
				followed = append(followed, page.Results[i].Sequence)
			}
			at = page.End
			if len(page.Results) > 0 {
				continue
			}
			if last {
				return
			}
			select {
			case <-settled:
				last = s.LogLag() == 0
			case <-time.After(time.Millisecond):
			}
		}
	})
	watcher := func() *pgx.Conn { return connect(t, server.URL) }
	rows := 0
	for range crashes {
		rows += 4000
		eventually(t, watcher(), "select count(*) > $1 from transactions", rows)
		crash(t, server)
	}
	close(ended)
	committing.Wait()
	close(settled)
	following.Wait()
	var logged []int64
	err := s.Dump(t.Context(), func(r *rbcs.Result) error {
		logged = append(logged, r.Sequence)
		return nil
	}, func(*rbcs.Account) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	for i, sequence := range logged {
		if i >= len(followed) || followed[i] != sequence {
			t.Fatalf("of %d decisions, %d were followed; the first that was passed over is %d", len(logged), len(followed), sequence)
		}
	}
	if len(followed) != len(logged) {
		t.Errorf("%d decisions were followed, %d are in the log", len(followed), len(logged))
	}
}
