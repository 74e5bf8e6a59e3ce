package postgres

import (
	"context"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

const backendSQL = "select pg_backend_pid()"

// meet finds out whether a new connection leads to the server itself.
//
// A pooler gives each transaction another backend, where the statements that this
// side has prepared are not, or are there already: which ones fail is a matter of
// luck, and in the background nobody sees it. So it must not depend on what the
// DSN says. The pooler answers the log-in with a cancel key of its own, whose
// process ID is not the backend's.
//
// Where there is one, connections prepare nothing from then on. The one that
// found it out does already: it is closed, and [links.prepare] has the pool take
// another one. The question is a part of connecting, and takes no longer: a pooler
// whose server is away lets in whom it does not answer.
func (l *links) meet(ctx context.Context, conn *pgx.Conn) error {
	if l.told || l.pooled.Load() {
		return nil
	}
	asking, cancel := context.WithTimeout(ctx, conn.Config().ConnectTimeout)
	defer cancel()
	results, err := conn.PgConn().Exec(asking, backendSQL).ReadAll() // which prepares nothing
	if err != nil {
		return err
	}
	backend := string(results[0].Rows[0][0])
	if backend == strconv.FormatUint(uint64(conn.PgConn().PID()), 10) {
		return nil
	}
	l.pooled.Store(true)
	return conn.Close(ctx)
}

// tellsMode reports whether a DSN says how statements are sent.
func tellsMode(dsn string) bool { return strings.Contains(dsn, "default_query_exec_mode") }
