# `make demo` and `make test` need nothing but Python 3.11 or later, make, and a package registry.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := runs/demo

.PHONY: demo test fast check clean
.DEFAULT_GOAL := demo

# The stamp is as new as the metadata it was installed from.
$(VENV)/installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

## The main job on what ships with the package; no network beyond the package registry.
demo: $(VENV)/installed
	rm -rf $(DEMO)
	$(BIN)/tfl run recipes/strawberry_disease.py --out $(DEMO)

## Every test. Those that need real weights or photos run where KERAS_HOME and TFL_TEST_DATA have them.
test: $(VENV)/installed
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

## The fast tier.
fast: $(VENV)/installed
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder -m 'not slow' $(PYTEST_ARGS)

## Format, lint, types: the same for a person, a hook and CI.
check: $(VENV)/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) $(DEMO) build *.egg-info
