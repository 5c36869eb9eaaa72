# The course
#   make run         runs the five lessons, after installing what they need
#   make lab         opens them in JupyterLab
#   make app         the upload panel as a page of its own, on this computer alone
#   make book        the course as a website in build/book, from the stored lessons, without a network
# Checks
#   make test        all tests but the slow ones
#   make quick       the short ones that start no other program: 2 minutes
#   make slow        the slow ones: Colab emulated, kills, whole folders of films
#   make lint        style
#   make types       types, as far as they are written: a minute, then seconds
#   make release     wheel and sdist in dist/, each installed bare and asked about a film
# What maintainers keep in the repository; nothing else writes it
#   make notebooks   runs the lessons, keeps their outputs in notebooks/ and their figures in results/
#   make seeds       trains the recipes over three seeds, keeps their checkpoints; results/ablation.json
#   make ablation    trains every row of the ablation over three seeds; results/ablation.json
#   make ship        makes the seeds of `make seeds` into the models that ship, each with its card; ORIGINALS is a
#                    folder of films in their original size
#   make readme      puts tables and figure into README.md, from results, cards and lessons
# make clean         removes the environment, build/, dist/ and plots/

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# A process for each core, of one thread; one file at a time, and what is heavy in one of them.
SPREAD := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist loadgroup \
  --no-loadscope-reorder

.PHONY: run lab app book test quick slow lint types release notebooks seeds ablation ship readme clean

run: $(READY)
	$(BIN)/pneumo course

lab: $(READY)
	$(BIN)/jupyter lab notebooks

app: $(READY)
	$(BIN)/pneumo app

book: $(READY)
	rm -rf build/book build/book_src && mkdir -p build/book_src
	$(BIN)/python -m sphinx -q -W --keep-going -c book -d build/book_src/.trees build/book_src build/book

test: $(READY)
	$(SPREAD) -m "not slow"

quick: $(READY)
	$(SPREAD) -m "not system and not long and not slow"

slow: $(READY)
	$(BIN)/python -m pytest -m slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check book pneumo_utils tests tools

types: $(READY)
	$(BIN)/mypy

release: $(READY)
	rm -rf dist
	$(BIN)/python -m build
	PNEUMO_DIST=dist $(BIN)/python -m pytest -m slow tests/test_light_install.py

notebooks: $(READY)
	$(BIN)/python -m tools.store_lessons

seeds: $(READY)
	$(BIN)/python -m tools.ablation --store --rows efficientnet_lite0_finetune cnn_baseline cnn_distilled \
	  resnet_finetune resnet_distilled

ablation: $(READY)
	$(BIN)/python -m tools.ablation --store

ship: $(READY)
	$(BIN)/python -m tools.ship --model cnn_baseline
	$(BIN)/python -m tools.ship --model cnn_distilled
	$(BIN)/python -m tools.ship --model resnet_distilled
	$(BIN)/python -m tools.ship --model efficientnet_lite0_finetune
	$(BIN)/python -m tools.ship --model efficientnet_lite0_finetune --ensemble
	$(BIN)/python -m tools.originals $(ORIGINALS)

readme: $(READY)
	$(BIN)/python -m tools.readme

$(READY): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --editable ".[dev]"
	touch $(READY)

clean:
	rm -rf .venv build dist plots
