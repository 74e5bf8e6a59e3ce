package rest

import (
	"fmt"
	"strings"
	"testing"

	"rbcs"
)

// group is an atomic batch.
func group(members ...string) string {
	return `{"atomic":true,"transactions":[` + strings.Join(members, ",") + `]}`
}

// outcomes writes what became of each item: "g1 posted", "g2 error group_failed".
func outcomes(items []map[string]any) string {
	var list []string
	for _, item := range items {
		words := []string{fmt.Sprint(item["id"]), fmt.Sprint(item["status"])}
		if item["code"] != nil {
			words = append(words, fmt.Sprint(item["code"]))
		}
		list = append(list, strings.Join(words, " "))
	}
	return strings.Join(list, ", ")
}

func wantOutcomes(t *testing.T, items []map[string]any, want string) {
	t.Helper()
	if got := outcomes(items); got != want {
		t.Errorf("the outcomes are\n%s\nand not\n%s", got, want)
	}
}

func TestAtomicGroup(t *testing.T) {
	c := newService(t)
	c.account("bank", `,"overdraft":"unlimited"`)
	for _, number := range []string{"payer", "shop", "fees"} {
		c.account(number, "")
	}
	// The fee is paid out of what an earlier member brings.
	one, two, three := transfer("g1", "bank", "payer", "10"), transfer("g2", "payer", "shop", "9.5"), hold("g3", "payer", "fees", "0.5", "")
	first := c.do("POST", batchPath, batchPath, group(one, two, three))
	items := results(t, first)
	wantOutcomes(t, items, "g1 posted, g2 posted, g3 held")
	wantMembers(t, items[1]["group"].(map[string]any), map[string]string{"position": "1", "size": "3"})
	for i, item := range results(t, c.do("POST", batchPath, batchPath, group(one, two, three))) {
		if item["replayed"] != true || item["sequence"] != items[i]["sequence"] {
			t.Errorf("replayed as %v", item)
		}
	}
	wantMembers(t, c.current("g2")["group"].(map[string]any), map[string]string{"id": rbcs.GroupID([]*rbcs.Transaction{{ID: "g1"}, {ID: "g2"}, {ID: "g3"}})})

	// Other members, another order, or no group are conflicts.
	for _, body := range []string{group(two, one, three), group(one, two), strings.Replace(group(one), `"atomic":true,`, "", 1)} {
		for _, item := range results(t, c.do("POST", batchPath, batchPath, body)) {
			wantMembers(t, item, map[string]string{"status": "error", "code": "id_conflict"})
			if pointer := item["errors"].([]any)[0].(map[string]any)["pointer"]; pointer != "/atomic" {
				t.Errorf("the conflict is at %v", pointer)
			}
		}
	}
	mixed := results(t, c.do("POST", batchPath, batchPath, group(one, transfer("new", "bank", "payer", "1"))))
	wantOutcomes(t, mixed, "g1 error id_conflict, new error group_failed")
	c.want(404, "GET", "/v1/transactions/{id}", "/v1/transactions/new", "")

	// One that is rejected says why, and nothing moves.
	failed := []string{transfer("f1", "bank", "payer", "1"), transfer("f2", "payer", "shop", "5"), transfer("f3", "bank", "shop", "1")}
	for _, replayed := range []any{nil, true} {
		items = results(t, c.do("POST", batchPath, batchPath, group(failed...)))
		wantOutcomes(t, items, "f1 rejected group_failed, f2 rejected insufficient_funds, f3 rejected group_failed")
		if items[0]["replayed"] != replayed || items[1]["short"] != "4.00" {
			t.Errorf("got %v", items)
		}
	}
	wantMembers(t, c.want(200, "GET", pathOfAccount, "/v1/accounts/payer", ""), map[string]string{"balance": "0.50", "held": "0.50"})
}

// TestGroupThatIsNotSubmitted: a malformed member, or an ID that stands twice,
// keeps the whole group from the engine.
func TestGroupThatIsNotSubmitted(t *testing.T) {
	good, bad := tx("id", `"g1"`), tx("amount", `5`)
	engine := &fakeEngine{}
	c := newClient(t, newHandler(t, &fakeStore{}, engine))
	for want, body := range map[string]string{
		"g1 error group_failed, t1 error invalid_request":                           group(good, bad),
		"t1 error group_failed, g1 error group_failed, t1 error invalid_request":    group(validTx, good, validTx),
		"t1 error group_failed, <nil> error invalid_request":                        group(validTx, `7`),
		"<nil> error invalid_request, <nil> error invalid_request":                  group(`{"amount":"1"}`, `{"amount":"1"}`),
		"t1 error invalid_request, t1 error group_failed, t1 error invalid_request": group(bad, validTx, validTx),
		"": group(),
	} {
		wantOutcomes(t, results(t, c.do("POST", batchPath, batchPath, body)), want)
	}
	twice := results(t, c.do("POST", batchPath, batchPath+"?atomic=true", validTx+"\n"+validTx, "Content-Type", ndjsonType))
	wantMembers(t, twice[1]["errors"].([]any)[0].(map[string]any), map[string]string{
		"pointer": "/id", "message": "item 0 of this atomic batch, counted from 0, has the same ID",
	})
	broken := results(t, c.do("POST", batchPath, batchPath+"?atomic=true", validTx+"\n{", "Content-Type", ndjsonType))
	wantOutcomes(t, broken, "t1 error group_failed, <nil> error invalid_request")
	w := call(c.h, "POST", batchPath+"?atomic=true", strings.Repeat(validTx+"\n", rbcs.MaxGroup+1), "Content-Type", ndjsonType)
	p := wantProblem(t, w, 413, rbcs.InvalidRequest)
	if p["detail"] != "an atomic batch has at most 1000 transactions; this one has 1001" {
		t.Errorf("detail %v", p["detail"])
	}
	if len(engine.got) != 0 {
		t.Error("something reached the engine")
	}

	var most []string
	for i := range rbcs.MaxGroup {
		most = append(most, tx("id", fmt.Sprintf(`"m%d"`, i)))
	}
	for target, body := range map[string]string{batchPath: group(most...), batchPath + "?atomic=true&dry_run=false": strings.Join(most, "\n")} {
		engine.got = nil
		contentType := jsonType
		if body[:2] == `{"` && strings.Contains(target, "?") {
			contentType = ndjsonType
		}
		if items := results(t, c.do("POST", batchPath, target, body, "Content-Type", contentType)); len(items) != rbcs.MaxGroup || len(engine.got) != rbcs.MaxGroup {
			t.Fatalf("%d items, %d of them with the engine", len(items), len(engine.got))
		}
		for i, got := range engine.got {
			if got.Group != (rbcs.Group{ID: rbcs.GroupID(engine.got), Position: i, Size: rbcs.MaxGroup}) {
				t.Fatalf("member %d has %+v", i, got.Group)
			}
		}
	}
}

// TestDryRun: the same decision, the same body but for the sequence, and nothing recorded.
func TestDryRun(t *testing.T) {
	c := newService(t)
	c.account("bank", `,"overdraft":"unlimited"`)
	c.account("a", "")
	c.account("b", "")
	c.want(201, "POST", postPath, postPath, hold("h", "bank", "a", "5", ""))

	strip := func(m map[string]any) string {
		for _, name := range []string{"sequence", "dry_run", "committed_at", "timestamp"} {
			delete(m, name)
		}
		if inner, ok := m["transaction"].(map[string]any); ok {
			for _, name := range []string{"sequence", "dry_run", "committed_at", "timestamp"} {
				delete(inner, name)
			}
		}
		return fmt.Sprint(m)
	}
	for _, try := range []struct {
		path, target, body string
		status, real       int
	}{
		{postPath, postPath, transfer("t", "bank", "a", "10"), 200, 201},
		{postPath, postPath, transfer("poor", "b", "a", "10"), 422, 422},
		{postPath, postPath, transfer("t", "bank", "a", "11"), 409, 409},
		{capturePath, "/v1/transactions/h/capture", `{"id":"c","amount":"1"}`, 200, 201},
		{releasePath, "/v1/transactions/h/release", `{"id":"r"}`, 422, 422},
		{reversePath, "/v1/transactions/t/reverse", `{"id":"rev"}`, 200, 201},
	} {
		preview := c.want(try.status, "POST", try.path, try.target+"?dry_run=true", try.body)
		if preview["dry_run"] != true && try.status != 409 || preview["sequence"] != nil {
			t.Errorf("%s: the preview is %v", try.body, preview)
		}
		if record, ok := preview["transaction"].(map[string]any); ok && (record["dry_run"] != true || record["sequence"] != nil) {
			t.Errorf("%s: the preview is %v", try.body, preview)
		}
		real := c.want(try.real, "POST", try.path, try.target, try.body)
		if (try.status == try.real || try.real == 201 && try.status == 200) && strip(preview) != strip(real) {
			t.Errorf("the preview was\n%v\nand the decision\n%v", preview, real)
		}
	}
	again := c.do("POST", postPath, postPath+"?dry_run=true", transfer("t", "bank", "a", "10"))
	if again.Code != 200 || again.Header().Get(replayedHeader) != "true" {
		t.Errorf("a recorded one gives %d, %v", again.Code, again.Header())
	}

	members := []string{transfer("x1", "bank", "b", "10"), transfer("x2", "b", "a", "4"), transfer("x1", "bank", "b", "10"), `{"id":"x3"}`}
	for _, accept := range []string{jsonType, ndjsonType} {
		items := results(t, c.do("POST", batchPath, batchPath+"?dry_run=true", `{"transactions":[`+strings.Join(members, ",")+`]}`, "Accept", accept))
		wantOutcomes(t, items, "x1 posted, x2 posted, x1 posted, x3 error invalid_request")
		wantMembers(t, items[1], map[string]string{"dry_run": "true", "sequence": "<nil>", "source_balance": "6.00"})
		wantMembers(t, items[2], map[string]string{"dry_run": "true", "replayed": "true"})
	}
	items := results(t, c.do("POST", batchPath, batchPath+"?dry_run=true", group(members[0], transfer("x4", "a", "b", "99"))))
	wantOutcomes(t, items, "x1 rejected group_failed, x4 rejected insufficient_funds")
	for _, id := range []string{"x1", "x2", "x4", "r2"} {
		c.want(404, "GET", "/v1/transactions/{id}", "/v1/transactions/"+id, "")
	}

	text := call(c.h, "GET", "/metrics", "").Body.String()
	for _, line := range []string{
		`rbcs_transactions_total{code="",outcome="posted"} 3`, // t, c, rev
		`rbcs_transactions_total{code="",outcome="held"} 1`,
		`rbcs_transactions_total{code="group_failed",outcome="previewed"} 1`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("missing: %s", line)
		}
	}
}

// TestDryRunFails: it is only ever previewed, and its failures are no unknown outcomes.
func TestDryRunFails(t *testing.T) {
	engine := &fakeEngine{err: rbcs.Errorf(rbcs.Overloaded, "too many previews")}
	h := newHandler(t, &fakeStore{}, engine)
	wantProblem(t, call(h, "POST", postPath+"?dry_run=true", validTx), 429, rbcs.Overloaded)
	wantProblem(t, call(h, "POST", batchPath+"?dry_run=true", `{"transactions":[`+validTx+`]}`), 429, rbcs.Overloaded)
	if len(engine.got) != 0 || engine.previewed != 2 {
		t.Errorf("%d were submitted, %d previewed", len(engine.got), engine.previewed)
	}
}
