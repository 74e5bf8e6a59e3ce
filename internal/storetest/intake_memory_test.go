package storetest_test

import (
	"cmp"
	"context"
	"slices"
	"time"

	"rbcs"
)

// memoryIntake is the queue: entries by ID, and what is claimed by source.
type memoryIntake struct {
	entries  map[string]*rbcs.IntakeEntry
	claims   map[string]memoryClaim
	events   map[string][]rbcs.IntakeEvent
	tried    map[string]memoryTried
	position int64
}

// memoryTried counts the attempts of an entry that are events, and those after
// them; last is the last one.
type memoryTried struct {
	listed, unlisted int
	last             rbcs.IntakeEvent
}

// memoryClaim is whose a source is until when; of nobody ("") it waits after a failure.
type memoryClaim struct {
	by    string
	until time.Time
}

func newMemoryIntake() memoryIntake {
	return memoryIntake{
		entries: map[string]*rbcs.IntakeEntry{}, claims: map[string]memoryClaim{}, events: map[string][]rbcs.IntakeEvent{},
		tried: map[string]memoryTried{},
	}
}

func waits(e *rbcs.IntakeEntry) bool {
	return e.State == rbcs.IntakeQueued || e.State == rbcs.IntakeRetrying
}

// keep adds what follows the attempts of an entry to its history, and the last of them before it.
func (q *memoryIntake) keep(id string, next ...rbcs.IntakeEvent) {
	if t := q.tried[id]; t.unlisted > 0 {
		next = append([]rbcs.IntakeEvent{t.last}, next...)
	}
	q.events[id] = append(q.events[id], next...)
}

// try counts an attempt that failed.
func (q *memoryIntake) try(id string, event rbcs.IntakeEvent) {
	t := q.tried[id]
	other := t.last.Kind != event.Kind || t.last.Code != event.Code
	if event.Kind == rbcs.IntakeDied || t.listed < rbcs.IntakeListedAll || other && t.listed < rbcs.IntakeListedMost {
		q.keep(id, event)
		q.tried[id] = memoryTried{t.listed + 1 + min(t.unlisted, 1), 0, event}
		return
	}
	event.Omitted = t.unlisted
	q.tried[id] = memoryTried{t.listed, t.unlisted + 1, event}
}

// list returns entries in their order.
func (q *memoryIntake) list(keep func(*rbcs.IntakeEntry) bool) (list []*rbcs.IntakeEntry) {
	for _, e := range q.entries {
		if keep(e) {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b *rbcs.IntakeEntry) int {
		return cmp.Or(a.DueAt.Compare(b.DueAt), cmp.Compare(a.Position, b.Position))
	})
	return list
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (m *memory) Enqueue(ctx context.Context, txs []*rbcs.Transaction) ([]rbcs.IntakeResult, error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	results := make([]rbcs.IntakeResult, len(txs))
	for i, t := range txs {
		if recorded := m.recorded[t.ID]; recorded != nil {
			results[i] = rbcs.ReplayQueued(t, recorded)
			continue
		}
		entry := m.intake.entries[t.ID]
		if entry == nil {
			m.intake.position++
			at := now()
			entry = &rbcs.IntakeEntry{
				Transaction: *t, State: rbcs.IntakeQueued, Position: m.intake.position, AcceptedAt: at, DueAt: later(at, t.ExecuteAt),
			}
			m.intake.entries[t.ID] = entry
		}
		if results[i].Err = entry.Conflict(t); results[i].Err == nil {
			results[i].Entry = new(*entry)
		}
	}
	return results, nil
}

func (m *memory) ClaimIntake(ctx context.Context, c rbcs.IntakeClaim) (rbcs.IntakeBatch, error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return rbcs.IntakeBatch{}, err
	}
	defer leave()
	batch := rbcs.IntakeBatch{Now: now()}
	for _, e := range m.intake.list(waits) {
		source := e.Transaction.Source
		claim, claimed := m.intake.claims[source]
		mine := claimed && claim.by == c.Claimant
		switch {
		case e.DueAt.After(batch.Now), len(batch.Entries) == c.Limit, claimed && !mine && claim.until.After(batch.Now):
			continue
		case !mine && len(batch.Sources) == c.Sources:
			continue
		case !mine:
			m.intake.claims[source] = memoryClaim{c.Claimant, batch.Now.Add(c.Lease)}
			batch.Sources = append(batch.Sources, source)
		}
		batch.Entries = append(batch.Entries, *e)
	}
	return batch, nil
}

func (m *memory) SettleIntake(ctx context.Context, claimant string, sources []string, outcomes []rbcs.IntakeOutcome) error {
	leave, err := m.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	at := now()
	waiting := map[string]time.Duration{}
	for _, o := range outcomes {
		e := m.intake.entries[o.ID]
		switch {
		case o.Kind == "":
			m.intake.keep(o.ID)
			delete(m.intake.entries, o.ID)
			delete(m.intake.tried, o.ID)
			continue
		case e == nil || !waits(e) || m.intake.claims[o.Source].by != claimant:
			continue
		}
		event := rbcs.IntakeEvent{At: at, Kind: o.Kind, Instance: "memory", Code: o.Code, Detail: o.Detail, NextAt: at.Add(o.After)}
		if o.Anew {
			e.Attempts = 0
		}
		e.Attempts++
		e.State, e.Code, e.Detail = rbcs.IntakeRetrying, o.Code, o.Detail
		switch o.Kind {
		case rbcs.IntakeDied:
			e.State, event.NextAt = rbcs.IntakeDead, time.Time{}
		case rbcs.IntakeRefused:
			e.DueAt = event.NextAt
		case rbcs.IntakeFailed:
			waiting[o.Source] = max(waiting[o.Source], o.After)
		}
		m.intake.try(o.ID, event)
	}
	for _, source := range sources {
		if m.intake.claims[source].by != claimant {
			continue
		}
		delete(m.intake.claims, source)
		if wait := waiting[source]; wait > 0 {
			m.intake.claims[source] = memoryClaim{"", at.Add(wait)}
		}
	}
	return nil
}

func (m *memory) Intake(ctx context.Context, id string) (rbcs.IntakeEntry, error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return rbcs.IntakeEntry{}, err
	}
	defer leave()
	if e := m.intake.entries[id]; e != nil {
		return *e, nil
	}
	return rbcs.IntakeEntry{}, rbcs.NotQueued(id, false)
}

func (m *memory) IntakeHistory(ctx context.Context, id string) ([]rbcs.IntakeEvent, error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	all := slices.Clone(m.intake.events[id])
	if t := m.intake.tried[id]; t.unlisted > 0 {
		all = append(all, t.last)
	}
	return all[max(0, len(all)-rbcs.MaxIntakeHistory):], nil
}

func (m *memory) Intakes(ctx context.Context, q rbcs.IntakeQuery) ([]rbcs.IntakeEntry, error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	var list []rbcs.IntakeEntry
	for _, e := range m.intake.list(func(e *rbcs.IntakeEntry) bool { return e.State == q.State || q.State == rbcs.IntakeWaiting && waits(e) }) {
		behind := cmp.Or(e.DueAt.Compare(q.After.DueAt), cmp.Compare(e.Position, q.After.Position)) > 0
		if behind && len(list) < q.Limit {
			list = append(list, *e)
		}
	}
	return list, nil
}

func (m *memory) IntakeStats(ctx context.Context) (rbcs.IntakeStats, error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return rbcs.IntakeStats{}, err
	}
	defer leave()
	stats := rbcs.IntakeStats{Now: now()}
	for _, e := range m.intake.entries {
		switch e.State {
		case rbcs.IntakeQueued:
			stats.Queued++
		case rbcs.IntakeRetrying:
			stats.Retrying++
		case rbcs.IntakeDead:
			stats.Dead++
		}
	}
	if live := m.intake.list(waits); len(live) > 0 {
		stats.OldestDue = live[0].DueAt
	}
	return stats, nil
}

func (m *memory) ReplayIntake(ctx context.Context, a rbcs.IntakeAction) ([]*rbcs.Error, error) {
	return m.act(ctx, a, rbcs.IntakeQueued, rbcs.IntakeReplayed)
}

func (m *memory) DiscardIntake(ctx context.Context, a rbcs.IntakeAction) ([]*rbcs.Error, error) {
	return m.act(ctx, a, rbcs.IntakeDiscarded, rbcs.IntakeWasDiscarded)
}

func (m *memory) act(ctx context.Context, a rbcs.IntakeAction, to rbcs.IntakeState, kind rbcs.IntakeEventKind) ([]*rbcs.Error, error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	errs := make([]*rbcs.Error, len(a.IDs))
	for i, id := range a.IDs {
		e, at := m.intake.entries[id], now()
		if e == nil {
			errs[i] = rbcs.NotQueued(id, m.recorded[id] != nil)
			continue
		}
		claim := m.intake.claims[e.Transaction.Source]
		if errs[i] = e.Refuse(to, m.recorded[id] != nil, claim.by != "" && claim.until.After(at)); errs[i] != nil || e.State == to {
			continue
		}
		e.State, e.Attempts, e.Code, e.Detail = to, 0, "", ""
		if to == rbcs.IntakeQueued {
			e.DueAt = later(at, e.Transaction.ExecuteAt)
			if claim.by == "" {
				delete(m.intake.claims, e.Transaction.Source)
			}
		}
		m.intake.keep(id, rbcs.IntakeEvent{At: at, Kind: kind, Instance: "memory", Actor: a.Actor, Detail: a.Reason})
		delete(m.intake.tried, id)
	}
	return errs, nil
}
