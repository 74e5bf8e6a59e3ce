package postgres

import (
	"testing"

	"rbcs"
	"rbcs/internal/testenv"
)

var _ rbcs.SharedStore = (*Store)(nil)

// named returns the name that a store gives its database.
func named(t *testing.T, s *Store) string {
	t.Helper()
	name, err := s.Database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// TestDatabaseIsNamed the same to all who share it, and otherwise where it was
// copied with all that is in it, whichever server it is on.
func TestDatabaseIsNamed(t *testing.T) {
	dsn := migrated(t)
	name := named(t, openStore(t, dsn))
	if again := named(t, openStore(t, dsn)); len(name) != 16 || again != name {
		t.Errorf("it is %q, then %q", name, again)
	}
	var row string
	if err := connect(t, dsn).QueryRow(t.Context(), "select database from cache_control").Scan(&row); err != nil {
		t.Fatal(err)
	}
	elsewhere := testenv.PostgresServer(t).URL
	for _, copied := range []string{testenv.Postgres(t), elsewhere} { // as a dump would be restored
		if err := Migrate(t.Context(), copied, MigrateOptions{Logger: quiet}); err != nil {
			t.Fatal(err)
		}
		execute(t, connect(t, copied), "update cache_control set database = '"+row+"'")
		if other := named(t, openStore(t, copied)); other == name {
			t.Errorf("a copy has the same name %s", other)
		}
	}
}

// TestDatabaseThatMayNotBeNamed is ready all the same.
func TestDatabaseThatMayNotBeNamed(t *testing.T) {
	dsn := testenv.Postgres(t)
	admin := connect(t, dsn)
	s := openStore(t, withServiceRole(t, dsn, "unprivileged_"+admin.Config().Database))
	if name := named(t, s); name == "" {
		t.Error("an ordinary role cannot name its database")
	}
	execute(t, admin, "revoke execute on function pg_control_system() from public")
	if name := named(t, s); name != "" {
		t.Errorf("it is called %s", name)
	}
}
