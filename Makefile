# make repro   set up, compose the params, run the pipeline on all cores, print the answer   (OVERRIDES="scale=full" to change it)
# make ask TABLE=my.csv TARGET=y   the same for a table of your own, whatever was composed before
# make share      push data, predictions and the run cache to the team's remote (python -m stages.share remote URL names it)
# make open       fetch the report that the last commit tells of, and open it: no stage runs
# make audit      is what the report says what was run?
# make replay     train the committed study anew, and compare every cell with its committed SHA-256
# make test       set up, check style and types, run what a change needs, the real pipeline among it: 12 min on 2 cores
# make test-slow  the long tests: simulations, faults, clusters, large data
PYTHON ?= python3
OVERRIDES ?=
TABLE ?=
TARGET ?=
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# python -m: scripts in .venv/bin name the folder that they were installed in, and break where it was renamed.

.PHONY: repro ask share open audit replay test test-slow fast install lock prune

repro: install
	@echo "2/3 compose the study" && python -m stages.compose $(OVERRIDES)
	@echo "3/3 run it" && python -m stages.run

ask: install
	@test -n "$$TABLE" && test -n "$$TARGET" || { echo 'error: make ask TABLE=my.csv TARGET=y: say which table, and which of its columns to predict'; exit 1; }
	@echo "2/3 compose the study" && python -m stages.compose --reset --table "$$TABLE" --target "$$TARGET" $(OVERRIDES)
	@echo "3/3 run it" && python -m stages.run

share: install
	@python -m stages.share push

open: install
	@python -m stages.share open

audit: install
	@python -m stages.audit

replay: install
	@python -m stages.replay

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
	@echo "1/3 set up: what pip says goes to $(CURDIR)/run.log"
	@{ $(PYTHON) -m venv .venv && python -m pip install --requirement requirements.lock; } > run.log 2>&1 || \
		{ tail -5 run.log; echo "error: installing failed; see $(CURDIR)/run.log"; exit 1; }
	@touch $@

lock: install  # newest versions that pyproject.toml allows; torch without the local label of a CPU build
	python -m piptools compile --quiet --strip-extras --extra dev --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
		--no-annotate --no-header --upgrade --output-file requirements.lock pyproject.toml
	sed -i 's/^\(torch==[0-9.]*\)+.*/\1/' requirements.lock

prune: install  # remove predictions that the grid no longer names
	python -m stages.prune
