package storetest_test

import (
	"testing"

	"rbcs"
	"rbcs/internal/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, func(*testing.T) rbcs.Store { return newMemory() })
}

func TestMemoryShared(t *testing.T) {
	storetest.RunShared(t, func(*testing.T) (a, b rbcs.Store) {
		m := newMemory()
		return m, m
	})
}
