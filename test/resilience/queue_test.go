package resilience

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"rbcs"
	"rbcs/test/resilience/report"
)

const (
	queueOutage  = 3 * time.Second // of the database
	queueBatch   = 1000            // transactions in a request
	queueTimeout = 3 * time.Minute // of what a third of the queue takes
)

// queue takes the database away from a full durable queue while it drains.
func (u *suite) queue(t *testing.T, c *cluster) {
	u.fresh(t, c, "durable queue: primary away while it drains", func(t *testing.T, name string) {
		u.names++
		q := &queue{cluster: c, suite: u, count: u.size(4_000, 100_000), s: report.Scenario{Name: name, Start: time.Since(u.began)}}
		if err := q.play(t.Context()); err != nil {
			q.books.anomaly("%v", err)
		}
		q.s.End = time.Since(u.began)
		q.s.Anomalies, q.s.Anomalous = q.books.anomalies, len(q.books.anomalies)+q.books.more
		u.enter(t, &q.s, &c.system)
	})
}

// queue is the scenario of the durable queue.
type queue struct {
	*cluster
	suite *suite
	books *books
	count int
	s     report.Scenario
	last  int // that was left when it was looked at last
}

func (q *queue) play(ctx context.Context) error {
	q.accounts = fmt.Sprintf("t%d:", q.suite.names)
	l, err := newLoad(ctx, &q.system, fmt.Sprintf("t%d", q.suite.names))
	if err != nil {
		q.books = newBooks("", "", 0)
		return err
	}
	q.books = l.books
	due := time.Now().Add(3*time.Second + time.Duration(q.count)*200*time.Microsecond).Truncate(time.Microsecond)
	if err := q.fill(ctx, due); err != nil {
		return err
	}
	<-time.After(time.Until(due))
	drained, err := q.drain(ctx)
	if err != nil {
		return err
	}
	q.s.Notes = append(q.s.Notes, fmt.Sprintf("%d transactions were queued and due at once; without the outages they were decided in %s, %d a second.",
		q.count, drained.Round(10*time.Millisecond), int(float64(q.count)/drained.Seconds())))
	q.s.Transactions, _, err = l.check(ctx, &q.system)
	return err
}

// fill queues all transactions, which are due at one time.
func (q *queue) fill(ctx context.Context, due time.Time) error {
	var group sync.WaitGroup
	const clients = 4
	failures := make([]error, clients)
	for w := range clients {
		group.Go(func() {
			for n := w * queueBatch; n < q.count && failures[w] == nil; n += clients * queueBatch {
				failures[w] = q.submit(ctx, n, min(queueBatch, q.count-n), due)
			}
		})
	}
	group.Wait()
	return errors.Join(failures...)
}

// submit queues the transactions from n on.
func (q *queue) submit(ctx context.Context, n, size int, due time.Time) error {
	list := make([]string, size)
	for k := range list {
		list[k] = q.next(n+k, fmt.Sprintf(`,"execute_at":%q`, due.UTC().Format(rbcs.TimeFormat)))
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://balancer/v1/transactions/batch", strings.NewReader(`{"transactions":[`+strings.Join(list, ",")+`]}`))
	if err != nil {
		return err
	}
	status, _, body, err := post(&http.Client{Transport: q.balancer, Timeout: retry.AttemptTimeout}, request)
	var answer struct {
		Results []struct{ ID, Status string }
	}
	if err == nil {
		err = json.Unmarshal(body, &answer)
	}
	if err != nil || len(answer.Results) != size {
		return errors.Join(err, fmt.Errorf("queueing a batch is answered with %d %.300s", status, body))
	}
	q.books.mu.Lock()
	defer q.books.mu.Unlock()
	q.s.Requests++
	for _, r := range answer.Results {
		if r.Status != "queued" {
			return fmt.Errorf("queueing %s is answered with %+v", r.ID, r)
		}
		q.books.due[r.ID] = true
	}
	return nil
}

// next enters a transaction in the books and returns it as JSON.
func (q *queue) next(n int, more string) string {
	id := fmt.Sprintf("%s-q-%d", q.books.run, n)
	s := sent{kind: rbcs.Transfer, source: int32(1 + n%accounts), destination: int32(1 + (n+1+n/accounts)%accounts), cents: int64(1 + n%7)}
	if s.source == s.destination {
		s.destination = 0
	}
	q.books.mu.Lock()
	q.books.sent[id] = s
	q.books.mu.Unlock()
	return fmt.Sprintf(`{"id":%q,"source":%q,"destination":%q,"amount":%q,"timestamp":"2026-01-02T03:04:05Z"%s}`,
		id, q.books.number(s.source), q.books.number(s.destination), dollars(s.cents), more)
}

func post(client *http.Client, request *http.Request) (status int, header http.Header, body []byte, err error) {
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, nil, err
	}
	body, err = io.ReadAll(response.Body)
	return response.StatusCode, response.Header, body, errors.Join(err, response.Body.Close())
}

// drain watches the queue drain, takes the primary away at a third of it, and in
// the long form kills an instance at two thirds. It returns how long the queue
// took but for the outage of the primary.
func (q *queue) drain(ctx context.Context) (time.Duration, error) {
	begin := time.Now()
	if err := q.await(ctx, q.count*2/3); err != nil {
		return 0, err
	}
	away := time.Now()
	if err := q.takeAway(ctx); err != nil {
		return 0, err
	}
	outage, back := time.Since(away), time.Now()
	if err := q.await(ctx, q.last-1); err != nil {
		return 0, err
	}
	q.s.Recovery = append(q.s.Recovery, time.Since(back))
	q.s.Pauses = append(q.s.Pauses, time.Since(away))
	if err := q.await(ctx, q.count/3); err != nil {
		return 0, err
	}
	if *long {
		if err := q.kill(ctx); err != nil {
			return 0, err
		}
	}
	err := q.await(ctx, 0)
	return time.Since(begin) - outage, err
}

// kill kills an instance with its claims; the other one takes them over when the lease ends.
func (q *queue) kill(ctx context.Context) error {
	start := time.Now()
	_, err := q.instances[0].end(syscall.SIGKILL)
	err = errors.Join(err, q.instances[0].start(ctx))
	q.event("instance: SIGKILL", start)
	return err
}

func (q *queue) event(name string, start time.Time) {
	q.s.Faults++
	q.suite.run.Events = append(q.suite.run.Events, report.Event{Name: name, Start: start.Sub(q.suite.began), End: time.Since(q.suite.began)})
}

// takeAway takes the primary away and gives it back. Meanwhile every submission
// must be refused, soon, and with the time to come back.
func (q *queue) takeAway(ctx context.Context) error {
	start := time.Now()
	if err := q.primary.Crash(); err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{}, Timeout: retry.AttemptTimeout}
	defer client.CloseIdleConnections()
	refused, slowest := 0, time.Duration(0)
	for n := q.count; time.Since(start) < queueOutage; n++ {
		address := q.instances[n%len(q.instances)].address
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/v1/transactions", strings.NewReader(q.next(n, "")))
		if err != nil {
			return err
		}
		request.Header.Set("Prefer", "respond-async")
		asked := time.Now()
		status, header, body, err := post(client, request)
		slowest = max(slowest, time.Since(asked))
		q.s.Requests++
		q.s.Failed++
		if refused++; err != nil || status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
			q.books.anomaly("a submission while the database was away is answered with %d, Retry-After %q, %.200s (%v)", status, header.Get("Retry-After"), body, err)
		} else if strings.Contains(string(body), string(rbcs.Unavailable)) { // and not outcome_unknown
			q.books.refused[fmt.Sprintf("%s-q-%d", q.books.run, n)] = true
		}
		<-time.After(4 * pause)
	}
	q.s.Slowest = slowest
	q.s.Notes = append(q.s.Notes, fmt.Sprintf("While the primary was away, %d submissions with Prefer: respond-async were refused with 503 and Retry-After, the slowest after %s.",
		refused, slowest.Round(time.Millisecond)))
	err := q.primary.Start(ctx)
	q.event("primary: away from the durable queue", start)
	return err
}

// leftSQL counts what waits. What can never be decided would be a dead letter.
const leftSQL = `select count(*) filter (where state in ('queued', 'retrying')), count(*) filter (where state not in ('queued', 'retrying')) from intake`

// await waits until at most so many transactions are left in the queue.
func (q *queue) await(ctx context.Context, most int) error {
	ctx, cancel := context.WithTimeout(ctx, queueTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, q.direct())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	for {
		var left, dead int
		if err := conn.QueryRow(ctx, leftSQL).Scan(&left, &dead); err != nil {
			return fmt.Errorf("the queue, of which %d are left: %w", q.last, err)
		}
		if q.last > left {
			q.suite.decided(time.Now(), q.last-left)
		}
		q.last = left
		if dead > 0 {
			q.books.anomaly("%d transactions are dead letters", dead)
			return nil
		}
		if left <= most {
			return nil
		}
		<-time.After(4 * pause)
	}
}
