package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"rbcs"
	"rbcs/internal/engine"
	"rbcs/internal/redis"
	"rbcs/internal/telemetry"
)

// RedisURL is a value of --redis. It prints without its password.
type RedisURL string

// UnmarshalText refuses what is no URL of Redis, before anything is opened.
func (u *RedisURL) UnmarshalText(text []byte) error {
	url := string(text)
	if url != "" && !strings.HasPrefix(url, "redis://") && !strings.HasPrefix(url, "rediss://") {
		return errors.New("write redis://HOST:PORT, or rediss:// for TLS, with USER:PASSWORD@ before the host where it needs them")
	}
	*u = RedisURL(url)
	return nil
}

// String returns the URL without its password.
func (u RedisURL) String() string { return redact(string(u)) }

// validateRedis checks --redis and what goes with it.
func (c *ServeCmd) validateRedis() error {
	switch {
	case c.Redis != "" && !c.Store.Postgres():
		return errors.New("--redis: a cache is for instances that share a PostgreSQL; on SQLite there is one, which reads its own file: leave it out")
	case c.RedisTimeout < 0:
		return errors.New("--redis-timeout is more than 0")
	}
	return nil
}

// startCache starts the cache of --redis. It starts without a Redis that answers,
// too: nothing needs it to be right.
func (s *server) startCache(ctx context.Context) error {
	if s.cfg.Redis == "" {
		return nil
	}
	control, ok := s.store.(rbcs.CacheControl)
	if !ok {
		return errors.New("--redis: the store cannot be shared with a cache")
	}
	cache, err := redis.Open(ctx, string(s.cfg.Redis), redis.Options{
		Store: s.store, Control: control, Timeout: s.cfg.RedisTimeout, Logger: s.logger,
	})
	if err != nil {
		return fmt.Errorf("--redis %s: %w", s.cfg.Redis, err)
	}
	s.cache = cache
	cache.Start(ctx)
	return nil
}

// marker is the cache as the engine knows it.
type marker struct{ *redis.Cache }

// Mark implements [engine.Cache].
func (m marker) Mark(ctx context.Context, l rbcs.Locked) engine.Marks { return m.Cache.Mark(ctx, l) }

// engineCache returns what the engine is to tell about commits, nil for nothing.
func (s *server) engineCache() engine.Cache {
	if s.cache == nil {
		return nil
	}
	return marker{s.cache}
}

// balances returns who reads balances of now.
func (s *server) balances() rbcs.BalanceReader {
	if s.cache == nil {
		return s.store
	}
	return s.cache
}

// cacheMetrics adds what the cache counts.
func (s *server) cacheMetrics(metrics *telemetry.Metrics) {
	if s.cache == nil {
		return
	}
	count := func(name, help string, labels map[string]string, value func(redis.Stats) int64) {
		metrics.Counter(name, help, labels, func() float64 { return float64(value(s.cache.Stats())) })
	}
	count("rbcs_cache_hits_total", "Balances served from Redis.", nil, func(c redis.Stats) int64 { return c.Hits })
	count("rbcs_cache_misses_total", "Balances that were not in Redis.", nil, func(c redis.Stats) int64 { return c.Misses })
	count("rbcs_cache_marks_met_total", "Balances read from the store because a commit on the account was under way.", nil,
		func(c redis.Stats) int64 { return c.MarksMet })
	count("rbcs_cache_leases_met_total", "Balances read from the store because another read was about to fill them in.", nil,
		func(c redis.Stats) int64 { return c.LeasesMet })
	const fallbacks = "Balances read from the store because Redis could not be asked or trusted. cause is off, down, timeout or failed."
	for cause, value := range map[string]func(redis.Stats) int64{
		"off":     func(c redis.Stats) int64 { return c.Off },
		"down":    func(c redis.Stats) int64 { return c.Down },
		"timeout": func(c redis.Stats) int64 { return c.Timeout },
		"failed":  func(c redis.Stats) int64 { return c.Failed },
	} {
		count("rbcs_cache_fallbacks_total", fallbacks, map[string]string{"cause": cause}, value)
	}
	const fills = "Balances that reads have put into Redis, or not. outcome is filled, refused (something newer happened) or unfit (a transaction held the account)."
	for outcome, value := range map[string]func(redis.Stats) int64{
		"filled":  func(c redis.Stats) int64 { return c.Fills },
		"refused": func(c redis.Stats) int64 { return c.FillsRefused },
		"unfit":   func(c redis.Stats) int64 { return c.Unfit },
	} {
		count("rbcs_cache_fills_total", fills, map[string]string{"outcome": outcome}, value)
	}
	count("rbcs_cache_refreshed_total", "Balances that commits have put into Redis.", nil, func(c redis.Stats) int64 { return c.Refreshed })
	count("rbcs_cache_dropped_total", "Fills, refreshes and removals that were given up.", nil, func(c redis.Stats) int64 { return c.Dropped })
	const commits = "Commits that told the cache of their accounts. confirmed is false where it did not answer: then it was turned off."
	count("rbcs_cache_commits_total", commits, map[string]string{"confirmed": "true"}, func(c redis.Stats) int64 { return c.Confirmed })
	count("rbcs_cache_commits_total", commits, map[string]string{"confirmed": "false"}, func(c redis.Stats) int64 { return c.Unconfirmed })
	count("rbcs_cache_checked_total", "Cached balances that were compared with the store.", nil, func(c redis.Stats) int64 { return c.Checked })
	count("rbcs_cache_differences_total", "Cached balances that were not what the store had. It must stay 0.", nil,
		func(c redis.Stats) int64 { return c.Differences })
	metrics.Gauge("rbcs_cache_up", "1 while Redis answers.", func() float64 {
		if s.cache.Stats().Up {
			return 1
		}
		return 0
	})
}
