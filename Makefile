# `make` lists the targets. The demo needs only Rust; tests and linters also need Python 3.10 or newer.

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
CARGO_MUTANTS_VERSION := 27.1.0
CARGO_MUTANTS ?= $(TOOLS)/cargo-mutants-$(CARGO_MUTANTS_VERSION)/bin/cargo-mutants
CARGO_CYCLONEDX_VERSION := 0.5.9
CARGO_CYCLONEDX ?= $(TOOLS)/cargo-cyclonedx-$(CARGO_CYCLONEDX_VERSION)/bin/cargo-cyclonedx
CARGO_FUZZ_VERSION := 0.13.2
CARGO_FUZZ ?= $(TOOLS)/cargo-fuzz-$(CARGO_FUZZ_VERSION)/bin/cargo-fuzz

PROGRAMS := $(abspath $(or $(CARGO_TARGET_DIR),target))/e2e
PYTEST := $(TOOLS)/others/bin/python -m pytest --quiet
# AWS's Runtime Interface Emulator, one program per architecture.
RIE = $(CURDIR)/$(VENV)/lib/python3.*/site-packages/samcli/local/rapid/aws-lambda-rie-$$(uname -m | sed s/aarch64/arm64/)

.DEFAULT_GOAL := help
.PHONY: help demo serve test e2e simulate planted-bugs mutants fuzz bench package
.PHONY: lint lint-rust lint-dependencies lint-template lint-planted-bugs audit clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Run the whole system on this machine, against simulated services (or: make demo events/x.json; ARGS=--help)
	@cargo build --locked --example demo
	@cargo run --quiet --locked --example demo -- $(ARGS) $(EVENT_FILES)

# `serve` starts the functions' programs as child processes and expects them in the directory above its own.
serve: ## Keep the whole system running on this machine, and print the commands to use it (ARGS=--help)
	@cargo build --locked --bins --example serve
	@cargo run --quiet --locked --example serve -- $(ARGS)

# `make demo events/x.json`: make treats the file as a second goal. As a phony target with an empty recipe it prints
# nothing, and other goals are not affected.
ifneq (,$(filter demo,$(MAKECMDGOALS)))
EVENT_FILES := $(filter %.json,$(MAKECMDGOALS))
endif
ifneq (,$(EVENT_FILES))
.PHONY: $(EVENT_FILES)
$(EVENT_FILES): ; @:
endif

# Most tests mostly wait, so more of them run at the same time than there are processors.
test: export RUST_TEST_THREADS ?= 8
test: $(SCHEMATHESIS) ## Run all tests
	cargo test --workspace --features cli --locked
	@$(MAKE) --no-print-directory e2e

# The functions are release builds without link-time optimization, which takes minutes. They run in MiniStack and under
# AWS's Runtime Interface Emulator, which is part of the SAM CLI. Alibaba Cloud's official SDK calls the simulator, and
# those of Slack and Feishu the simulated platforms. The command line program runs on a pseudo-terminal; it is the one
# that the Rust tests run.
e2e: export WORKER := $(PROGRAMS)/worker
e2e: export INTAKE := $(PROGRAMS)/intake
e2e: export SWEEPER := $(PROGRAMS)/sweeper
e2e: export SIMULATOR := $(PROGRAMS)/privatelink-simulator
e2e: export MESSENGER := $(PROGRAMS)/messenger
e2e: export LOCAL_CHAT := $(PROGRAMS)/local-chat
e2e: export PANICKING := $(PROGRAMS)/panicking-worker
e2e: export CLI := $(abspath $(or $(CARGO_TARGET_DIR),target))/debug/privatelink-detach
e2e: $(OTHERS) $(LINTERS) ## Test the release programs with third-party programs (part of `make test`)
	cargo build --locked --profile e2e --bins \
		--package privatelink-detach --package privatelink-simulator --package local-chat --package panicking-worker
	cargo test --workspace --features cli --locked --test cli --no-run
	$(PYTEST) tests/python/cli
	$(PYTEST) tests/python/official_sdk
	RIE=$$(echo $(RIE)) $(PYTEST) tests/python/slack
	RIE=$$(echo $(RIE)) $(PYTEST) tests/python/lark
	RIE=$$(echo $(RIE)) $(PYTEST) tests/python/dingtalk
	RIE=$$(echo $(RIE)) $(PYTEST) tests/python/emulator
	$(PYTEST) tests/python/e2e

# docs/reliability.md describes the simulation. Its profile is optimized, with the checks of a debug build.
HISTORIES ?= 100000
SIMULATE = cargo run --locked --profile simulation --package detach-simulation --bin simulate --

simulate: ## Check the guarantees in random histories with crashes and faults (HISTORIES=100000; SEED=..., SWEEP_SEED=... print one)
	$(SIMULATE) $(if $(SEED),trace $(SEED),$(if $(SWEEP_SEED),trace-sweeps $(SWEEP_SEED),all $(HISTORIES)))

planted-bugs: ## Plant each known bug in a copy of the source and expect a check to find it (ARGS="name ..."; takes an hour)
	$(PYTHON) tools/planted_bugs.py $(ARGS)

# The batch's own tests have `lane` in their names.
mutants: export PATH := $(abspath $(dir $(CARGO_MUTANTS))):$(PATH)
mutants: $(CARGO_MUTANTS) ## Mutate detach core, batch, pages and error table, and expect a test to fail (takes hours)
	@mkdir -p target/mutants-core target/mutants-batch
	cargo mutants --timeout 120 --cargo-arg=--lib --output target/mutants-core --file src/detach.rs \
		--file 'src/detach/*.rs' --file src/alibaba/codes.rs --file src/alibaba/error.rs --file src/alibaba/pages.rs
	cargo mutants --timeout 120 --cargo-arg=--lib --cargo-arg=--test --cargo-arg=worker --output target/mutants-batch \
		--file src/worker/batch.rs -- lane

# SECONDS is per target. Leak detection is off: there is no unsafe code, and it slows the larger targets down.
TARGET ?= $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))
SECONDS ?= 600

fuzz: $(CARGO_FUZZ) ## Fuzz every parser of untrusted input (TARGET=... SECONDS=600 for each; needs a nightly compiler)
	@for target in $(TARGET); do mkdir -p fuzz/corpus/$$target && \
		RUSTUP_TOOLCHAIN=nightly PATH="$(abspath $(dir $(CARGO_FUZZ))):$$PATH" \
		cargo fuzz run $$target fuzz/corpus/$$target tests/fuzz/corpus/$$target -- \
			-dict=fuzz/dictionaries/$$target.dict -max_total_time=$(SECONDS) -max_len=16384 -timeout=10 \
			-rss_limit_mb=1024 -malloc_limit_mb=64 -detect_leaks=0 || exit 1; done

# The examples are built first, so that their dependencies lack the features that only tests and benchmarks enable.
bench: $(PEER) ## Benchmark functions, bare runtime, Python peer, a long queue and a sweep (ARGS="start first" for parts)
	cargo build --release --locked --example bare --example calls
	PEER_PYTHON=$(TOOLS)/peer/bin/python cargo bench --locked --bench functions -- $(ARGS)
	cargo bench --profile e2e --locked --bench scale
	cargo bench --profile e2e --locked --bench sweep

package: $(PACKAGER) $(CARGO_CYCLONEDX) ## Build the functions for Lambda on arm64, with their SBOMs, and check them (takes minutes)
	CARGO_CYCLONEDX=$(abspath $(CARGO_CYCLONEDX)) $(TOOLS)/package/bin/python tools/package.py

lint: lint-template lint-planted-bugs lint-dependencies lint-rust ## Run all linters; CI runs this and `make test`

lint-rust: ## Check format, lints and documentation of the Rust code
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --workspace --all-targets --features cli --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --features cli --no-deps --locked

# `make audit` checks for known vulnerabilities separately: it downloads a database that changes daily, and a commit
# that passed must not fail later without a change.
lint-dependencies: $(CARGO_DENY) ## Check licenses, banned crates and sources of the dependencies
	$(CARGO_DENY) --locked check licenses bans sources

lint-template: $(LINTERS) ## Lint template.yaml with SAM and cfn-lint, before and after the SAM transformation, and the examples
	$(VENV)/bin/python tools/lint_template.py

lint-planted-bugs: ## Check that every planted bug still applies, and test the program that plants them
	$(PYTHON) -m unittest discover --quiet --start-directory tests/python/tools
	$(PYTHON) tools/planted_bugs.py --check

audit: $(CARGO_DENY) ## Check the dependencies for known vulnerabilities (downloads the RustSec database)
	$(CARGO_DENY) --locked check advisories

clean: ## Remove all build results and installed tools
	cargo clean
	rm -rf $(VENV) $(TOOLS) fuzz/target fuzz/corpus fuzz/artifacts

# Built without optimization: it runs briefly, and compiles faster this way.
$(TOOLS)/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny:
	CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=256 \
		cargo install --quiet --locked --no-default-features --root $(TOOLS)/cargo-deny-$(CARGO_DENY_VERSION) \
		cargo-deny@$(CARGO_DENY_VERSION)

# As for cargo-deny.
$(TOOLS)/cargo-cyclonedx-$(CARGO_CYCLONEDX_VERSION)/bin/cargo-cyclonedx:
	CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=256 \
		cargo install --quiet --locked --root $(TOOLS)/cargo-cyclonedx-$(CARGO_CYCLONEDX_VERSION) \
		cargo-cyclonedx@$(CARGO_CYCLONEDX_VERSION)

$(TOOLS)/cargo-mutants-$(CARGO_MUTANTS_VERSION)/bin/cargo-mutants:
	cargo install --quiet --locked --root $(TOOLS)/cargo-mutants-$(CARGO_MUTANTS_VERSION) cargo-mutants@$(CARGO_MUTANTS_VERSION)

$(TOOLS)/cargo-fuzz-$(CARGO_FUZZ_VERSION)/bin/cargo-fuzz:
	cargo install --quiet --locked --root $(TOOLS)/cargo-fuzz-$(CARGO_FUZZ_VERSION) cargo-fuzz@$(CARGO_FUZZ_VERSION)

# A virtual environment is created again when its pinned versions change, so that no old package remains. pip rejects
# files without a listed hash, runs no build scripts, and installs only the listed packages, which are complete.
define install
rm -rf $(@D)
$(PYTHON) -m venv $(@D)
$(@D)/bin/python -m pip install --quiet --disable-pip-version-check \
	--require-hashes --only-binary :all: --no-deps --requirement $<
touch $@
endef

$(LINTERS): tools/requirements/lint.txt
	$(install)

$(SCHEMATHESIS): tools/requirements/openapi.txt
	$(install)

$(OTHERS): tools/requirements/tests.txt
	$(install)

$(PEER): tools/requirements/peer.txt
	$(install)

$(PACKAGER): tools/requirements/package.txt
	$(install)
