# Two commands matter: `make quickstart` and `make test`. Both make the environment if it is missing and are safe to repeat.
PYTHON ?= python3.11
VENV   ?= .venv
BIN    := $(VENV)/bin
OUT    ?= runs/quick

# A run from this folder must not find `datasets` or `metrics` as top-level modules.
export PYTHONSAFEPATH = 1
export MPLBACKEND = Agg

# Networks this small gain little from a second thread, and lose tenfold to it when another process wants the core.
ONE_THREAD = OMP_NUM_THREADS=1

.PHONY: help install install-test quickstart test lint types unit slow coverage bench gpu docs clean

help: ## what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/'

install: $(VENV)/.installed ## the environment in .venv with what training needs, in pinned versions

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip setuptools wheel
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train]'
	touch $@

install-test: $(VENV)/.installed-test ## the same with what the tests, the documentation and all extras need

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

quickstart: install ## train, score and show four methods on a small dataset; about ten minutes of CPU time
	$(ONE_THREAD) $(BIN)/disbench run quick --out $(OUT)

test: install-test lint types unit ## everything that CI runs

lint: install-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy cannot see an editable install that maps folders, so it gets the mapping as links.
types: install-test
	mkdir -p build/types/disbench
	for path in datasets metrics reports baselines mine_vae benchmarks src/disbench/*; do ln -sfn ../../../$$path build/types/disbench/; done
	MYPYPATH=build/types $(BIN)/mypy -p disbench

unit: install-test
	$(ONE_THREAD) $(BIN)/python -m pytest -n 2 -q -m "not slow" tests

slow: install-test ## the tests that `make test` leaves out
	$(ONE_THREAD) $(BIN)/python -m pytest -n 2 -q -m slow tests

coverage: install-test ## lines of product code that the tests run; fails below 92 %
	$(ONE_THREAD) $(BIN)/python -m pytest -n 2 -q --cov --cov-report=term:skip-covered tests

bench: install-test ## timing benchmarks, saved and printed beside the last ones
	$(BIN)/python -m pytest -q -o python_files="bench_*.py" -o python_functions="bench_*" tests/perf \
		--benchmark-autosave --benchmark-storage=file://.benchmarks $$(ls .benchmarks/*/*.json >/dev/null 2>&1 && echo --benchmark-compare)

gpu: install-test ## check and time everything on a CUDA device: results/gpu; skipped where there is none
	$(BIN)/python tests/perf/gpu.py

docs: install-test ## the documentation, in build/docs
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs build/docs

clean: ## remove the environment and build folders; runs are kept
	rm -rf $(VENV) build .mypy_cache .ruff_cache .tox
