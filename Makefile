# make lab: open the lessons. make test: run every test. The first run of each makes .venv and needs the package index.
PYTHON ?= python3
RUN := .venv/bin/python
BENCH := .bench-venv/bin/python

.PHONY: lab test lint format pictures bench bench-gpu

lab:
	@$(PYTHON) tools/set_up.py lab
	@$(RUN) tools/lab.py

test: lint
	$(RUN) -m pytest --cov --cov-report=term-missing:skip-covered
	@# In an empty run store: a lesson is to train, and to leave nothing of a test behind.
	runs=$$(mktemp -d); MIXLAB_RUNS=$$runs MIXLAB_FAST=1 $(RUN) -m pytest --nbval-lax --nbval-current-env \
		--nbval-cell-timeout=300 notebooks; status=$$?; rm -rf $$runs; exit $$status

lint:
	@$(PYTHON) tools/set_up.py test
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	.venv/bin/oxlint mixlab/panels
	.venv/bin/oxfmt --check mixlab/panels
	$(RUN) -m mypy

format:
	@$(PYTHON) tools/set_up.py test
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .
	.venv/bin/oxlint --fix mixlab/panels
	.venv/bin/oxfmt mixlab/panels

pictures:
	@$(PYTHON) tools/set_up.py test
	$(RUN) tools/pictures.py

bench:
	@$(PYTHON) tools/set_up.py bench
	$(BENCH) benchmarks/blend.py
	$(BENCH) benchmarks/laws.py
	$(BENCH) benchmarks/losses.py
	$(BENCH) benchmarks/train.py
	$(BENCH) benchmarks/calibration.py
	$(BENCH) benchmarks/puzzle.py
	$(BENCH) benchmarks/variance.py
	$(RUN) benchmarks/panels.py
	$(RUN) benchmarks/start.py
	$(RUN) benchmarks/lessons.py
	$(RUN) benchmarks/page.py

bench-gpu:
	@$(PYTHON) tools/set_up.py bench
	$(BENCH) benchmarks/gpu.py
	$(RUN) benchmarks/page.py
