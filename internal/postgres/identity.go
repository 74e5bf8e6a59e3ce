package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

// identitySQL is checkSQL and the database's name; see databaseSQL. A standby
// has all three parts of it from its primary.
const identitySQL = "select " + readOnlySQL + ", " + databaseSQL + " from cache_control c where c.one"

// Database implements [rbcs.SharedStore]. Where the role may not read the
// server's system identifier, it tells none: readiness must not depend on it.
func (s *Store) Database(ctx context.Context) (string, error) {
	var readOnly bool
	var name string
	err := s.pool.QueryRow(ctx, identitySQL).Scan(&readOnly, &name)
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == "42501" {
		return "", s.Check(ctx)
	}
	switch {
	case err != nil:
		return "", failure(err)
	case readOnly:
		return "", s.standby()
	}
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:8]), nil
}
