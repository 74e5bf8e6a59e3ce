package linear

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"rbcs"
	"rbcs/internal/testenv"
)

// imported is how many transactions an import posts.
const imported = 500

// importAll posts with `rbcs import --store`, which knows of no cache, in small
// commits beside those of the instances.
func (w *world) importAll() error {
	path, err := testenv.Program()
	if err != nil {
		return err
	}
	const posters = writers + readers + 2 // a client's number
	c := &user{w: w, number: posters}
	c.random = w.random
	file := filepath.Join(w.t.TempDir(), "transactions.ndjson")
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(f)
	txs := make([]*rbcs.Transaction, imported)
	for i := range txs {
		tx := c.transaction(rbcs.Transfer)
		txs[i] = tx
		fmt.Fprintf(out, `{"id":%q,"source":%q,"destination":%q,"amount":%q,"timestamp":%q}`+"\n",
			tx.ID, tx.Source, tx.Destination, tx.Amount, tx.Timestamp.Format(time.RFC3339Nano))
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	w.history.submit(posters, "rbcs import", txs)
	ctx, cancel := context.WithTimeout(context.Background(), 2*settled)
	defer cancel()
	output, err := exec.CommandContext(ctx, path, "import", "--store", w.config.dsn, "--batch", "50", file).CombinedOutput()
	if err != nil {
		return fmt.Errorf("rbcs import: %w\n%s", err, output)
	}
	w.history.done(txs)
	return nil
}
