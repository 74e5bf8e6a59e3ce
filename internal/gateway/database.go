package gateway

import (
	"context"
	"log/slog"
)

// # Whose database is believed
//
// Instances on two databases would record an ID twice, once in each. So requests
// go to those on one database only: that is pinned, and stays so as long as an
// instance that is known has told it last, whether or not it answers now. What
// an outage silences is no reason to believe whoever still answers.
//
// Where no instance tells the pinned one any more, or none is pinned yet, all that
// are known are asked, and one is pinned where all that tell one agree. Where they do
// not, the gateway cannot know who is right, and none that tells one gets requests.
//
// An instance that tells none is of an older version, or its role may not ask: it
// is taken as it is.

// settle pins a database where it must. It reports whether it is known who
// stands on another one: not before all were asked. REQUIRES: the mutex is held.
func (p *pool) settle(ctx context.Context) bool {
	told := map[string]bool{}
	all := true
	for _, i := range p.all {
		if i.database != "" {
			told[i.database] = true
		}
		all = all && i.asked
	}
	if told[p.database] || !all {
		return told[p.database]
	}
	if len(told) != 1 {
		return true
	}
	for name := range told {
		p.pin(ctx, name)
	}
	return true
}

// pin believes a database from now on. REQUIRES: the mutex is held.
func (p *pool) pin(ctx context.Context, name string) {
	if p.database == "" {
		p.logger.InfoContext(ctx, "the database of the instances is known", slog.String("database", name))
	} else {
		p.logger.WarnContext(ctx, "all instances stand on another database than before",
			slog.String("database", name), slog.String("before", p.database))
	}
	p.database = name
	for _, i := range p.all {
		i.foreign = false
		i.probeNow() // those that were turned away are ready perhaps
	}
}

// stray reports whether the instance told another database than the pinned one. REQUIRES: the mutex is held.
func (p *pool) stray(i *instance) bool { return i.database != "" && i.database != p.database }

// exclude sends no requests to an instance on another database. Where that is known
// to be so, and not only not yet settled, it is counted and logged, once.
// REQUIRES: the mutex is held.
func (p *pool) exclude(ctx context.Context, i *instance, settled bool) {
	if i.ready {
		i.ready = false
		p.publish()
		i.transport.CloseIdleConnections()
	}
	if i.foreign || !settled {
		return
	}
	i.foreign, i.told = true, true
	believed := p.database
	if believed == "" {
		believed = "unknown, since the instances disagree"
	}
	p.logger.ErrorContext(ctx, "an instance stands on another database and gets no requests: look at its --store",
		slog.String("instance", i.address), slog.String("database", i.database), slog.String("believed", believed))
}

// strangers returns how many instances are known to stand on another database.
func (p *pool) strangers() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, i := range p.all {
		if i.foreign {
			n++
		}
	}
	return n
}
