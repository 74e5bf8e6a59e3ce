package rest

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"rbcs"
)

// Health is the answer of the two probes.
type Health struct {
	Status  string `json:"status" enum:"ok"`
	Version string `json:"version" doc:"Of the program."`
}

type healthOutput struct{ Body Health }

// registerHealth serves the probes. livez says that the process answers; readyz
// that requests should be sent here: the store can commit and nothing is stopping.
func (s *server) registerHealth(api huma.API) {
	probe := func(id, path, summary string, check func(context.Context) error) {
		op := huma.Operation{OperationID: id, Method: "GET", Path: path, Summary: summary, Tags: []string{"health"}}
		huma.Register(api, op, func(ctx context.Context, _ *struct{}) (*healthOutput, error) {
			if err := check(ctx); err != nil {
				p := problemOf(&rbcs.Error{Code: rbcs.Unavailable, Message: "not ready: " + problemOf(err).Detail})
				p.cause = err
				return nil, p
			}
			return &healthOutput{Health{"ok", s.Version}}, nil
		})
	}
	probe("livez", "/livez", "Whether the process lives", func(context.Context) error { return nil })
	probe("readyz", "/readyz", "Whether it takes requests", s.Ready)
}
