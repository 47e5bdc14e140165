# SPDX-License-Identifier: Apache-2.0
# Everything runs on a fresh Debian or Ubuntu machine with Go and root; what
# else is needed is installed. Elsewhere each target says what is missing.

MODULES   := $(sort $(patsubst %/go.mod,%,$(shell find . -name go.mod -not -path '*/testdata/*')))
FUZZTIME  ?= 60s
TESTS     ?= ./...
LINT      := go tool -modfile=$(CURDIR)/tools/lint/go.mod golangci-lint
# Lint vets every module. The compressor runs in goroutines of internal/members, which is
# checked; its own loops take ten times as long with the detector.
RACE      := -vet=off -race -gcflags=github.com/klauspost/compress/flate=-race=false
VULNCHECK := go tool -modfile=$(CURDIR)/tools/lint/go.mod govulncheck
# Unpacking and creating plugins needs root.
UNIT      := $(filter-out ./internal/rootfs ./internal/backups,. ./engineapi ./v2 ./plugintest/registry $(wildcard ./internal/*) $(wildcard ./executor/internal/*))
PLATFORMS := linux/amd64 linux/arm64 darwin/arm64 windows/amd64

# How often the long forms of the durability harnesses crash a manager.
crash: N := 1000
crash: PEER := 300
powercut: N := 300

# Where dockerd is built: 1 GB of sources and programs. A second build takes what
# Go has cached.
DOCKER          ?= 28.5.2
DOCKERD_BUILD   ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/dovetail-dockerd

# How often bench-dockerd measures.
ROUNDS ?= 7

.PHONY: help test modules unit deps compat dockerd dockerd-twice test-dockerd test-moby bench-dockerd canary fuzz demo lint tidy vuln voice bench bench-compare bench-guard build docs crash powercut

help: ## show the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

test: deps ## run everything: lint, cross-builds, all tests with -race, and the demo; list skipped tests
	@$(MAKE) --no-print-directory lint tidy build
	@test/skips.sh $(MAKE) --no-print-directory modules demo

# The longest packages begin first.
modules: LONGEST := ./test/manager ./executor/containerd ./cmd/plugind ./test/real
modules:
	@failed=; for module in $(filter-out ./compat ./compat/dockerd,$(MODULES)); do \
		echo "== go test in $$module"; \
		(cd $$module && go test $(RACE) -timeout 25m $$(ls -d $(LONGEST) 2>/dev/null) ./...) || failed="$$failed $$module"; \
	done; \
	$(MAKE) --no-print-directory compat || failed="$$failed ./compat"; \
	if [ -n "$$failed" ]; then echo "failed in$$failed"; exit 1; fi

unit: ## run the tests that need neither root nor a container runtime, in under a minute
	@test/skips.sh go test -short $(UNIT)

deps: ## install what the tests need, with apt-get as root, and build the linter
	@test/needs.sh gcc runc crun containerd docker-registry mkfs.ext4 mkfs.xfs curl fuse-overlayfs sshfs sshd
	@$(LINT) version --short >/dev/null

compat: ## compare with docker's package, in each version that has a modfile
	cd compat && go test -v -run TestSurface ./api
	@cd compat && failed=; for modfile in go.mod go.docker-*.mod; do \
		echo "== go test in ./compat with $$modfile"; \
		go test $(RACE) -modfile=$$modfile ./api ./usage ./internal/... ./behaviour || failed="$$failed $$modfile"; \
		go test -vet=off -modfile=$$modfile ./behaviour ./disk || failed="$$failed $$modfile"; \
	done; \
	if [ -n "$$failed" ]; then echo "failed with$$failed"; exit 1; fi

dockerd: ## build dockerd on Dovetail, and a stock dockerd, below DOCKERD_BUILD; DOCKER= another version
	@test/needs.sh gcc
	@cd compat/dockerd && go run ./build -docker $(DOCKER) -directory $(DOCKERD_BUILD)

dockerd-twice: ## build the daemons twice, in two directories; fails unless the programs are the same
	@test/needs.sh gcc
	@cd compat/dockerd && go run ./build -docker $(DOCKER) -directory $(DOCKERD_BUILD) -twice

test-dockerd: dockerd ## run the stories of compat/dockerd on both daemons, and compare; FORM=-long plays the whole story of a swarm
	@test/needs.sh docker runc containerd docker-registry iptables busybox ip curl sshfs sshd
	cd compat/dockerd && go test -count 1 ./build
	cd compat/dockerd && DOVETAIL_DOCKERD=$(DOCKERD_BUILD)/$(DOCKER) go test -count 1 -parallel 4 -timeout 40m . $(FORM)

test-moby: ## run docker's own tests of plugins on both daemons, and compare their results
	@test/needs.sh gcc docker runc containerd docker-registry iptables busybox ip
	@cd compat/dockerd && go run ./build -docker $(DOCKER) -directory $(DOCKERD_BUILD) -suites
	cd compat/dockerd && DOVETAIL_DOCKERD=$(DOCKERD_BUILD)/$(DOCKER) go test -count 1 -timeout 60m -v -tags moby -run '^TestMoby' .

bench-dockerd: dockerd ## measure both daemons in turns, and write their section of docs/performance.md
	@test/needs.sh docker runc containerd docker-registry iptables busybox ip curl
	cd compat/dockerd && DOVETAIL_DOCKERD=$(DOCKERD_BUILD)/$(DOCKER) go test -count 1 -timeout 0 -v -run '^TestFigures$$' . -rounds $(ROUNDS) -publish $(CURDIR)/docs

canary: ## build, vet and test with the newest release of every dependency; TESTS= packages and flags of go test
	@test/needs.sh gcc runc crun containerd docker-registry
	@test/skips.sh test/canary.sh $(foreach word,$(TESTS),'$(word)')

fuzz: ## fuzz each target for FUZZTIME (60s); findings are kept in testdata/fuzz
	@for file in $$(grep -rl --include='*_test.go' '^func Fuzz' .); do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9]*\)(.*/\1/p' $$file); do \
			echo "== $$target in $$(dirname $$file)"; \
			(cd $$(dirname $$file) && go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) .) || exit 1; \
		done; \
	done

demo: ## create, enable, use, disable and remove a plugin with the docker command line
	@test/cli/demo.sh

lint: ## run gofmt, go vet, and golangci-lint in the version of tools/lint
	@unformatted=$$(gofmt -l .) && if [ -n "$$unformatted" ]; then echo "gofmt: $$unformatted"; exit 1; fi
	@for module in $(MODULES); do \
		echo "== go vet in $$module"; \
		(cd $$module && go vet ./...) || exit 1; \
	done
	@echo "== golangci-lint"; $(LINT) run

tidy: ## fail unless every go.mod and go.sum is tidy; "go mod tidy" repairs one
	@for module in $(MODULES); do \
		echo "== go mod tidy in $$module"; \
		(cd $$module && go mod tidy -diff) || exit 1; \
	done

vuln: ## report known vulnerabilities in called code; needs vuln.go.dev or GOVULNDB
	@for module in $(filter-out ./tools/%,$(MODULES)); do \
		echo "== govulncheck in $$module"; \
		(cd $$module && $(VULNCHECK) ./...) || exit 1; \
	done

voice: ## list the places where the prose has the habits that internal/archtest counts
	@go test -count 1 -v -run '^TestVoice$$' ./internal/archtest

bench: ## run the benchmarks, also those of docker's package, and write docs/performance.md
	@test/needs.sh runc curl
	go test -run '^$$' -bench . -benchmem ./...
	cd bench && go run ./report

bench-compare: ## compare the benchmarks with those of another commit: REF=
	cd bench && go run ./compare $(REF)

bench-guard: REF ?= $(shell git rev-parse --quiet --verify HEAD^)
bench-guard: ## print quick ratios to docker's package; fail if one is half of that at REF (the parent commit)
	cd bench && go run ./guard $(REF)

docs: bench crash powercut ## write all generated pages: differences, performance and durability; takes hours
	cd compat && go test -count 1 ./behaviour -update

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
