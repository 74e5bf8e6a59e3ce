package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"strings"

	"rbcs"
)

// group is an atomic group whose members are not all read yet. Decisions of
// other commits may stand between them.
type group struct {
	size, next int
	instance   string
	ids        hash.Hash
	rejected   int
	causes     int // of the rejections: not because of another member
}

// member takes a member into its group, and judges the group with its last one.
func (l *ledger) member(d *rbcs.Result) {
	t := &d.Transaction
	if t.Group.ID == "" {
		if d.Code == rbcs.GroupFailed {
			l.fault(Fault{Transaction: t.ID, What: "group", Expected: "one, since it failed", Found: "none"})
		}
		return
	}
	g := l.groups[t.Group.ID]
	if g == nil {
		g = &group{size: t.Group.Size, instance: strings.Clone(d.Instance), ids: sha256.New()}
		l.groups[strings.Clone(t.Group.ID)] = g
	}
	check(l, "", t.ID, "position in its group", g.next, t.Group.Position)
	check(l, "", t.ID, "size of its group", g.size, t.Group.Size)
	check(l, "", t.ID, "instance of its group", g.instance, d.Instance)
	g.ids.Write([]byte(t.ID + "\x00"))
	if d.Status == rbcs.Rejected {
		g.rejected++
		if d.Code != rbcs.GroupFailed {
			g.causes++
		}
	}
	if g.next++; g.next < g.size {
		return
	}
	delete(l.groups, t.Group.ID)
	check(l, "", t.ID, "group", hex.EncodeToString(g.ids.Sum(nil)), t.Group.ID)
	if g.rejected > 0 {
		check(l, "", t.ID, "rejected members of its group", g.size, g.rejected)
		check(l, "", t.ID, "members that made its group fail", 1, g.causes)
	}
}
