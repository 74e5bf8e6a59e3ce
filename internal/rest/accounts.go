package rest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"rbcs"
)

func (s *server) registerAccounts(api huma.API) {
	describePost(api, postAccountOperation())
	s.mux.HandleFunc("POST /v1/accounts", s.postAccount)
	describePost(api, postAccountsOperation())
	s.mux.HandleFunc("POST /v1/accounts/batch", s.postAccounts)
	describePost(api, patchAccountOperation())
	s.mux.HandleFunc("PATCH /v1/accounts/{number}", s.patchAccount)
	huma.Register(api, readOperation("list-accounts", "/v1/accounts", "List accounts",
		"By number, in byte order. All parameters narrow the list."), s.listAccounts)
	huma.Register(api, readOperation("get-account", "/v1/accounts/{number}", "Get an account", ""), s.getAccount)
}

// decodeBody reads a body and hands it to read.
func (s *server) decodeBody(w http.ResponseWriter, r *http.Request, limit int64, read func(*decoder) error) error {
	d := newDecoder(&s.bodies)
	defer d.free()
	if _, err := d.read(w, r, limit, jsonType); err != nil {
		return err
	}
	return read(d)
}

// decodeOnly is decodeBody for a request that has no parameters.
func (s *server) decodeOnly(w http.ResponseWriter, r *http.Request, limit int64, read func(*decoder) error) error {
	if _, err := switches(r); err != nil {
		return err
	}
	return s.decodeBody(w, r, limit, read)
}

func (s *server) postAccount(w http.ResponseWriter, r *http.Request) {
	var account rbcs.NewAccount
	err := s.decodeOnly(w, r, min(s.MaxBody, maxSingleBody), func(d *decoder) error {
		var fault *rbcs.Error
		err := d.document(d.body, func() (err error) {
			account, fault, err = d.newAccount(s.Currencies)
			return err
		})
		if err == nil && fault != nil {
			err = fault
		}
		return err
	})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	results, err := s.createAccounts(r, []rbcs.NewAccount{account})
	if err == nil && results[0].Err != nil {
		err = results[0].Err
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	status := http.StatusOK
	if results[0].Created {
		status = http.StatusCreated
	}
	sendJSON(w, status, accountOf(&results[0].Account))
}

func (s *server) createAccounts(r *http.Request, accounts []rbcs.NewAccount) ([]rbcs.AccountResult, error) {
	ctx, cancel := context.WithTimeout(r.Context(), s.RequestTimeout)
	defer cancel()
	results, err := s.Store.CreateAccounts(ctx, accounts)
	if err == nil && len(results) != len(accounts) {
		err = rbcs.Errorf(rbcs.Internal, "the store gave %d results for %d accounts", len(results), len(accounts))
	}
	return results, err
}

// postAccounts creates many accounts in one commit.
func (s *server) postAccounts(w http.ResponseWriter, r *http.Request) {
	var items []batchItem
	var valid []rbcs.NewAccount
	err := s.decodeOnly(w, r, s.MaxBody, func(d *decoder) (err error) {
		items, valid, err = d.accounts(s.Currencies)
		return err
	})
	var results []rbcs.AccountResult
	if err == nil && len(valid) > 0 {
		results, err = s.createAccounts(r, valid)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	out := newBuffer()
	defer out.free()
	out.b = append(out.b, `{"results":[`...)
	for i, item := range items {
		if i > 0 {
			out.b = append(out.b, ',')
		}
		fault := item.err
		if fault == nil {
			result := &results[0]
			results = results[1:]
			if fault = result.Err; fault == nil {
				out.b = appendAccountResult(out.b, result)
				continue
			}
		}
		out.b = appendItemError(out.b, "number", item.key, "/"+strconv.Itoa(i), fault)
	}
	out.b = append(out.b, `]}`...)
	send(w, http.StatusOK, jsonType, out.b)
}

func appendAccountResult(dst []byte, r *rbcs.AccountResult) []byte {
	status := "existing"
	if r.Created {
		status = "created"
	}
	dst = append(append(append(dst, `{"status":"`...), status...), `","account":`...)
	return append(append(dst, encode(accountOf(&r.Account))...), '}')
}

func (s *server) patchAccount(w http.ResponseWriter, r *http.Request) {
	number := r.PathValue("number")
	if err := rbcs.ValidateNumber(number); err != nil {
		s.fail(w, r, invalid("/number", "%s", err))
		return
	}
	var change rbcs.AccountChange
	err := s.decodeOnly(w, r, min(s.MaxBody, maxSingleBody), func(d *decoder) (err error) {
		change, err = d.accountChange()
		return err
	})
	var account rbcs.Account
	if err == nil {
		ctx, cancel := context.WithTimeout(r.Context(), s.RequestTimeout)
		defer cancel()
		account, err = s.Store.UpdateAccount(ctx, number, change)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	sendJSON(w, http.StatusOK, accountOf(&account))
}

// encode writes a view. It contains nothing that could fail to encode.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func sendJSON(w http.ResponseWriter, status int, v any) { send(w, status, jsonType, encode(v)) }

// AccountPath names an account.
type AccountPath struct {
	Number string `path:"number" maxLength:"64" doc:"The account's number."`
}

// check refuses what cannot be a number, before a store sees it.
func (p AccountPath) check(f *faults) { f.check("/number", rbcs.ValidateNumber(p.Number)) }

type accountOutput struct{ Body Account }

func (s *server) getAccount(ctx context.Context, in *AccountPath) (*accountOutput, error) {
	var faults faults
	if in.check(&faults); faults != nil {
		return nil, s.refuse(ctx, faults.err())
	}
	account, err := s.Store.Account(ctx, in.Number)
	if err != nil {
		return nil, s.refuse(ctx, err)
	}
	return &accountOutput{accountOf(&account)}, nil
}

type listAccountsInput struct {
	Number   string `query:"number" maxLength:"64" doc:"Only this account; for numbers that cannot stand in a path, such as a dot."`
	Prefix   string `query:"prefix" doc:"Numbers that begin with this." example:"acme:"`
	Currency string `query:"currency" doc:"A currency's code."`
	Status   string `query:"status" enum:"open,frozen,frozen_outgoing,closed" doc:"The accounts' status."`
	Page
}

type accountListOutput struct{ Body AccountList }

func (s *server) listAccounts(ctx context.Context, in *listAccountsInput) (*accountListOutput, error) {
	var faults faults
	if in.Number != "" {
		faults.check("/number", rbcs.ValidateNumber(in.Number))
	}
	if in.Prefix != "" {
		faults.check("/prefix", rbcs.ValidateNumber(in.Prefix))
	}
	if _, known := s.Currencies.Lookup(in.Currency); in.Currency != "" && !known {
		faults.check("/currency", errors.New("the currency is not known: it is neither in ISO 4217 nor declared"))
	}
	after := faults.number(in.Cursor)
	if faults != nil {
		return nil, s.refuse(ctx, faults.err())
	}
	read := s.Store.Accounts
	if in.Number != "" {
		read = s.onlyAccount(in.Number)
	}
	accounts, err := read(ctx, rbcs.AccountQuery{
		Prefix: in.Prefix, Currency: in.Currency, Status: rbcs.AccountStatus(in.Status), After: after, Limit: in.Limit + 1,
	})
	if err != nil {
		return nil, s.refuse(ctx, err)
	}
	out := &accountListOutput{}
	accounts, more := cut(accounts, in.Limit)
	if more {
		out.Body.NextCursor = cursorOfNumber(accounts[len(accounts)-1].Number)
	}
	out.Body.Accounts = make([]Account, len(accounts))
	for i := range accounts {
		out.Body.Accounts[i] = accountOf(&accounts[i])
	}
	return out, nil
}

// onlyAccount reads a list of at most the one account.
func (s *server) onlyAccount(number string) func(context.Context, rbcs.AccountQuery) ([]rbcs.Account, error) {
	return func(ctx context.Context, q rbcs.AccountQuery) ([]rbcs.Account, error) {
		a, err := s.Store.Account(ctx, number)
		switch {
		case rbcs.CodeOf(err) == rbcs.NotFound:
			return nil, nil
		case err != nil:
			return nil, err
		case !strings.HasPrefix(number, q.Prefix), q.Currency != "" && q.Currency != a.Currency.Code,
			q.Status != "" && q.Status != a.Status, q.After != "" && number <= q.After:
			return nil, nil
		}
		return []rbcs.Account{a}, nil
	}
}
