# frigg-host. `make` alone says what there is.
GO          ?= go
PLUGINS     := gitea stripe caldav tidepool stripe-gitea tidepool-welcome tidepool-twin
SCRIPTS     := tidepool-deals
WASM        := $(PLUGINS:%=build/plugins/%.wasm) $(SCRIPTS:%=build/plugins/%.wasm)
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOFUMPT     := mvdan.cc/gofumpt@v0.12.0
BENCHCOUNT  ?= 5
BENCHPARTS  ?= calls,load,density,cold
BENCHGUESTS := $(addprefix build/bench/,go.wasm go.plain.wasm pdk.wasm c.wasm c.plain.wasm)
BENCHGO     := cd host/guest/bench && GOOS=wasip1 GOARCH=wasm $(GO) build -buildmode=c-shared -trimpath -ldflags='-s -w'
BENCHC      := --target=wasm32-unknown-unknown -O2 -nostdlib -ffreestanding -fno-builtin -Wall -Wl,--no-entry -Wl,--strip-debug -Wl,-z,stack-size=65536

.DEFAULT_GOAL := help
.PHONY: help run build wasm test race soak kill sim e2e generate verify lint bench bench-peers fuzz clean FORCE

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build wasm ## build everything and start the demo: a vendor, an account, live work
	./bin/frigg-host demo --plugins build/plugins

build: ## build bin/frigg-host
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags='-s -w' -o bin/frigg-host ./cmd/frigg-host

wasm: $(WASM) ## build the example plugins into build/plugins: Go with its plain toolchain, TypeScript with the host itself

# The Go toolchain knows best what changed, so it is always asked; the packed file is only touched when it differs.
build/plugins/%.wasm: FORCE build
	@mkdir -p build/raw build/plugins
	@GOOS=wasip1 GOARCH=wasm $(GO) build -buildmode=c-shared -trimpath -ldflags='-s -w' -o build/raw/$*.wasm ./plugins/examples/$*
	@./bin/frigg-host plugin pack --manifest plugins/examples/$*/manifest.yaml build/raw/$*.wasm -o build/raw/$*.packed
	@cmp -s build/raw/$*.packed $@ || { cp build/raw/$*.packed $@.part && mv $@.part $@ && echo "built $@"; }

$(SCRIPTS:%=build/plugins/%.wasm): build/plugins/%.wasm: FORCE build
	@mkdir -p build/raw build/plugins
	@./bin/frigg-host plugin pack --manifest plugins/examples/$*/manifest.json plugins/examples/$*/app.ts -o build/raw/$*.packed
	@cmp -s build/raw/$*.packed $@ || { cp build/raw/$*.packed $@.part && mv $@.part $@ && echo "built $@"; }

test: wasm ## run every test with the race detector
	$(GO) vet ./...
	$(GO) test -race -timeout 20m ./...
	CGO_ENABLED=0 $(GO) test ./host/guest/process # as it is released: a program with C in it cannot close its files
	$(GO) test ./host/guest ./host/journal ./host/outbound # once more without, for what is too large to run under the race detector
	$(GO) test ./host/sim # and for 1,000 seeds

race: test ## the same as test

soak: ## replace a plugin a thousand times under calls, and call others 20,000 times in each way: nothing may be left of it
	FRIGG_RELOADS=1000 $(GO) test -count=1 -run '^TestReload_' -v ./host
	FRIGG_TEST_CALLS=20000 $(GO) test -count=1 -timeout 30m -run '^TestIsolation' -v ./host/guest

kill: ## kill a run at each of its writes, and the host 50 times under 10,000 webhooks; cut its power as often
	FRIGG_KILLS=all $(GO) test -count=1 -timeout 20m -run '_AfterSIGKILL' -v ./host/journal
	FRIGG_WEBHOOKS=10000 FRIGG_KILLS=50 $(GO) test -count=1 -timeout 20m -run '^TestKill_' -v ./cmd/frigg-host
	FRIGG_WEBHOOKS=10000 FRIGG_KILLS=50 FRIGG_CUTS=600 $(GO) test -count=1 -timeout 20m -run '^TestPowerCut_' -v ./store

sim: ## simulate 10,000 seeds of crashes, power cuts and vendors that fail (FRIGG_SEED=n tells the story of one)
	FRIGG_SEEDS=$${FRIGG_SEEDS:-10000} FRIGG_REPEATS=200 $(GO) test -count=1 -timeout 1h -v ./host/sim | grep -v '^=== '

e2e: build wasm ## run the road against servers that nobody here wrote (Gitea, oidc-provider, stripe-mock); slow the first time
	$(GO) run ./cmd/frigg-host/e2e/lab/install
	$(GO) test -tags e2e -count=1 -timeout 30m ./cmd/frigg-host/e2e/...

generate: ## write what follows from abi/abi.yaml
	$(GO) run ./abi/gen

verify: ## fail if something generated is stale, unformatted or not tidy
	$(GO) run ./abi/gen -check
	@test -z "$$(gofmt -l abi cmd host plugins store)" || { gofmt -l abi cmd host plugins store; echo "run gofmt"; exit 1; }
	$(GO) mod verify
	$(GO) mod tidy -diff

lint: ## vet, staticcheck, gofumpt
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	@test -z "$$($(GO) run $(GOFUMPT) -l abi cmd host plugins store)" || { $(GO) run $(GOFUMPT) -l abi cmd host plugins store; exit 1; }

bench: $(BENCHGUESTS) ## benchmarks, ready for benchstat, and the engine beside its peers
	$(GO) test -run '^$$' -bench . -benchmem -count $(BENCHCOUNT) ./host/guest/... ./store/...
	cd host/guest/bench && $(GO) run . -guests ../../../build/bench -parts $(BENCHPARTS)

# Guests of the benchmarks, with the bulk copies of our SDKs and, as *.plain.wasm, without. Those in C need clang and lld.
build/bench/go.wasm: FORCE
	@$(BENCHGO) -o ../../../$@ ./guests/go

build/bench/go.plain.wasm: FORCE
	@$(BENCHGO) -tags frigg_nobulk -o ../../../$@ ./guests/go

build/bench/pdk.wasm: FORCE
	@$(BENCHGO) -o ../../../$@ ./guests/pdk

build/bench/c.wasm: host/guest/bench/guests/c/guest.c
	@mkdir -p $(@D)
	clang $(BENCHC) -DBULK -o $@ $<

build/bench/c.plain.wasm: host/guest/bench/guests/c/guest.c
	@mkdir -p $(@D)
	clang $(BENCHC) -o $@ $<

bench-peers: build ## routes over HTTP beside net/http, workerd, Node-RED and n8n (PEERS="-n8n=false" leaves n8n out; slow the first time)
	$(GO) test -tags peers -count=1 -timeout 2h -v ./cmd/frigg-host/peers -args -report ../../../build/peers.md $(PEERS)

fuzz: ## each fuzz target for a minute
	@for p in $$($(GO) list ./...); do for f in $$($(GO) test -list '^Fuzz' $$p 2>/dev/null | grep '^Fuzz'); do \
		echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime 60s $$p || exit 1; done; done

clean: ## remove what was built
	rm -rf bin build
