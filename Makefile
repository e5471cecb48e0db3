# make repro   set up, compose the params, run the pipeline on all cores, print the answer   (OVERRIDES="scale=full" to change it)
# make test       set up, check style and types, run what a change needs, the real pipeline among it: 13 min on 2 cores
# make test-slow  the long tests: simulations, faults, clusters, large data
PYTHON ?= python3
OVERRIDES ?=
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# python -m: scripts in .venv/bin name the folder that they were installed in, and break where it was renamed.

.PHONY: repro test test-slow fast install lock prune

repro: install
	python -m stages.compose $(OVERRIDES)
	python -m stages.run
	@echo && cat results/answer.txt && echo "The report: $(CURDIR)/results/report.html"

test: install
	python -m ruff check . && python -m ruff format --check . && python -m mypy
	python -m pytest -n auto --dist worksteal -m "not slow"

test-slow: install
	python -m pytest -n auto --dist worksteal -m slow

fast: install  # what needs no pipeline
	python -m pytest -n auto --dist worksteal -m "not slow and not pipeline"

install: $(BIN)/installed

$(BIN)/installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is older than Python 3.11; name a newer one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' || \
		{ echo "error: $(PYTHON) has no ensurepip; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv .venv
	python -m pip install --quiet --requirement requirements.lock
	touch $@

lock: install  # newest versions that pyproject.toml allows; torch without the local label of a CPU build
	python -m piptools compile --quiet --strip-extras --extra dev --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
		--no-annotate --no-header --upgrade --output-file requirements.lock pyproject.toml
	sed -i 's/^\(torch==[0-9.]*\)+.*/\1/' requirements.lock

prune: install  # remove predictions that the grid no longer names
	python -m stages.prune
