package postgres

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"rbcs"
)

// column is an array parameter, one element for each row of a batch, that is
// written in PostgreSQL's binary format from the start: pgx encodes an array
// through an interface value for each element, which costs several times as much.
//
// The methods that end in OrNull write NULL for the zero value.
type column struct {
	element uint32 // the OID of the elements' type
	length  uint32
	buf     []byte // the elements, each behind its length
}

// newColumn returns a column for about n elements of about size bytes.
func newColumn(element uint32, n, size int) *column {
	const lengthBytes = 4
	return &column{element: element, buf: make([]byte, 0, n*(lengthBytes+size))}
}

func (c *column) null() {
	c.length++
	c.buf = binary.BigEndian.AppendUint32(c.buf, 1<<32-1)
}

func (c *column) smallint(v int) {
	c.length++
	c.buf = append(c.buf, 0, 0, 0, 2, byte(v>>8), byte(v))
}

func (c *column) bigint(v int64) {
	c.length++
	c.buf = append(c.buf, 0, 0, 0, 8)
	c.buf = binary.BigEndian.AppendUint64(c.buf, uint64(v))
}

func (c *column) bigintOrNull(v int64) {
	if v == 0 {
		c.null()
		return
	}
	c.bigint(v)
}

func (c *column) text(s string) {
	c.length++
	c.buf = binary.BigEndian.AppendUint32(c.buf, uint32(len(s)))
	c.buf = append(c.buf, s...)
}

func (c *column) textOrNull(s string) {
	if s == "" {
		c.null()
		return
	}
	c.text(s)
}

// epoch is where PostgreSQL's timestamps count from.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

func (c *column) timestamp(t time.Time) { c.bigint(t.UnixMicro() - epoch) }

func (c *column) timestampOrNull(t time.Time) {
	if t.IsZero() {
		c.null()
		return
	}
	c.timestamp(t)
}

func (c *column) amount(a rbcs.Amount) {
	c.length++
	start := len(c.buf)
	c.buf = appendNumeric(append(c.buf, 0, 0, 0, 0), a)
	binary.BigEndian.PutUint32(c.buf[start:], uint32(len(c.buf)-start-4))
}

func (c *column) amountOrNull(a rbcs.Amount) {
	if a.IsZero() {
		c.null()
		return
	}
	c.amount(a)
}

// overdraft writes NULL for an unlimited one.
func (c *column) overdraft(o rbcs.Overdraft) {
	if o.Unlimited {
		c.null()
		return
	}
	c.amount(o.Limit)
}

func (c *column) tid(t pgtype.TID) {
	c.length++
	c.buf = append(c.buf, 0, 0, 0, 6)
	c.buf = binary.BigEndian.AppendUint32(c.buf, t.BlockNumber)
	c.buf = binary.BigEndian.AppendUint16(c.buf, t.OffsetNumber)
}

// columnCodec encodes a [column]; other values of an array type are left to pgx.
type columnCodec struct{ *pgtype.ArrayCodec }

// PlanEncode implements [pgtype.Codec].
func (c columnCodec) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	if _, ok := value.(*column); !ok {
		return c.ArrayCodec.PlanEncode(m, oid, format, value)
	}
	if format != pgtype.BinaryFormatCode {
		return nil
	}
	return columnPlan{c.ElementType.OID}
}

type columnPlan struct{ element uint32 }

// Encode implements [pgtype.EncodePlan].
func (p columnPlan) Encode(value any, buf []byte) ([]byte, error) {
	c := value.(*column)
	if c.element != p.element {
		return nil, fmt.Errorf("a column of elements %d for an array of %d", c.element, p.element)
	}
	header := [5]uint32{1, 1, c.element, c.length, 1} // dimensions, has NULLs, type, length, lower bound
	for _, v := range header {
		buf = binary.BigEndian.AppendUint32(buf, v)
	}
	return append(buf, c.buf...), nil
}
