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

.PHONY: help install install-test quickstart test lint wording types unit slow coverage bench gpu docs package check-package lowest newest clean

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

lint: install-test wording ## ruff, spelling and terms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

wording: install-test ## spelling and terms in documentation, comments and docstrings
	$(BIN)/python tests/environment/wording.py

# mypy cannot see an editable install that maps folders, so it gets the mapping as links.
types: install-test ## mypy --strict
	mkdir -p build/types/disbench
	for path in datasets metrics reports baselines mine_vae benchmarks src/disbench/*; do ln -sfn ../../../$$path build/types/disbench/; done
	MYPYPATH=build/types $(BIN)/mypy -p disbench

unit: install-test ## the tests, without the slow ones
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

docs: install-test ## the documentation, in build/docs; warnings and broken links are errors
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs build/docs
	$(BIN)/python tests/environment/html_links.py build/docs

package: install-test ## the wheel and the source distribution, in dist; checked by twine
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m twine check --strict dist/*

FILE ?= $(wildcard dist/*.whl)
check-package: ## install FILE (the wheel in dist) into a fresh environment made by PYTHON, and run the README's examples there
	rm -rf build/fresh
	$(PYTHON) -m venv build/fresh
	build/fresh/bin/python -m pip install --quiet '$(FILE)[train]'
	build/fresh/bin/python tests/environment/readme_examples.py README.md

lowest: install-test ## the tests with the lowest versions of the dependencies that pyproject.toml allows
	$(BIN)/tox -e lowest

newest: ## the tests with the newest versions of the dependencies, in build/newest
	$(PYTHON) -m venv build/newest
	build/newest/bin/python -m pip install --quiet --upgrade --editable '.[test]'
	$(ONE_THREAD) build/newest/bin/python -m pytest -n 2 -q -m "not slow" tests

clean: ## remove the environment and build folders; runs are kept
	rm -rf $(VENV) build .mypy_cache .ruff_cache .tox
