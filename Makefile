# `make` lists the targets.
.DEFAULT_GOAL := help
GO            ?= go
GOLANGCI_LINT ?= $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULNCHECK   ?= $(GO) run golang.org/x/vuln/cmd/govulncheck@v1.8.0
FUZZTIME      ?= 30s
ADDR          ?= :8080

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: web ## build the page and run the whole system in one process; FILE=path shows a recording
	$(GO) run ./cmd/streamer --demo --addr $(ADDR) $(if $(FILE),--file $(FILE))

.PHONY: build
build: web ## build the programs into bin/
	$(GO) build -o bin/ ./cmd/...

.PHONY: web
web: client web/node_modules/.package-lock.json ## build the page into web/dist
	cd web && npm run --silent build

web/node_modules/.package-lock.json: web/package.json web/package-lock.json
	cd web && npm ci --no-audit --no-fund

clients/typescript/node_modules/.package-lock.json: clients/typescript/package.json clients/typescript/package-lock.json
	cd clients/typescript && npm ci --no-audit --no-fund

.PHONY: client
client: clients/typescript/node_modules/.package-lock.json ## build the TypeScript client
	cd clients/typescript && npm run --silent build

.PHONY: test
test: web chromium proxies ## every test, with the race detector; installs what it lacks on Debian
	cd clients/typescript && npm run --silent check && npm test --silent
	cd web && npm run --silent check && npm test --silent
	$(GO) test -race -tags browser,proxy -timeout 20m ./...

.PHONY: chromium
chromium:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
	{ echo "installing chromium"; SUDO=$$([ "$$(id -u)" = 0 ] || echo sudo); \
	  $$SUDO apt-get -qq update && DEBIAN_FRONTEND=noninteractive $$SUDO apt-get -qq install -y --no-install-recommends chromium >/dev/null; }

.PHONY: proxies
proxies:
	@{ [ -x /usr/sbin/nginx ] || command -v nginx >/dev/null; } && { [ -x /usr/sbin/haproxy ] || command -v haproxy >/dev/null; } || \
	{ echo "installing nginx and haproxy"; SUDO=$$([ "$$(id -u)" = 0 ] || echo sudo); \
	  $$SUDO apt-get -qq update && DEBIAN_FRONTEND=noninteractive $$SUDO apt-get -qq install -y --no-install-recommends nginx haproxy >/dev/null; }

.PHONY: lint
lint: ## gofmt, go vet (Linux and macOS), staticcheck and the rest of .golangci.yml
	@out=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$out" ] || { echo "gofmt: $$out"; exit 1; }
	$(GO) vet -tags browser,proxy,clock ./...
	GOOS=darwin GOARCH=arm64 $(GO) vet ./...
	$(GOLANGCI_LINT) run --build-tags browser,proxy,clock ./...

.PHONY: licences
licences: ## hold every Go module and npm package to the licences that are allowed
	cd deployments/check && $(GO) test -count 1 ./licence

.PHONY: audit
audit: ## look for known vulnerabilities in what is used; asks vuln.go.dev and npm's registry, which CI cannot
	@bad=; for m in . deployments/check deployments/cluster; do \
	  echo "govulncheck: $$m"; (cd $$m && $(GOVULNCHECK) ./...) || bad="$$bad govulncheck:$$m"; \
	done; \
	for p in web clients/typescript; do \
	  echo "npm audit: $$p"; (cd $$p && npm audit) || bad="$$bad npm:$$p"; \
	done; \
	[ -z "$$bad" ] || { echo "audit: vulnerable, or not to be looked up:$$bad" >&2; exit 1; }

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME
	@for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
	    echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
	  done; \
	done

CHURN ?= 50000

.PHONY: churn
churn: ## have CHURN connections come and go on each engine, plain and TLS, and look for what they left
	TICKCAST_CHURN=$(CHURN) $(GO) test -count 1 -timeout 60m -run TestWavesLeaveNothing ./pkg/stream

ATTACK ?= 1000
FOR    ?= 10s

.PHONY: attack
attack: ## have ATTACK strangers of a KIND (a pattern; each alone if empty, all at once if "together") FROM so many addresses come at a node for FOR, ON each engine, plain and TLS, or one ("epoll,_TLS_true"); a table tells what others felt
	ATTACK='$(ATTACK)' FROM='$(FROM)' FOR='$(FOR)' KIND='$(KIND)' $(GO) test -count 1 -timeout 120m -v -run 'TestOthersAreServedUnderAttack/$(ON)' ./e2e

.PHONY: clock
clock: ## hold a node to its promises while its wall clock jumps; builds Go's time package anew
	$(GO) test -count 1 -tags clock -run TestTheWallClockJumps ./e2e

.PHONY: bench
bench: ## run every microbenchmark once
	$(GO) test -run '^$$' -bench . -benchtime 1x ./...

# A build that an image can hold: static, stamped, the same from any folder.
VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
PLATFORMS ?= linux/amd64 linux/arm64
IMAGE     ?= bin/image
OUT       ?= bin
TRIM      ?= -trimpath

.PHONY: programs
programs:
	CGO_ENABLED=0 GOOS=$(GOOS) GOARCH=$(GOARCH) $(GO) build $(TRIM) -o $(OUT)/ \
	  -ldflags "-s -w -X github.com/tickcast/tickcast/internal/version.stamped=$(VERSION)" \
	  ./cmd/streamer ./cmd/feed ./cmd/healthcheck

.PHONY: image
image: web image-layout ## build an OCI image into bin/image, for PLATFORMS, without a container engine

.PHONY: image-layout
image-layout:
	rm -rf $(IMAGE)
	for p in $(PLATFORMS); do $(MAKE) --no-print-directory programs GOOS=$${p%/*} GOARCH=$${p#*/} OUT=bin/$$p || exit 1; done
	cd deployments/check && $(GO) run ./image -version "$(VERSION)" -out "$(abspath $(IMAGE))" $(foreach p,$(PLATFORMS),$(p)=$(CURDIR)/bin/$(p))

.PHONY: check-deploy
check-deploy: prometheus haproxy ## hold chart, alerts, dashboards, image and compose file to the programs
	cd deployments/check && $(GOLANGCI_LINT) run --config ../../.golangci.yml --build-tags cluster ./... && $(GO) test -timeout 15m ./...

# Debian has the package of the same name, with the program (and promtool) in it.
.PHONY: prometheus haproxy
prometheus haproxy:
	@PATH=$$PATH:/usr/sbin; command -v $@ >/dev/null || \
	{ echo "installing $@"; SUDO=$$([ "$$(id -u)" = 0 ] || echo sudo); \
	  $$SUDO apt-get -qq update && DEBIAN_FRONTEND=noninteractive $$SUDO apt-get -qq install -y --no-install-recommends $@ >/dev/null; }

# Unoptimized code compiles in two thirds of the time, and runs fast enough for this. Nothing less
# than this build can vet what imports Kubernetes, so lint leaves the module to it.
UNOPTIMIZED = -gcflags 'all=-N -l -dwarf=false'

.PHONY: check-cluster
check-cluster: ## apply the chart to a real API server; its cold build takes two cores half an hour
	cd deployments/cluster && CGO_ENABLED=0 $(GO) build -ldflags '-s -w' $(UNOPTIMIZED) -o $(CURDIR)/bin/cluster . && CGO_ENABLED=0 $(GO) vet $(UNOPTIMIZED) .
	cd deployments/check && CLUSTER=$(CURDIR)/bin/cluster $(GO) test -tags cluster -timeout 30m -count 1 -v -run TestAServer .

.PHONY: dashboards
dashboards: ## write the Grafana dashboards of the chart anew
	cd deployments/check && $(GO) run ./dashboards ../helm/tickcast/files/dashboards

.PHONY: clean
clean: ## remove what was built
	rm -rf bin web/node_modules web/shots clients/typescript/node_modules clients/typescript/dist
	find web/dist -mindepth 1 ! -name .keep -delete
