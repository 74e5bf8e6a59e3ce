package redis

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"rbcs"
)

// replaceScript sets the key only while it holds the expected entry (rules 2 and
// 5). Invariant: what it overwrites is the token of the one who asks, so that
// nothing newer is ever lost, however late it is carried out.
const replaceScript = `if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1`

// dropScript deletes the key only while it holds the expected entry. Invariant:
// it never removes another's entry; an empty key is always safe.
const dropScript = `if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])`

// change is a compare-and-set, or a compare-and-delete where to is empty.
type change struct {
	key, from, to string
	fill          bool // of a reader; for the statistics
}

// scriptTimeout bounds what nobody waits for.
const scriptTimeout = time.Second

// script is a script and its digest.
type script struct{ text, sha string }

var valueLife = strconv.FormatInt(rbcs.ValueLife.Milliseconds(), 10)

// apply carries the changes out, in any order, and returns for each whether the
// key still held the expected entry, or false with ok false where that is unknown.
func (c *Cache) apply(ctx context.Context, changes []change) (applied []bool, ok bool) {
	applied = make([]bool, len(changes))
	answers, err := c.link.do(ctx, scriptTimeout, func(b rueidis.Builder) rueidis.Commands { return scripts(b, changes, true) })
	if err != nil {
		return applied, false
	}
	var unknown []int // a Redis that was restarted, or a new node, has no scripts
	ok = true
	for i, answer := range answers {
		if e, is := rueidis.IsRedisErr(answer.Error()); is && e.IsNoScript() {
			unknown = append(unknown, i)
		} else if c.link.ok(answer) {
			applied[i] = isOne(answer)
		} else {
			ok = false
		}
	}
	if len(unknown) == 0 {
		return applied, ok
	}
	again := make([]change, len(unknown))
	for i, at := range unknown {
		again[i] = changes[at]
	}
	answers, err = c.link.do(ctx, scriptTimeout, func(b rueidis.Builder) rueidis.Commands { return scripts(b, again, false) })
	if err != nil {
		return applied, false
	}
	for i, answer := range answers {
		if c.link.ok(answer) {
			applied[unknown[i]] = isOne(answer)
		} else {
			ok = false
		}
	}
	return applied, ok
}

func isOne(answer rueidis.RedisResult) bool {
	n, err := answer.AsInt64()
	return err == nil && n == 1
}

// scripts returns one command for each change.
func scripts(b rueidis.Builder, changes []change, bySHA bool) rueidis.Commands {
	commands := make(rueidis.Commands, len(changes))
	for i, ch := range changes {
		s, args := replacing, []string{ch.from, ch.to, valueLife} // rule 7: SET with a life of its own
		if ch.to == "" {
			s, args = dropping, []string{ch.from}
		}
		if bySHA {
			commands[i] = b.Evalsha().Sha1(s.sha).Numkeys(1).Key(ch.key).Arg(args...).Build()
		} else {
			commands[i] = b.Eval().Script(s.text).Numkeys(1).Key(ch.key).Arg(args...).Build()
		}
	}
	return commands
}

var replacing, dropping = newScript(replaceScript), newScript(dropScript)

func newScript(text string) script {
	sum := sha1.Sum([]byte(text)) // how Redis names scripts
	return script{text, hex.EncodeToString(sum[:])}
}
