package postgres

import (
	"reflect"
	"testing"

	"rbcs"
	"rbcs/internal/audit"
	"rbcs/internal/storetest"
)

// TestMigrationsKeepTheBooks brings a schema back to each of its versions, by
// taking away what later ones added, and migrates what is in it.
func TestMigrationsKeepTheBooks(t *testing.T) {
	undo := []string{ // of each migration after the first
		"drop table cache_control",
		`drop table intake, intake_sources, intake_events; drop sequence intake_positions;
			alter table transactions drop column execute_at, drop column retry_until`,
		`alter table intake drop column tried_at, drop column next_at, drop column kind, drop column instance, drop column listed, drop column unlisted;
			alter table intake_events drop column omitted`,
	}
	if latest, err := schemaVersion(); err != nil || latest != int64(len(undo)+1) {
		t.Fatalf("the schema has version %d, and this test knows %d: %v", latest, len(undo)+1, err)
	}
	for version := range len(undo) {
		dsn := migrated(t)
		before := openStore(t, dsn)
		lives(t, before)
		wantLog, wantAccounts, err := storetest.Contents(t.Context(), before)
		if err != nil {
			t.Fatal(err)
		}
		conn := connect(t, dsn)
		for i := len(undo) - 1; i >= version; i-- {
			execute(t, conn, undo[i])
		}
		execute(t, conn, "delete from goose_db_version where version_id > $1", version+1)
		if err := Migrate(t.Context(), dsn, MigrateOptions{Logger: quiet}); err != nil {
			t.Fatalf("from version %d: %v", version+1, err)
		}
		s := openStore(t, dsn)
		log, accounts, err := storetest.Contents(t.Context(), s)
		if err != nil || !reflect.DeepEqual(log, wantLog) || !reflect.DeepEqual(accounts, wantAccounts) {
			t.Errorf("from version %d: %+v, %+v, want %+v, %+v: %v", version+1, log, accounts, wantLog, wantAccounts, err)
		}
		commit(t, s, settle(rbcs.Capture, "after", "open", 0), transfer("then"))
		queued := transfer("queued")
		if results, err := s.Enqueue(t.Context(), []*rbcs.Transaction{queued}); err != nil || results[0].Entry == nil {
			t.Errorf("from version %d: the queue: %v, %v", version+1, results, err)
		}
		if state, err := s.Cache(t.Context()); err != nil || state.Database == "" {
			t.Errorf("from version %d: the cache: %+v, %v", version+1, state, err)
		}
		report, err := audit.Run(t.Context(), s, nil)
		if err != nil || !report.OK() {
			t.Errorf("from version %d: %v, %v", version+1, report.Faults, err)
		}
	}
}
