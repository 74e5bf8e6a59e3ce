package rest

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"rbcs"
)

// Health is the answer of the two probes.
type Health struct {
	Status   string `json:"status" enum:"ok"`
	Version  string `json:"version" doc:"Of the program."`
	Database string `json:"database,omitempty" doc:"Of /readyz: names the database of this instance. All before which one gateway stands tell the same. Promoting a standby does not change it; a restored dump has another one, and so has each SQLite file. Nothing can be learned from it." example:"9f86d081884c7d65"`
}

type healthOutput struct{ Body Health }

// registerHealth serves the probes. livez says that the process answers; readyz
// that requests should be sent here: the store can commit and nothing is stopping.
func (s *server) registerHealth(api huma.API) {
	probe := func(id, path, summary string, check func(context.Context) (string, error)) {
		op := huma.Operation{OperationID: id, Method: "GET", Path: path, Summary: summary, Tags: []string{"health"}}
		huma.Register(api, op, func(ctx context.Context, _ *struct{}) (*healthOutput, error) {
			database, err := check(ctx)
			if err != nil {
				p := problemOf(&rbcs.Error{Code: rbcs.Unavailable, Message: "not ready: " + problemOf(err).Detail})
				p.cause = err
				return nil, p
			}
			return &healthOutput{Health{Status: "ok", Version: s.Version, Database: database}}, nil
		})
	}
	probe("livez", "/livez", "Whether the process lives", func(context.Context) (string, error) { return "", nil })
	probe("readyz", "/readyz", "Whether it takes requests", s.Ready)
}
