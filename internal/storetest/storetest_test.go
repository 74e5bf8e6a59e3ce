package storetest_test

import (
	"context"
	"os"
	"testing"

	"rbcs"
	"rbcs/internal/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, func(*testing.T) rbcs.Store {
		if defect, ok := allDefects[os.Getenv(defectVariable)]; ok {
			return defect.store(newMemory())
		}
		return newMemory()
	})
}

func TestMemoryShared(t *testing.T) {
	storetest.RunShared(t, func(*testing.T) (a, b rbcs.Store) {
		m := newMemory()
		return m, m
	})
}

// cancelled returns a context that has ended.
func cancelled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
