package postgres

import (
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
// PgBouncer without prepared statements.
func TestConformanceThroughPooler(t *testing.T) {
	storetest.Run(t, func(t *testing.T) rbcs.Store { return openStore(t, testenv.PgBouncer(t, migrated(t))) })
}
