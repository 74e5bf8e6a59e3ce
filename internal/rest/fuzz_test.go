package rest

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"rbcs"
)

// FuzzDecode holds the decoder against encoding/json: both agree on what is
// valid JSON, and what the decoder accepts it reads again as the same.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		validTx, benchBatch(2), `{"transactions":[` + validTx + `,{"id":7}]}`, validTx + "\n\n{\n" + validTx,
		tx("metadata", `{"a":[1.50,{"b":null}]}`), tx("description", `"\u00e9\ud83d\ude00\/\\"`), `{"id":01}`, `[1,]`, `{"a":1,}`, `{"id":"\x"}`,
		strings.Replace(tx("expires_at", `"2027-01-02T03:04:05.123+14:00"`), "{", `{"type":"hold",`, 1), group(validTx, tx("id", `"t2"`)), group(validTx, validTx),
		`{"id":"c","amount":"1.50","description":"x","metadata":{}}`, `{"url":"https://example.com","cursor":5,"prefix":"a:"}`, `{"paused":false,"cursor":1e2}`,
		tx("timestamp", `"2026-01-02T03:04:05.123+14:00"`), tx("type", `"transfer"`), "\xff", "", "{", `{"a":-}`, `{"a":1e}`, `{"a":tru}`,
	} {
		f.Add([]byte(seed))
	}
	currencies, err := rbcs.NewCurrencies()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		valid := json.Valid(body) && utf8.Valid(body)
		d := new(decoder)
		for name, read := range map[string]func(*rbcs.Transaction) error{
			"single": func(t *rbcs.Transaction) error { return d.single(t, currencies) },
			"batch":  func(*rbcs.Transaction) error { _, err := d.batch(currencies); return err },
			"capture": func(t *rbcs.Transaction) error {
				t.Type, t.Original = rbcs.Capture, "h"
				return d.settlement(t)
			},
			"release": func(t *rbcs.Transaction) error {
				t.Type, t.Original = rbcs.Release, "h"
				return d.settlement(t)
			},
			"webhook": func(*rbcs.Transaction) error {
				_, err := d.newWebhook(func(string) error { return nil })
				return err
			},
			"webhook change": func(*rbcs.Transaction) error {
				_, err := d.webhookChange(func(string) error { return nil })
				return err
			},
			"account": func(*rbcs.Transaction) error {
				_, _, err := d.accounts(currencies)
				return err
			},
			"change": func(*rbcs.Transaction) error { _, err := d.accountChange(); return err },
		} {
			var tx rbcs.Transaction
			d.body = append(d.body[:0], body...)
			err := d.use()
			if err == nil {
				err = read(&tx)
			}
			var fault *rbcs.Error
			if wellFormed := err == nil || errors.As(err, &fault) && len(fault.Fields) > 0; wellFormed != valid {
				t.Fatalf("%s: valid JSON is %v, but the decoder says %v", name, valid, err)
			}
			if name == "single" && err == nil {
				sameAgain(t, &tx, currencies)
			}
		}
		d.body = append(d.body[:0], body...)
		if d.use() != nil {
			return
		}
		b, err := d.ndjson(currencies)
		if err != nil {
			t.Fatal(err)
		}
		checkJoin(t, b)
		if lines := len(strings.Split(string(body), "\n")); len(b.items) > lines {
			t.Fatalf("%d items in %d lines", len(b.items), lines)
		}
	})
}

// checkJoin makes a group of a batch: all of its members have their places, or
// none is left to submit and each has an error.
func checkJoin(t *testing.T, b *batch) {
	t.Helper()
	if err := b.join(); err != nil {
		if len(b.items) <= rbcs.MaxGroup {
			t.Fatal(err)
		}
		return
	}
	for i, item := range b.items {
		if (item.err == nil) != (len(b.valid) == len(b.items)) {
			t.Fatalf("member %d of %d, %d of them valid, has the error %v", i, len(b.items), len(b.valid), item.err)
		}
	}
	for i, tx := range b.valid {
		if tx.Group != (rbcs.Group{ID: rbcs.GroupID(b.valid), Position: i, Size: len(b.valid)}) {
			t.Fatalf("member %d has %+v", i, tx.Group)
		}
	}
}

// sameAgain writes an accepted transaction with encoding/json and reads it again.
func sameAgain(t *testing.T, tx *rbcs.Transaction, currencies *rbcs.Currencies) {
	t.Helper()
	members := map[string]any{
		"id": tx.ID, "type": tx.Type, "source": tx.Source, "destination": tx.Destination,
		"amount": tx.Amount, "timestamp": tx.Timestamp.Format(rbcs.TimeFormat), "description": tx.Description,
	}
	if !tx.ExpiresAt.IsZero() {
		members["expires_at"] = tx.ExpiresAt.Format(rbcs.TimeFormat)
	}
	if tx.Currency != "" {
		members["currency"] = tx.Currency
	}
	if tx.Metadata != "" {
		members["metadata"] = json.RawMessage(tx.Metadata)
	}
	d := new(decoder)
	var err error
	if d.body, err = json.Marshal(members); err != nil {
		t.Fatal(err)
	}
	if err := d.use(); err != nil {
		t.Fatal(err)
	}
	var again rbcs.Transaction
	if err := d.single(&again, currencies); err != nil {
		t.Fatalf("%s: %v", d.body, err)
	}
	if !reflect.DeepEqual(*tx, again) {
		t.Fatalf("%+v was read again as %+v", *tx, again)
	}
}
