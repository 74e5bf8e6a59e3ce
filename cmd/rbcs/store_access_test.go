package main

import (
	"os"
	"path/filepath"
	"testing"

	"rbcs/internal/testenv"
)

func TestStoreAccess(t *testing.T) {
	const dsn = "postgres://rbcs@127.0.0.1:1/rbcs?sslmode="
	missing := filepath.Join(t.TempDir(), "missing")
	for _, command := range [][]string{{"serve", "--listen", "127.0.0.1:0"}, {"verify"}, {"migrate"}} {
		with := func(args ...string) result { return run(t, append(command[:len(command):len(command)], args...)...) }
		with("--store", "sqlite:x.db", "--store-auth", "gcp").check(t, exitUsage, "PostgreSQL")
		with("--store", "sqlite:x.db", "--store-password-file", missing).check(t, exitUsage, "PostgreSQL")
		with("--store", dsn+"require", "--store-auth", "gcp", "--store-password-file", missing).check(t, exitUsage, "one of them")
		with("--store", dsn+"disable", "--store-auth", "gcp").check(t, exitUsage, "sslmode=verify-full")
		with("--store", dsn+"disable", "--store-password-file", missing).check(t, exitFailed, missing)
		with("--store", dsn+"disable", "--store-auth", "magic").check(t, exitUsage, "aws-rds")
	}
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	run(t, "verify", "--store", dsn+"require", "--store-auth", "aws-rds").check(t, exitUsage, "AWS_REGION")
}

func TestPasswordFromAFile(t *testing.T) {
	store := testenv.Postgres(t)
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("geheim\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "migrate", "--store", store, "--store-password-file", file).check(t, exitDone)
	run(t, "verify", "--store", store, "--store-password-file", file).check(t, exitDone)
}
