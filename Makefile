# The targets a developer needs. `make` alone prints them.

export GOTOOLCHAIN := auto

MODULE  := github.com/gatehouse-dev/gatehouse
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
FUZZTIME ?= 10s

# For example -update, or -run 'TestAttacks/gzip'.
HOSTILEFLAGS ?=

# For example -duration 1s; see go -C test/bench run . -help.
BENCHFLAGS ?=

# Each tool is pinned in a modfile of its own kind: what generates code has the
# versions of the product, buf and golangci-lint have what they ask for.
BUF         := go tool -modfile=tools/buf/go.mod buf
GOLANGCI    := tool -modfile=$(CURDIR)/tools/lint/go.mod golangci-lint
GOVULNCHECK := go tool -modfile=tools/go.mod govulncheck

# What buf writes. The option files and the image of the shop's contract stand where
# they are embedded; two more images are what tests publish.
SHOP      := examples/shop/demo/shop.binpb.gz
NASTY     := internal/openapi/testdata/nasty.binpb.gz
ANNOTATED := internal/openapi/testdata/annotated.binpb.gz
GENERATED := gen cmd/protos $(SHOP) $(NASTY) $(ANNOTATED)

# The console's script, and the checksum of the file that is taken of the package.
SCALAR        := @scalar/api-reference@1.76.0
SCALAR_SHA256 := dcb027152bf20bf2f6dcd66e8f9fb073c1a9e274cf0b94b939a7d99ab8947060

# Modules beside the product's, which hold what only tests need.
TEST_MODULES := $(patsubst %/go.mod,%,$(wildcard test/*/go.mod))

# Where the network is out of reach, a copy of the vulnerability database.
VULNDB := $(abspath ../shared/vulndb)

.DEFAULT_GOAL := help

.PHONY: help
help: ## Print the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: ## Run the shop and the gateway in front of it, in one process
	@echo "Building bin/gatehouse; the first time takes a minute or two."
	@go build -o bin/gatehouse ./cmd/gatehouse && exec bin/gatehouse demo

.PHONY: build
build: ## Build the static binary bin/gatehouse
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/gatehouse ./cmd/gatehouse

.PHONY: test
test: ## Run all tests with the race detector
	@for program in curl redis-server protoc python3 npm mvn javac chromium; do command -v $$program >/dev/null || { \
		echo "make test needs $$program: apt-get install curl redis-server protobuf-compiler python3-venv npm maven default-jdk-headless chromium, or brew install curl redis protobuf python node maven openjdk chromium"; exit 1; }; \
	done
	go test -race ./...
	@set -e; for module in $(TEST_MODULES); do \
		echo "go -C $$module test -race ./..."; go -C $$module test -race ./...; \
	done

.PHONY: test-cluster
test-cluster: ## Run the long tests: a cluster under faults, upgrades and reloads under load
	@command -v redis-server >/dev/null || { echo "make test-cluster needs redis-server: apt-get install redis-server, or brew install redis"; exit 1; }
	GATEHOUSE_CLUSTER=1 go -C test/cluster test -race -count=1 -timeout 15m -v ./...
	GATEHOUSE_CLUSTER=1 go test -race -count=1 -timeout 10m -v -run TestThousandReloads ./internal/live

.PHONY: test-hostile
test-hostile: ## Attack the gateway and measure the harm; writes docs/SECURITY-MODEL.md with HOSTILEFLAGS=-update
	GATEHOUSE_HOSTILE=1 go -C test/hostile test -count=1 -timeout 10m -v . $(HOSTILEFLAGS)

.PHONY: lint
lint: .proto/stamp ## Run the linters over Go code and contracts
	$(BUF) lint
	$(BUF) format --diff --exit-code proto
	go $(GOLANGCI) run ./...
	@set -e; for module in tools $(TEST_MODULES); do \
		echo "go -C $$module ... golangci-lint run ./..."; go -C $$module $(GOLANGCI) run ./...; \
	done

.PHONY: format
format: .proto/stamp ## Format Go code and contracts
	$(BUF) format --write proto
	go $(GOLANGCI) fmt ./...

.PHONY: generate
generate: .proto/stamp ## Generate code and the image of the shop from proto/
	$(BUF) generate
	$(BUF) build --path proto/shop -o $(SHOP)
	$(BUF) build --path internal/openapi/testdata/nasty -o $(NASTY)
	$(BUF) build --path internal/openapi/testdata/annotated -o $(ANNOTATED)

.PHONY: check-generate
check-generate: .proto/stamp ## Fail if what is generated is not what proto/ says
	@set -e; fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	$(BUF) generate --output "$$fresh"; \
	mkdir -p "$$fresh/$(dir $(SHOP))" "$$fresh/$(dir $(NASTY))"; \
	$(BUF) build --path proto/shop -o "$$fresh/$(SHOP)"; \
	$(BUF) build --path internal/openapi/testdata/nasty -o "$$fresh/$(NASTY)"; \
	$(BUF) build --path internal/openapi/testdata/annotated -o "$$fresh/$(ANNOTATED)"; \
	for out in $(GENERATED); do \
		diff --recursive --brief "$$fresh/$$out" $$out || { echo "$$out is stale: run make generate"; exit 1; }; \
	done

# What the contracts import, printed from the descriptors that Go modules link
# in; fails if those differ from the product's.
.proto/stamp: tools/protoimports/main.go tools/go.mod go.mod
	go -C tools run ./protoimports ../.proto ../go.mod
	@touch $@

.PHONY: console
console: ## Fetch the console's script in the version that is pinned here
	@set -e; fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	npm install --prefix "$$fresh" --ignore-scripts --no-audit --no-fund $(SCALAR); \
	go -C tools run ./console "$$fresh/node_modules" $(SCALAR_SHA256) ../internal/console

.PHONY: bench
bench: ## Compare with the generated facade and a floor; writes docs/PERFORMANCE.md
	go -C test/bench run . -out ../../docs $(BENCHFLAGS)

.PHONY: bench-large
bench-large: ## Measure the memory and the start with the contract of a large public API
	go -C test/bench run ./large $(BENCHFLAGS)

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME (10s)
	@set -e; for package in $$(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			echo "$$package $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package; \
		done; \
	done

.PHONY: cover
cover: ## Measure what the tests cover; writes cover.out
	go test -race -coverpkg=./... -coverprofile=cover.out ./...
	go tool cover -func=cover.out | tail -n 1

.PHONY: vuln
vuln: ## Look for known vulnerabilities that the code can reach
	$(GOVULNCHECK) $(if $(wildcard $(VULNDB)),-db file://$(VULNDB)) ./...
