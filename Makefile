# `make` alone lists the targets. The demo needs nothing but Rust; tests and linters also need Python 3.10 or newer.

PYTHON ?= python3
VENV := .venv
LINTERS := $(VENV)/installed
TOOLS := .tools
SCHEMATHESIS := $(TOOLS)/schemathesis/installed
OTHERS := $(TOOLS)/others/installed
PEER := $(TOOLS)/peer/installed
PACKAGER := $(TOOLS)/package/installed
CARGO_DENY_VERSION := 0.20.2
CARGO_DENY ?= $(TOOLS)/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny

PROGRAMS := $(abspath $(or $(CARGO_TARGET_DIR),target))/e2e
PYTEST := $(TOOLS)/others/bin/python -m pytest --quiet
# Lambda's runtime emulator, one program for each architecture.
RIE = $(CURDIR)/$(VENV)/lib/python3.*/site-packages/samcli/local/rapid/aws-lambda-rie-$$(uname -m | sed s/aarch64/arm64/)

.DEFAULT_GOAL := help
.PHONY: help demo test e2e bench package lint lint-rust lint-dependencies lint-template audit clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Run the whole system on this machine, against the simulator (ARGS="..." is passed on)
	@cargo build --locked --example local
	@cargo run --quiet --locked --example local -- $(ARGS)

# Most tests wait for something, so more of them run at once than there are processors.
test: export RUST_TEST_THREADS ?= 8
test: $(SCHEMATHESIS) ## Run every test of the workspace
	cargo test --workspace --locked
	@$(MAKE) --no-print-directory e2e

# The functions are release builds without link-time optimisation, which alone takes minutes. They run in MiniStack and
# under AWS's runtime emulator, which the SAM CLI brings along, and Alibaba Cloud's own clients call the simulator.
e2e: export WORKER := $(PROGRAMS)/worker
e2e: export INTAKE := $(PROGRAMS)/intake
e2e: export SIMULATOR := $(PROGRAMS)/privatelink-simulator
e2e: export PANICKING := $(PROGRAMS)/panicking-worker
e2e: $(OTHERS) $(LINTERS) ## Run the release programs in parts that others wrote (part of `make test`)
	cargo build --locked --profile e2e --bins \
		--package privatelink-detach --package privatelink-simulator --package panicking-worker
	$(PYTEST) tests/official_sdk
	RIE=$$(echo $(RIE)) $(PYTEST) tests/emulator
	$(PYTEST) tests/e2e

# The example first: what it needs is compiled without the features that only tests and benchmarks ask for.
bench: $(PEER) ## Measure both functions beside the bare runtime and a peer in Python, and a long queue (ARGS="start first" for parts)
	cargo build --release --locked --example bare
	PEER_PYTHON=$(TOOLS)/peer/bin/python cargo bench --locked --bench functions -- $(ARGS)
	cargo bench --profile e2e --locked --bench scale

package: $(PACKAGER) ## Build both functions for Lambda's arm64 processors, and print the size of their zips (compiles for minutes)
	$(TOOLS)/package/bin/python scripts/package.py

lint: lint-template lint-dependencies lint-rust ## Run every linter; CI runs this and `make test`

lint-rust: ## Check formatting, lints and documentation of the Rust code
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

# Known vulnerabilities are left to `make audit`: their database changes from day to day and must be downloaded, and a
# commit that was green must not turn red on its own.
lint-dependencies: $(CARGO_DENY) ## Check licences, banned crates and sources of the dependencies
	$(CARGO_DENY) --locked check licenses bans sources

lint-template: $(LINTERS) ## Check template.yaml as SAM reads it, as written and as CloudFormation sees it
	$(VENV)/bin/python scripts/lint_template.py

audit: $(CARGO_DENY) ## Look for known vulnerabilities in the dependencies (downloads the RustSec database)
	$(CARGO_DENY) --locked check advisories

clean: ## Remove everything that was built or installed here
	cargo clean
	rm -rf $(VENV) $(TOOLS)

# Built from source, and not optimised: it runs for a moment, and this way it does not compile for long.
$(TOOLS)/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny:
	CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=256 \
		cargo install --quiet --locked --no-default-features --root $(TOOLS)/cargo-deny-$(CARGO_DENY_VERSION) \
		cargo-deny@$(CARGO_DENY_VERSION)

# What comes from PyPI is made anew whenever the pinned versions change, so that nothing old stays behind. pip refuses a
# file whose hash is not listed, runs no package's build script, and installs what is listed: that is everything needed.
define install
rm -rf $(@D)
$(PYTHON) -m venv $(@D)
$(@D)/bin/python -m pip install --quiet --disable-pip-version-check \
	--require-hashes --only-binary :all: --no-deps --requirement $<
touch $@
endef

$(LINTERS): requirements-lint.txt
	$(install)

$(SCHEMATHESIS): tests/openapi/requirements.txt
	$(install)

$(OTHERS): tests/requirements.txt
	$(install)

$(PEER): benches/peer/requirements.txt
	$(install)

$(PACKAGER): requirements-package.txt
	$(install)
