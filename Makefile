# Everything runs on a fresh Debian or Ubuntu machine with Go and root; what
# else is needed is installed. Elsewhere each target says what is missing.

MODULES   := $(sort $(patsubst %/go.mod,%,$(shell find . -name go.mod -not -path '*/testdata/*')))
FUZZTIME  ?= 60s
TESTS     ?= ./...
PLATFORMS := linux/amd64 linux/arm64 darwin/arm64 windows/amd64

# How often the long forms of the durability harnesses crash a manager.
crash: N := 1000
crash: PEER := 300
powercut: N := 300

.PHONY: help test compat canary fuzz demo lint bench bench-compare build crash powercut

help: ## show the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

test: ## run everything: lint, cross-builds, all tests with -race, and the demo
	@test/needs.sh gcc runc crun containerd docker-registry mkfs.ext4 mkfs.xfs curl fuse-overlayfs
	@$(MAKE) --no-print-directory lint build
	@failed=; for module in $(filter-out ./compat,$(MODULES)); do \
		echo "== go test in $$module"; \
		(cd $$module && go test -race -timeout 20m ./...) || failed="$$failed $$module"; \
	done; \
	$(MAKE) --no-print-directory compat || failed="$$failed ./compat"; \
	if [ -n "$$failed" ]; then echo "failed in$$failed"; exit 1; fi
	@$(MAKE) --no-print-directory demo

compat: ## compare with docker's package, of each version that there is a modfile of
	cd compat && go test -v -run TestSurface ./api
	@cd compat && failed=; for modfile in go.mod go.docker-*.mod; do \
		echo "== go test in ./compat with $$modfile"; \
		go test -race -modfile=$$modfile ./api ./usage ./internal/... ./behaviour || failed="$$failed $$modfile"; \
		go test -modfile=$$modfile ./behaviour ./disk || failed="$$failed $$modfile"; \
	done; \
	if [ -n "$$failed" ]; then echo "failed with$$failed"; exit 1; fi

canary: ## build, vet and test with the newest release of every dependency; TESTS= packages and flags of go test
	@test/needs.sh gcc runc crun containerd docker-registry
	@test/canary.sh $(foreach word,$(TESTS),'$(word)')

fuzz: ## fuzz each target for FUZZTIME (60s); what it finds is kept in testdata/fuzz
	@for file in $$(grep -rl --include='*_test.go' '^func Fuzz' .); do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9]*\)(.*/\1/p' $$file); do \
			echo "== $$target in $$(dirname $$file)"; \
			(cd $$(dirname $$file) && go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) .) || exit 1; \
		done; \
	done

demo: ## make, start, use, stop and remove a plugin by the docker command line
	@test/cli/demo.sh

lint: ## gofmt, go vet, and golangci-lint if it is there
	@unformatted=$$(gofmt -l .) && if [ -n "$$unformatted" ]; then echo "gofmt: $$unformatted"; exit 1; fi
	@for module in $(MODULES); do \
		echo "== go vet in $$module"; \
		(cd $$module && go vet ./...) || exit 1; \
	done
	@if command -v golangci-lint >/dev/null; then golangci-lint run; fi

bench: ## run the benchmarks, beside docker's package too, and write docs/performance.md
	@test/needs.sh runc curl
	go test -run '^$$' -bench . -benchmem ./...
	cd bench && go run ./report

bench-compare: ## compare the benchmarks with those of another commit: REF=
	cd bench && go run ./compare $(REF)

crash: ## kill our manager N times, docker's PEER times, and write docs/durability.md
	go test -count 1 -timeout 0 -v -run TestKills ./test/crash -kills $(N) -publish $(CURDIR)/docs
	cd bench && go test -count 1 -timeout 0 -v ./crash -kills $(PEER) -publish $(CURDIR)/docs

powercut: ## cut the power N times for each file system, and write docs/durability.md
	@test/needs.sh mkfs.xfs
	go test -count 1 -timeout 0 -v ./test/powercut -cuts $(N) -publish $(CURDIR)/docs

build: ## build for all supported systems
	@for platform in $(PLATFORMS); do \
		echo "== go build for $$platform"; \
		CGO_ENABLED=0 GOOS=$${platform%/*} GOARCH=$${platform#*/} go build ./... || exit 1; \
	done
