package main

import (
	"context"
	"log/slog"
	"time"

	"rbcs"
	"rbcs/internal/intake"
	"rbcs/internal/telemetry"
)

// newIntake returns the durable queue, with its metrics.
func (s *server) newIntake(metrics *telemetry.Metrics) *intake.Queue {
	attempts := metrics.CounterOf("rbcs_intake_attempts_total", "Attempts to decide a queued transaction.", "outcome")
	workers := 1 // SQLite commits one batch at a time
	if s.cfg.Store.Postgres() {
		workers = 2 // the one claims and settles while the other's batch commits
	}
	queue := intake.New(s.store, s.engine, intake.Config{
		Instance: s.cfg.instance(), Workers: workers, MaxAttempts: s.cfg.IntakeAttempts, Logger: s.logger,
		Batch:   s.intakeBatch(),
		Observe: func(o intake.Outcome, n int) { attempts(string(o), n) },
	})
	depth := func(state rbcs.IntakeState, of func(rbcs.IntakeStats) int64) {
		metrics.GaugeOf("rbcs_intake_depth", "Transactions in the durable queue, at most a million of each state; the same on every instance.",
			"state", string(state), func() float64 {
				stats, _ := queue.Stats()
				return float64(of(stats))
			})
	}
	depth(rbcs.IntakeQueued, func(st rbcs.IntakeStats) int64 { return st.Queued })
	depth(rbcs.IntakeRetrying, func(st rbcs.IntakeStats) int64 { return st.Retrying })
	depth(rbcs.IntakeDead, func(st rbcs.IntakeStats) int64 { return st.Dead })
	metrics.Gauge("rbcs_intake_oldest_seconds", "How long the queued transaction that was due first has been due; the same on every instance.",
		func() float64 {
			stats, _ := queue.Stats()
			return intake.Oldest(stats).Seconds()
		})
	return queue
}

// intakeBatch is how many queued transactions a worker claims at once; 0 for the
// default. What the engine can never take at once would be claimed again and
// again, and a claim should find room in it while clients fill most of it, too.
func (s *server) intakeBatch() int {
	if s.cfg.MaxPending == 0 {
		return 0
	}
	return max(1, min(2000, s.cfg.MaxPending/4))
}

// intakeGrace is how long the queue's workers may take to end, which wait for
// the engine to answer their batches: about as long as it tries.
const intakeGrace = 10 * time.Second

// stopIntake ends the queue's workers. Their batches are committed by the
// engine, which stops later. What they do not end in time is taken over by
// others, and whatever they do then is safe.
func (s *server) stopIntake(ctx context.Context) {
	if s.intake == nil {
		return
	}
	patient, cancel := context.WithTimeout(ctx, intakeGrace)
	defer cancel()
	if err := s.intake.Stop(patient); err != nil {
		s.logger.WarnContext(ctx, "queued transactions were still being decided; another instance finds what became of them", slog.Any("error", err))
	}
}
