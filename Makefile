# Two commands: `make run` executes the five lessons, `make test` passes all tests.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: run test lab lint notebooks readme clean

run: $(READY)
	$(BIN)/pneumo course

test: $(READY)
	$(BIN)/python -m pytest

lab: $(READY)
	$(BIN)/jupyter lab notebooks

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check pneumo_utils tests

# Runs the lessons and keeps their outputs in notebooks/ and results/; nothing else writes them.
notebooks: $(READY)
	$(BIN)/pneumo course --store

# Puts the measured table into README.md from the results file kept by `make notebooks`.
readme: $(READY)
	$(BIN)/pneumo results --results-path results/chestxray2017.json --write-page README.md

$(READY): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --editable ".[dev]"
	touch $(READY)

clean:
	rm -rf .venv build plots
