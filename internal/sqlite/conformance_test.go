package sqlite

import (
	"testing"

	"rbcs"
	"rbcs/internal/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) rbcs.Store { return openTemp(t) })
}
