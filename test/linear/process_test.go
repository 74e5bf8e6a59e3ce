package linear

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"

	"rbcs"
	"rbcs/client"
	"rbcs/internal/testenv"
)

// startProcess starts a `rbcs serve` with a cache, behind proxies of its own.
// Clients use it over HTTP.
func startProcess(ctx context.Context, name string, c config) (in *instance, err error) {
	in = &instance{name: name, release: c.release}
	in.ctx, in.cancel = context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if err != nil {
			err = errors.Join(err, in.stop())
		}
	}()
	path, err := testenv.Program()
	if err != nil {
		return in, err
	}
	var dsn string
	if in.backing, dsn, err = testenv.NewProxy(c.dsn); err != nil {
		return in, err
	}
	if in.link, err = testenv.NewLink(c.redis); err != nil {
		return in, err
	}
	cmd := exec.Command(path, "serve", "--listen", "127.0.0.1:0", "--store", dsn, "--redis", "redis://"+in.link.Address()+"/0", "--instance", name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // however this process ends
	if in.process, err = testenv.StartProcess(cmd, new(testenv.Log)); err != nil {
		return in, err
	}
	serving, cancel := context.WithTimeout(in.ctx, settled)
	defer cancel()
	if err := in.process.Await(serving); err != nil {
		return in, err
	}
	in.api, err = client.New(in.process.URL, client.WithRetry(client.Retry{Attempts: 1}))
	return in, err
}

// submitOverHTTP returns results that say no more than whether there is an outcome.
func (in *instance) submitOverHTTP(ctx context.Context, txs []*rbcs.Transaction) ([]rbcs.Result, error) {
	results := make([]rbcs.Result, len(txs))
	if tx := txs[0]; tx.Settles() {
		settle := in.api.Capture
		if tx.Type == rbcs.Release {
			settle = in.api.Release
		}
		_, err := settle(ctx, tx.Original, client.Settlement{ID: tx.ID})
		return results, err
	}
	batch := make([]client.Transaction, len(txs))
	for i, tx := range txs {
		batch[i] = client.Transaction{
			ID: tx.ID, Type: tx.Type, Source: tx.Source, Destination: tx.Destination,
			Amount: client.Amount(tx.Amount.String()), Currency: tx.Currency, Timestamp: tx.Timestamp,
		}
	}
	answers, err := in.api.SubmitBatch(ctx, batch)
	for i := range answers {
		if e := answers[i].Err; e != nil {
			results[i].Err = rbcs.Errorf(rbcs.OutcomeUnknown, "%w", e)
		}
	}
	return results, err
}

func (in *instance) balancesOverHTTP(ctx context.Context, numbers []string, strong bool) ([]rbcs.BalanceReading, error) {
	var found []client.Balance
	if len(numbers) == 1 {
		var options []client.BalanceOption
		if strong {
			options = append(options, client.Strong())
		}
		balance, err := in.api.Balance(ctx, numbers[0], options...)
		if err != nil {
			return nil, err
		}
		found = append(found, balance)
	} else {
		results, err := in.api.Balances(ctx, numbers)
		if err != nil {
			return nil, err
		}
		for _, r := range results {
			if r.Err != nil {
				return nil, r.Err
			}
			found = append(found, r.Balance)
		}
	}
	readings := make([]rbcs.BalanceReading, len(found))
	for i, b := range found {
		balance, err1 := b.Balance.In(euro.Decimals)
		held, err2 := b.Held.In(euro.Decimals)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		readings[i] = rbcs.BalanceReading{
			Balance: rbcs.Balance{Number: b.Number, Balance: balance, Held: held, Version: b.Version}, Cached: b.ServedBy == "cache",
		}
	}
	return readings, nil
}

// Faults of real processes. Where it is that they meet a commit is left to chance.
var ofProcesses = []fault{
	{"rbcs serve: SIGSTOP for 0.2–2 s, SIGCONT", func(w *world) error { return w.freeze(w.between(200*time.Millisecond, 2*time.Second)) }},
	{"rbcs serve: SIGSTOP longer than a mark lives, SIGCONT", func(w *world) error { return w.freeze(beyond) }},
	{"rbcs serve: SIGKILL, started again", (*world).killProcess},
}

func (w *world) anyProcess() *instance {
	for _, in := range w.live() {
		if in.process != nil {
			return in
		}
	}
	panic("there is no process")
}

func (w *world) freeze(d time.Duration) error {
	in := w.anyProcess()
	if err := in.process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for end := time.Now().Add(d); time.Now().Before(end); w.hold(min(d, time.Second)) {
		if err := w.flush(); err != nil { // so that others fill
			return err
		}
	}
	return in.process.Signal(syscall.SIGCONT)
}

func (w *world) killProcess() error {
	in := w.anyProcess()
	in.cancel()
	_, err := in.process.End(syscall.SIGKILL)
	in.process = nil
	w.remove(in)
	if err != nil {
		return err
	}
	return w.startProcess()
}

func (w *world) startProcess() error {
	in, err := startProcess(context.Background(), fmt.Sprintf("process %d", w.serial.Add(1)), w.config)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, in)
	return nil
}

// processes has a real process take part, which is stopped and killed.
func (w *world) processes() {
	w.t.Helper()
	w.fatal(w.startProcess())
	for range 3 {
		w.inject(ofProcesses[0])
	}
	w.inject(ofProcesses[1])
	w.inject(ofProcesses[2])
	w.inject(ofProcesses[0])
}
