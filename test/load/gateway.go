package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"rbcs/internal/testenv"
)

// way is how the load reaches the service.
type way int

const (
	direct way = iota
	gatewayHTTP1
	gatewayHTTP2
)

// perServiceCPU measures single transactions on PostgreSQL, per second of
// processor time that the service takes for them, directly or through a gateway.
// What the gateway took is written to standard error. There are few accounts,
// since making and comparing them takes the service's time too.
func perServiceCPU(way way, bench ...string) func(context.Context, *machine) (float64, error) {
	return func(ctx context.Context, m *machine) (perSecond float64, err error) {
		dsn, drop, err := m.database(ctx)
		if err != nil {
			return 0, err
		}
		defer drop()
		service, err := m.start(ctx, "serve", "--store", dsn, "--migrate")
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, service.stop()) }()
		if way == direct {
			_, perSecond, err = m.perCPU(ctx, service, service, bench)
			return perSecond, err
		}
		gateway, err := m.start(ctx, "gateway", "--discover", "static:"+testenv.HostOf(service.URL), fmt.Sprintf("--http2=%t", way == gatewayHTTP2))
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, gateway.stop()) }()
		posted, perSecond, err := m.perCPU(ctx, service, gateway, bench)
		if err != nil {
			return 0, err
		}
		spent, err := gateway.cpu()
		fmt.Fprintf(os.Stderr, "the service took %.1f µs of processor time per transaction, the gateway %.1f µs\n",
			1e6/perSecond, float64(spent.Microseconds())/float64(posted))
		return perSecond, err
	}
}

// perCPU loads the front, and returns how many transactions were posted, and
// how many for each second of processor time of the service.
func (m *machine) perCPU(ctx context.Context, service, front *process, bench []string) (posted int64, perSecond float64, err error) {
	before, err := service.cpu()
	if err != nil {
		return 0, 0, err
	}
	result, err := m.load(ctx, front.URL, append([]string{"--clients", "256", "--accounts", "2000"}, bench...)...)
	if err != nil {
		return 0, 0, err
	}
	after, err := service.cpu()
	posted = result.Transactions.Posted
	return posted, float64(posted) / (after - before).Seconds(), err
}
