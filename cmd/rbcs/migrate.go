package main

import (
	"context"
	"fmt"

	"rbcs/internal/postgres"
)

// MigrateCmd brings a store's schema up to date.
type MigrateCmd struct {
	Store StoreName `default:"sqlite:rbcs.db" placeholder:"STORE" help:"sqlite:FILE or postgres://USER@HOST/DATABASE (${default}). On PostgreSQL: a role that may change the schema, and not through a transaction-mode pooler."`
	StoreAccess
	ServiceRole string `placeholder:"ROLE" help:"PostgreSQL role that the service connects as, if another one: it is granted what the service needs, and no UPDATE or DELETE on the log of transactions."`
}

// Help is the long help of the command.
func (MigrateCmd) Help() string {
	return `Creates the schema or brings it up to date. It may be run at any time, by several
at once, and again: what is up to date stays as it is.

Examples:

  rbcs migrate --store postgres://owner@db/rbcs --service-role rbcs
  rbcs migrate --store sqlite:/var/lib/rbcs/rbcs.db`
}

// Run migrates the store.
func (c *MigrateCmd) Run(ctx context.Context, m *Main) error {
	if c.ServiceRole != "" && !c.Store.Postgres() {
		return usagef("--service-role is for PostgreSQL: SQLite has no roles")
	}
	if err := c.migrate(ctx, m); err != nil {
		return err
	}
	fmt.Fprintf(m.Stdout, "%s is up to date\n", c.Store)
	return nil
}

func (c *MigrateCmd) migrate(ctx context.Context, m *Main) error {
	if !c.Store.Postgres() {
		store, err := openStore(ctx, c.Store, storeOptions{access: c.StoreAccess, logger: m.quietLogger()}) // which migrates
		if err != nil {
			return err
		}
		return store.Close()
	}
	access, err := c.of(ctx, c.Store)
	if err == nil {
		err = postgres.Migrate(ctx, string(c.Store), postgres.MigrateOptions{ServiceRole: c.ServiceRole, Access: access, Logger: m.quietLogger()})
	}
	if err != nil {
		return storeError(c.Store, err)
	}
	return nil
}
