package postgres

import (
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"rbcs"
)

// A column is an array parameter, one element for each row, in which the zero
// value of the type is NULL.
type column[T comparable] []T

type (
	integers = column[int64]
	texts    = column[string]
	times    = column[time.Time]
	amounts  = column[rbcs.Amount]
)

// Dimensions implements [pgtype.ArrayGetter].
func (c column[T]) Dimensions() []pgtype.ArrayDimension { return dimensions(len(c)) }

// Index implements [pgtype.ArrayGetter].
func (c column[T]) Index(i int) any {
	var zero T
	if c[i] == zero {
		return nil
	}
	return c[i]
}

// IndexType implements [pgtype.ArrayGetter].
func (c column[T]) IndexType() any { return *new(T) }

// overdrafts is a column of overdraft limits, in which unlimited is NULL.
type overdrafts []rbcs.Overdraft

// Dimensions implements [pgtype.ArrayGetter].
func (c overdrafts) Dimensions() []pgtype.ArrayDimension { return dimensions(len(c)) }

// Index implements [pgtype.ArrayGetter].
func (c overdrafts) Index(i int) any {
	if c[i].Unlimited {
		return nil
	}
	return c[i].Limit
}

// IndexType implements [pgtype.ArrayGetter].
func (c overdrafts) IndexType() any { return rbcs.Amount{} }

func dimensions(length int) []pgtype.ArrayDimension {
	if length == 0 {
		return []pgtype.ArrayDimension{}
	}
	return []pgtype.ArrayDimension{{Length: int32(length), LowerBound: 1}}
}
