package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rbcs"
)

// MaxBalances bounds the numbers in one request for balances: what a cache and a
// store answer in one round trip each.
const MaxBalances = 1000

func (s *server) registerBalances(api huma.API) {
	describePost(api, getBalanceOperation())
	s.mux.HandleFunc("GET "+pathOfBalance, s.getBalance)
	describePost(api, getBalancesOperation())
	s.mux.HandleFunc("POST /v1/balances/get", s.getBalances)
	huma.Register(api, readOperation("sum-balances", "/v1/balances", "Sum balances",
		"The sums over all accounts, or over those whose number begins with prefix, by currency and from one consistent snapshot."),
		s.sumBalances)
}

// The parameters of a read of a balance.
const (
	paramConsistency = "consistency"
	paramMinVersion  = "min_version"
	paramAt          = "at"

	strong = "strong" // of consistency: not from a cache
)

// clockTolerance is how far ahead of this machine's clock a database's may be:
// a time that a client got from an answer must not lie in the future.
const clockTolerance = time.Minute

// balanceQuery is what a request for one balance asks for.
type balanceQuery struct {
	number     string
	strong     bool
	minVersion int64
	at         time.Time // zero: now
}

func (s *server) balanceQuery(r *http.Request) (balanceQuery, error) {
	q := balanceQuery{number: r.PathValue("number")}
	var faults faults
	faults.check("/number", rbcs.ValidateNumber(q.number))
	for name, value := range faults.parameters(r, paramConsistency, paramMinVersion, paramAt) {
		switch name {
		case paramConsistency:
			if q.strong = value == strong; !q.strong {
				faults.check("/"+name, errors.New(`this is "strong" or left out`))
			}
		case paramMinVersion:
			var err error
			if q.minVersion, err = strconv.ParseInt(value, 10, 64); err != nil || q.minVersion < 0 {
				faults.check("/"+name, errWhole)
			}
		case paramAt:
			q.at = faults.time("/"+name, value)
			s.checkOver(&faults, "/"+name, q.at)
		}
	}
	if faults != nil {
		return q, faults.err()
	}
	return q, nil
}

// checkOver refuses a moment of which more may still be committed: what is told of it would not last.
func (s *server) checkOver(f *faults, pointer string, at time.Time) {
	if at.After(s.Now().Add(clockTolerance)) {
		f.check(pointer, errors.New("this moment is not over; ask again later, or leave it out for now"))
	}
}

// getBalance is the most frequent request: its answer is written by hand.
func (s *server) getBalance(w http.ResponseWriter, r *http.Request) {
	q, err := s.balanceQuery(r)
	var balance rbcs.BalanceReading
	if err == nil {
		ctx, cancel := context.WithTimeout(r.Context(), s.RequestTimeout)
		defer cancel()
		balance, err = s.balance(ctx, q)
	}
	if err == nil && balance.Version < q.minVersion {
		err = rbcs.Errorf(rbcs.VersionNotReached, "the account %s has version %d, not yet %d; ask again later", q.number, balance.Version, q.minVersion)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	out := newBuffer()
	defer out.free()
	out.b = append(appendBalance(out.b, &balance), '\n')
	send(w, http.StatusOK, jsonType, out.b)
}

func (s *server) balance(ctx context.Context, q balanceQuery) (rbcs.BalanceReading, error) {
	if !q.at.IsZero() {
		balance, err := s.Store.BalanceAt(ctx, q.number, q.at)
		return rbcs.BalanceReading{Balance: balance}, err
	}
	balances, err := s.balances(ctx, []string{q.number}, q.strong)
	switch {
	case err != nil:
		return rbcs.BalanceReading{}, err
	case balances[0].Err != nil:
		return rbcs.BalanceReading{}, balances[0].Err
	}
	return balances[0], nil
}

// balances reads balances of now.
func (s *server) balances(ctx context.Context, numbers []string, strong bool) ([]rbcs.BalanceReading, error) {
	reader := s.Balances
	if strong {
		reader = s.Store
	}
	balances, err := reader.Balances(ctx, numbers)
	if err == nil && len(balances) != len(numbers) {
		err = rbcs.Errorf(rbcs.Internal, "%d balances were read for %d accounts", len(balances), len(numbers))
	}
	return balances, err
}

// getBalances reads many balances, each by itself as new as a single read's:
// they are no snapshot of one moment.
func (s *server) getBalances(w http.ResponseWriter, r *http.Request) {
	var numbers []string
	var isStrong bool
	err := s.decodeOnly(w, r, min(s.MaxBody, maxSingleBody), func(d *decoder) (err error) {
		numbers, isStrong, err = d.balances()
		return err
	})
	var balances []rbcs.BalanceReading
	if err == nil && len(numbers) > 0 {
		ctx, cancel := context.WithTimeout(r.Context(), s.RequestTimeout)
		defer cancel()
		balances, err = s.balances(ctx, numbers, isStrong)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	out := newBuffer()
	defer out.free()
	out.b = append(out.b, `{"balances":[`...)
	for i := range balances {
		if i > 0 {
			out.b = append(out.b, ',')
		}
		if err := balances[i].Err; err != nil {
			out.b = appendItemError(out.b, "number", numbers[i], fmt.Sprintf("/numbers/%d", i), err)
		} else {
			out.b = appendBalance(out.b, &balances[i])
		}
	}
	out.b = append(out.b, `]}`...)
	send(w, http.StatusOK, jsonType, out.b)
}

// appendBalance writes a balance as a JSON object. Numbers and codes consist of plain characters.
func appendBalance(dst []byte, b *rbcs.BalanceReading) []byte {
	decimals := b.Currency.Decimals
	available, _ := b.Balance.Balance.Sub(b.Held) // in range: posting checks it with every change
	dst = append(append(append(dst, `{"number":"`...), b.Number...), `","currency":"`...)
	dst = append(append(dst, b.Currency.Code...), `","balance":"`...)
	dst = append(b.Balance.Balance.AppendFormat(dst, decimals), `","available":"`...)
	dst = append(available.AppendFormat(dst, decimals), `","held":"`...)
	dst = append(b.Held.AppendFormat(dst, decimals), `","version":`...)
	dst = append(strconv.AppendInt(dst, b.Version, 10), `,"as_of":"`...)
	dst = append(appendTime(dst, b.AsOf), `","served_by":"`...)
	if b.Cached {
		return append(dst, `cache"}`...)
	}
	return append(dst, `store"}`...)
}

type totalsInput struct {
	Prefix string `query:"prefix" doc:"Numbers that begin with this." example:"acme:"`
}

type totalsOutput struct{ Body TotalList }

func (s *server) sumBalances(ctx context.Context, in *totalsInput) (*totalsOutput, error) {
	if in.Prefix != "" {
		if err := rbcs.ValidateNumber(in.Prefix); err != nil {
			return nil, s.refuse(ctx, invalid("/prefix", "%s", err))
		}
	}
	totals, err := s.Store.Totals(ctx, in.Prefix)
	if err != nil {
		return nil, s.refuse(ctx, err)
	}
	out := &totalsOutput{TotalList{Balances: make([]Total, len(totals))}}
	for i := range totals {
		out.Body.Balances[i] = totalOf(&totals[i])
	}
	return out, nil
}
