package postgres

import (
	"strings"
	"testing"

	"rbcs"
	"rbcs/internal/storetest"
	"rbcs/internal/testenv"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) rbcs.Store { return openStore(t, migrated(t)) })
}

func TestConformanceOfTwoInstances(t *testing.T) {
	storetest.RunShared(t, func(t *testing.T) (a, b rbcs.Store) {
		dsn := migrated(t)
		return openStore(t, dsn), openStore(t, dsn)
	})
}

// TestConformanceThroughPooler runs the suite through a transaction-mode
// PgBouncer without prepared statements, of which the DSN says nothing.
func TestConformanceThroughPooler(t *testing.T) {
	storetest.Run(t, func(t *testing.T) rbcs.Store { return openStore(t, pooled(t, migrated(t))) })
}

// pooled returns a DSN that leads through a pooler and does not tell.
func pooled(t *testing.T, dsn string) string {
	t.Helper()
	dsn, found := strings.CutSuffix(testenv.PgBouncer(t, dsn), "&default_query_exec_mode=cache_describe")
	if !found {
		t.Fatal("the DSN tells nothing of the pooler already")
	}
	return dsn
}
