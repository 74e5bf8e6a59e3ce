package testenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// Program builds rbcs, once for this process, and returns the path of the
// binary. Its folder is removed however this process ends; nobody else uses it.
//
// A test that calls it depends on every source of the service: `go test` then
// does not repeat a cached result after a change of one of them.
func Program() (string, error) { return program() }

// programFolder has no server in it, only the guard that removes the folder once
// nothing here refers to it any more.
var programFolder *Server

var program = sync.OnceValues(func() (string, error) {
	module, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("testenv: go env: %w", err)
	}
	if err := watchSources(filepath.Dir(string(bytes.TrimSpace(module)))); err != nil {
		return "", fmt.Errorf("testenv: the program's sources: %w", err)
	}
	if programFolder, err = newServer("program", ""); err != nil {
		return "", err
	}
	path := filepath.Join(programFolder.dir, "rbcs")
	if out, err := exec.Command("go", "build", "-o", path, "rbcs/cmd/rbcs").CombinedOutput(); err != nil {
		return "", fmt.Errorf("testenv: go build: %w\n%s", err, out)
	}
	return path, nil
})

// watchSources looks at every file that the program is made of, which is how `go
// test` learns what a result depends on.
func watchSources(module string) error {
	roots, err := filepath.Glob(filepath.Join(module, "*.go"))
	if err != nil {
		return err
	}
	for _, name := range []string{"go.mod", "client", "cmd", "internal"} {
		roots = append(roots, filepath.Join(module, name))
	}
	for _, root := range roots {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err == nil {
				_, err = os.Stat(path)
			}
			if errors.Is(err, fs.ErrNotExist) { // an editor's file that came and went
				return nil
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Verify runs the service's own audit of a store from outside, and returns what it finds.
func Verify(ctx context.Context, store string) error {
	path, err := Program()
	if err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, path, "verify", "--store", store).CombinedOutput(); err != nil {
		return fmt.Errorf("rbcs verify: %w\n%s", err, out)
	}
	return nil
}
