# All commands of the project on one screen: `make help`.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help install demo test test-long bench lint format docs lock sbom audit clean

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(READY) ## virtual environment with pinned libraries and the `cptdn` command

# torch first and by itself: libraries that depend on it then keep this build instead of fetching another one.
$(READY): requirements-torch.lock requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, found " + sys.version.split()[0])'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-torch.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

demo: $(READY) ## the whole main job on this machine, with a synthetic patient; leaves out/demo
	$(BIN)/cptdn demo --out out/demo

# Three processes for two cores, each with whole files: many tests wait for programs that they started.
# The tests start hundreds of processes: without saved bytecode each would compile the program again.
test: $(READY) ## the whole test suite (CPTDN_REQUIRE_PEERS=1: a missing peer is a failure)
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -m "not long" -n 3 --dist loadfile --no-loadscope-reorder --durations 40 --durations-min 5

test-long: $(READY) ## the tests that take minutes each: learning gates, chaos, fuzzing
	$(BIN)/python -m pytest -m long --timeout 7200 -s

BENCH_READY := .venv-bench/.ready
BENCH_LOCK := tests/benchmarks/requirements-bench.lock

# Peers of the benchmarks have a virtual environment of their own, so that they cannot change the program's libraries.
$(BENCH_READY): requirements-torch.lock $(BENCH_LOCK)
	@test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-torch.lock
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $(BENCH_LOCK)
	@touch $@

bench: $(READY) $(BENCH_READY) ## benchmarks as ratios against peers, into out/bench (QUICK=1: a few minutes)
	$(BIN)/python -m tests.benchmarks --out out/bench $(if $(QUICK),--quick)

lint: $(READY) ## ruff, mypy, import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY) ## write config/REFERENCE.md from the settings, and API pages from the docstrings into out/docs
	$(BIN)/python -m config.reference
	$(BIN)/python -m tests.api_pages out/docs

lock: ## write requirements.lock from pyproject.toml, with hashes (torch has a file of its own)
	$(BIN)/pip-compile --quiet --all-extras --strip-extras --allow-unsafe --generate-hashes --no-header \
	    --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
	    -c requirements-torch.lock -o requirements.lock pyproject.toml
	@awk '/^[^ #]/ {torch = /^torch==/} !torch' requirements.lock > requirements.lock.part
	@mv requirements.lock.part requirements.lock

SBOM ?= out/sbom.json

sbom: $(READY) ## bill of materials of this environment (CycloneDX) into out/sbom.json
	@mkdir -p $(dir $(SBOM))
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-format JSON --no-validate \
	    --output-file $(SBOM) $(BIN)/python

audit: $(READY) ## lock files pinned and hashed, installed as locked, known vulnerabilities (says what it could not check)
	$(BIN)/python -m tests.supply_chain.audit

clean: ## remove everything that can be built again
	rm -rf .venv .venv-bench out build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
