# culvert: `make demo` shows it, `make test` tests it, `make help` lists the rest.
GO      ?= go
VERSION ?= $(shell cat VERSION 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
FUZZTIME ?= 20s
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
BENCHSTAT := golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da
BENCHOUT ?= bench/out
COUNT ?= 6
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0
MUTATE ?= ./esp ./selector ./ike/... ./dataplane ./dataplane/pmtu ./tun/protect
KERNELS ?=
KERNELSFLAGS ?=
INTEROPFLAGS ?=
export CGO_ENABLED := 0

.PHONY: help build demo test peers kernels interop check race fuzz bench bench-go cover mutate clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 10

build: ## build the static binary bin/culvert
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/culvert ./cmd/culvert

demo: build ## two gateways in namespaces: tunnel, traffic, a rekey under load, status (root)
	./bin/culvert demo

peers: ## install what the tests need: strongSwan, OpenVPN, nft, qemu-user (Debian, root)
	.ci/peers

test: peers build ## every test, real peers included (root)
	CULVERT_BIN=$(CURDIR)/bin/culvert $(GO) test -count=1 -timeout 20m ./...
	CULVERT_AESGCM=vaes $(GO) test -count=1 ./esp/...
	CULVERT_AESGCM=aesni $(GO) test -count=1 ./esp/...
	CULVERT_AESGCM=generic $(GO) test -count=1 ./esp/...

kernels: ## chosen tests in Debian's kernels 5.10, 6.1 and 6.12, in an emulator (Debian, root; KERNELS=6.1 KERNELSFLAGS='-packages netio')
	.ci/peers kernels
	$(GO) run ./internal/guest/cmd/culvert-kernels $(KERNELSFLAGS) $(KERNELS)

interop: ## culvert beside other implementations, each cell of docs/interop.md, which it writes; goes on where it was ended (Debian, root; INTEROPFLAGS='-run cookies')
	.ci/peers
	.ci/peers kernels
	$(GO) run ./internal/interop/cmd/culvert-interop $(INTEROPFLAGS)

check: ## gofmt, vet for every platform, staticcheck, govulncheck, the import rules, the rooms of a packet
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "run gofmt -w on these"; exit 1; }
	for p in linux/amd64 linux/arm64 darwin/amd64 darwin/arm64; do GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) vet ./... || exit 1; done
	$(GO) run $(STATICCHECK) ./...
	@out=$$($(GO) run $(GOVULNCHECK) ./... 2>&1); s=$$?; echo "$$out" | tail -20; \
	  test $$s -eq 0 || case "$$out" in *"fetching vulnerabilities"*) echo "govulncheck: its database cannot be reached, not checked";; *) exit $$s;; esac
	$(GO) test -count=1 ./internal/house
	CULVERT_MEASURE=1 $(GO) test -count=1 -covermode=atomic -run RoomsOfAPacket ./dataplane

race: ## the tests of everything but the real peers, with the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -short -timeout 15m $$($(GO) list ./... | grep -v internal/e2e)

# A target that is inside a call when its time ends fails with "context deadline exceeded" and
# without a failing input: a flaw of go test, not a finding.
fuzz: ## each fuzz target for FUZZTIME
	@log=$$(mktemp); trap 'rm -f $$log' EXIT; \
	for p in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -h '^func Fuzz' $$p/*_test.go | sed 's/func \(Fuzz[A-Za-z0-9_]*\).*/\1/'); do \
	    echo "== $$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p >$$log 2>&1; s=$$?; tail -4 $$log; \
	    test $$s -eq 0 || { ! grep -q 'Failing input' $$log && grep -q '^ *context deadline exceeded$$' $$log; } || { cat $$log; exit 1; }; done; done

bench: build ## culvert and its rivals side by side: tables, JSON and a plot in BENCHOUT (root; half an hour; BENCHFLAGS='-rounds 2 -only UDP')
	$(GO) run ./bench/cmd/culvert-bench -culvert bin/culvert -out $(BENCHOUT) $(BENCHFLAGS)
	@cat $(BENCHOUT)/bench.md

bench-go: ## the in-memory benchmarks, COUNT times, into BENCHOUT/go.txt; OLD=FILE compares with an earlier run by benchstat
	@mkdir -p $(BENCHOUT)
	$(GO) test -run '^$$' -bench . -benchmem -count $(COUNT) $$(grep -rl --include='*_test.go' '^func Benchmark' . | xargs -n1 dirname | sort -u) | tee $(BENCHOUT)/go.txt
	@if [ -n "$(OLD)" ]; then $(GO) run $(BENCHSTAT) $(OLD) $(BENCHOUT)/go.txt; else \
	  echo "to compare: mv $(BENCHOUT)/go.txt old.txt; make bench-go OLD=old.txt (that is: go run $(BENCHSTAT) old.txt $(BENCHOUT)/go.txt)"; fi

cover: ## statement coverage of the packages that carry the protocol
	$(GO) test -short -cover ./ike ./ike/wire ./ike/suite ./esp ./selector

mutate: ## one-token mutants against the short tests of the packages MUTATE: survivors, scores (MUTATEFLAGS='-n 10 -seed 2')
	$(GO) run ./internal/mutate/cmd/culvert-mutate $(MUTATEFLAGS) $(MUTATE)

clean: ## remove what was built
	rm -rf bin bench/out
