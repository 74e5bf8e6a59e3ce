package main

import (
	"context"

	"rbcs/internal/postgres"
)

// StoreAccess are the flags that say how connections to the store prove who they are.
type StoreAccess struct {
	PasswordFile string `name:"store-password-file" type:"path" placeholder:"FILE" help:"File with the password for PostgreSQL, read for each new connection: it may be replaced at any time."`
	Auth         string `name:"store-auth" default:"password" enum:"password,aws-rds,gcp" placeholder:"HOW" help:"How to log in to PostgreSQL: password, aws-rds (IAM tokens for RDS and Aurora) or gcp (IAM tokens for Cloud SQL) (${default}). Tokens need sslmode=verify-full or require."`
}

// of returns the access to a store.
func (a *StoreAccess) of(ctx context.Context, name StoreName) (access postgres.Access, err error) {
	tokens := a.Auth == "aws-rds" || a.Auth == "gcp"
	switch {
	case !name.Postgres() && (tokens || a.PasswordFile != ""):
		return access, usagef("--store-auth and --store-password-file are for PostgreSQL: nobody logs in to SQLite")
	case tokens && a.PasswordFile != "":
		return access, usagef("--store-auth %s needs no --store-password-file; give one of them", a.Auth)
	case a.Auth == "aws-rds":
		access.Tokens, err = postgres.AWSTokens(ctx)
	case a.Auth == "gcp":
		access.Tokens = postgres.GCPTokens()
	}
	access.PasswordFile = a.PasswordFile
	return access, err
}
