package testenv

import "testing"

func TestStandbyFollowsAndIsPromoted(t *testing.T) {
	primary := PostgresServer(t)
	execute(t, primary.URL, "create table before as select 1")
	standby := primary.Standby(t, "work_mem=8MB")
	execute(t, primary.URL, "alter system set synchronous_standby_names = '"+StandbyName+"'")
	execute(t, primary.URL, "select pg_reload_conf()")
	if err := primary.poll(t.Context(), "select exists (select from pg_stat_replication where sync_state = 'sync')"); err != nil {
		t.Fatal(err)
	}
	// The checkpointer is who tells backends to wait, and it may not know the setting yet: no commit is certain to be seen by itself.
	execute(t, primary.URL, "create table after as select 1")
	if err := standby.Follow(t.Context(), primary); err != nil {
		t.Fatal(err)
	}
	if got := query(t, standby.URL, "select current_setting('work_mem') || count(*) from before, after"); got != "8MB1" {
		t.Errorf("the standby answers %s", got)
	}
	execute(t, primary.URL, "set synchronous_commit = local; create table later as select 1")
	if err := standby.Follow(t.Context(), primary); err != nil {
		t.Fatal(err)
	}
	if got := query(t, standby.URL, "select count(*)::text from later"); got != "1" {
		t.Errorf("the standby does not follow: %s", got)
	}
	if got := query(t, standby.URL, "select pg_is_in_recovery()::text"); got != "true" {
		t.Errorf("in recovery: %s", got)
	}
	if err := primary.Crash(); err != nil {
		t.Fatal(err)
	}
	if err := standby.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	execute(t, standby.URL, "create table promoted as select 1")
	if err := standby.Promote(t.Context()); err == nil {
		t.Error("a primary is promoted")
	}
	if _, err := NewStandby(t.Context(), primary); err == nil {
		t.Error("a standby of a server that is gone starts")
	}
}
