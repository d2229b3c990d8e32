# `make help` lists the verbs. What takes more than a line or two stands in .ci/.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# Unused code goes at link time; the Swift runtime is linked in, so that a binary needs only libssl, libcrypto,
# libnghttp2 and libyaml beside the C library.
RELEASE := -c release --static-swift-stdlib -Xlinker --gc-sections -Xlinker -s
CHECKED := --explicit-target-dependency-import-check error
PRODUCTS := martlet-proxy martlet-control martlet martlet-demo-service martlet-load
SOURCES := Package.swift Sources Tests Benchmarks

.PHONY: help
help: ## lists the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## installs what building and testing need (Debian packages, with apt)
	@.ci/setup.sh build test

.PHONY: build
build: setup ## release binaries in .build/release: stripped, with the Swift runtime inside
	@echo "make build: a first build compiles all packages, about ten minutes on two cores"
	@for product in $(PRODUCTS); do echo "make build: $$product"; swift build $(RELEASE) $(CHECKED) --product $$product || exit 1; done
	@cd .build/release && ls -l $(PRODUCTS)

.PHONY: test
test: setup ## every test, with debug binaries (choose with TEST='--filter NAME')
	@echo "make test: a first build compiles all packages, about ten minutes on two cores"
	swift test --no-parallel --disable-xctest $(CHECKED) $(TEST)

.PHONY: demo
demo: build ## a small brokerage with sidecars and control plane, shown on the wire (KEEP=1 leaves it running)
	@.ci/setup.sh demo
	@python3 .ci/demo.py --binaries .build/release $(if $(KEEP),--keep)

.PHONY: bench
bench: build ## direct, through one sidecar, through two with mutual TLS; the table goes into README.md
	@.ci/setup.sh bench
	@python3 .ci/bench.py --binaries .build/release $(BENCH)

.PHONY: instructions
instructions: build ## user instructions and system calls per request: repeatable, to compare before and after a change
	@.ci/setup.sh bench
	@python3 .ci/bench.py --binaries .build/release --only-counts

.PHONY: format
format: ## formats the sources in place
	swift format format --in-place --recursive $(SOURCES)

.PHONY: lint
lint: ## the sources' format, without changing anything
	swift format lint --strict --recursive $(SOURCES)

.PHONY: check
check: lint test ## what must pass before a merge

.PHONY: protos
protos: ## generates the .proto files, the field table and the messages again, from the list of supported fields
	@.ci/protos.sh

.PHONY: clean
clean: ## removes what was built (not what setup installed)
	rm -rf .build
