# Every target sets up what it needs in .venv, from nothing, and can be run again at no cost.
#   make demo   the main job, offline, on the embedded model
#   make demo-train   the embedded model learns a task from its own votes, without labels, on this CPU
#   make test   the tests
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null \
	&& { echo $$p; break; }; done)
BIN := .venv/bin
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_BUILD_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
INPUTS := pyproject.toml constraints.txt

.PHONY: demo demo-train test check compat scale notebooks docs bench audit clean

demo: .venv/with-local
	$(BIN)/catlite demo

demo-train: .venv/with-train
	$(BIN)/catlite demo-train

# On all cores, but no more than four: every worker may hold a model.
test: .venv/with-dev
	$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4

check: .venv/with-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4

# With the versions that other people have, in environments of their own, 1.5 GB each.
compat: .venv/bin/python
	$(BIN)/python tests/compat.py

# What stands on Ray, with Ray for real, in an environment of its own, 700 MB.
scale: .venv/bin/python
	$(BIN)/python tests/scale_check.py

notebooks: .venv/with-dev
	$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=2 tests/test_notebooks.py

docs: .venv/with-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: .venv/with-dev
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

# Known weaknesses of the pinned versions, from whatever database can be reached.
audit: .venv/bin/python
	$(BIN)/python -m venv .venv/audit
	.venv/audit/bin/python -m pip install --quiet pip-audit
	.venv/audit/bin/pip-audit --no-deps --disable-pip --requirement constraints.txt

clean:
	rm -rf .venv site build dist

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "catlite needs Python 3.11, 3.12 or 3.13 with venv; set PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv .venv

# A stamp per set of extras: it is remade only when the pins or the package's metadata change.
.venv/with-local: .venv/bin/python $(INPUTS)
	$(BIN)/python -m pip install --quiet --editable '.[local]'
	@touch $@

.venv/with-train: .venv/bin/python $(INPUTS)
	$(BIN)/python -m pip install --quiet --editable '.[train]'
	@touch $@

# Unsloth runs on a GPU only; a test reads its source, to see that our calls into it fit.
.venv/with-dev: .venv/bin/python $(INPUTS)
	$(BIN)/python -m pip install --quiet --editable '.[local,serve,notebooks,docs,dev,train]'
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target .venv/unsloth-source unsloth unsloth_zoo
	@touch $@
