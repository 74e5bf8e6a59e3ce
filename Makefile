# The verbs of the project. `make help` lists them.

GO      ?= go
BIN     := bin
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

.PHONY: help
help: ## what each verb does
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

.PHONY: build
build: ## the binary, in bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o $(BIN)/rbcs ./cmd/rbcs

.PHONY: demo
demo: ## accounts, transactions, balances and the audit, in a minute, with nothing installed
	$(GO) run ./cmd/rbcs demo

.PHONY: test
test: deps ## everything but the long suites
	$(GO) vet ./...
	$(GO) test -count=1 ./...
	$(MAKE) chart image-test

.PHONY: race
race: ## the tests under the race detector
	./test/deps.sh race
	CGO_ENABLED=1 $(GO) test -count=1 -race -short ./...

.PHONY: cover
cover: deps ## coverage of the core packages, with the threshold
	./test/coverage.sh

.PHONY: lint
lint: $(BIN)/golangci-lint ## style, by machine
	$(BIN)/golangci-lint run ./...

.PHONY: bench
bench: deps ## the figures of docs/performance.md, in one run (15 minutes)
	$(GO) run ./test/load

.PHONY: property
property: deps ## 100,000 random operations of all types by several committers on both stores, then the audit (3 minutes)
	$(GO) test -count=1 -run Conformance ./internal/sqlite ./internal/postgres -storetest.operations=100000

.PHONY: resilience
resilience: deps ## break everything under load for half an hour; writes docs/reports
	$(GO) test -count=1 -timeout 40m -v ./test/resilience -resilience.long
	$(GO) test -count=1 -timeout 30m -v ./test/linear -linear.long

.PHONY: kubernetes
kubernetes: ## the chart on a real cluster of three nodes on this machine, under load; writes docs/reports (20 minutes)
	./test/kubernetes/run

.PHONY: chart
chart: ## the chart, linted, rendered and decoded, without a cluster
	$(GO) -C test/chart test -count=1 ./...

.PHONY: image
image: build ## the service as an OCI image archive, without Docker: bin/rbcs.tar
	$(GO) -C tools/image run . -name rbcs:$(VERSION) -output $(CURDIR)/$(BIN)/rbcs.tar $(CURDIR)/$(BIN)/rbcs

.PHONY: image-test
image-test:
	$(GO) -C tools/image test -count=1 ./...

.PHONY: deps
deps: ## the servers that tests start (PostgreSQL, PgBouncer, Redis), from Debian's packages where they are missing
	@./test/deps.sh

$(BIN)/golangci-lint: tools/go.mod
	GOBIN=$(CURDIR)/$(BIN) $(GO) -C tools install tool
