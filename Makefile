# Two commands: `make run` executes the five lessons, `make test` passes all tests.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: run test lab app lint notebooks seeds ablation ship readme address clean

run: $(READY)
	$(BIN)/pneumo course

test: $(READY)
	$(BIN)/python -m pytest

lab: $(READY)
	$(BIN)/jupyter lab notebooks

# The upload panel as a page of its own, on this computer alone.
app: $(READY)
	$(BIN)/pneumo app

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check pneumo_utils tests

# Runs the lessons and keeps their outputs in notebooks/ and results/; nothing else writes them.
notebooks: $(READY)
	$(BIN)/pneumo course --store

# Trains the recipes over three seeds, keeps their checkpoints, and writes results/ablation.json.
seeds: $(READY)
	$(BIN)/pneumo ablation --rows cnn_baseline resnet_finetune efficientnet_lite0_finetune --keep --store

# Trains every row of the ablation over three seeds and adds it to results/ablation.json.
ablation: $(READY)
	$(BIN)/pneumo ablation --store

# Makes the seeds of `make seeds` into the models that ship, each with its card.
ship: $(READY)
	$(BIN)/pneumo ship --model cnn_baseline
	$(BIN)/pneumo ship --model efficientnet_lite0_finetune
	$(BIN)/pneumo ship --model efficientnet_lite0_finetune --ensemble

# Puts tables and figure into README.md, from the results files, the models' cards and the lessons.
readme: $(READY)
	$(BIN)/pneumo results --results-path results/chestxray2017.json \
	  --ablation-path results/ablation.json --guard-path results/guard.json --write-page README.md \
	  --write-figure results/beside_published.png

# Writes the repository's address, as pyproject.toml has it, into badges, set-up cells and pages.
address: $(READY)
	$(BIN)/pneumo address

$(READY): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --editable ".[dev]"
	touch $(READY)

clean:
	rm -rf .venv build plots
