# make lab: open the lessons. make test: run every test. The first run of each makes .venv and needs the package index.
PYTHON ?= python3
WORKERS ?= 2
MINUTES ?= 60
export MIXLAB_NEWEST := $(NEWEST)
RUN := .venv/bin/python
BENCH := .bench-venv/bin/python

.PHONY: lab test lint format student handout hosted binder-image dist atlas site pictures bench bench-lessons bench-gpu

lab:
	@$(PYTHON) tools/set_up.py lab
	@$(RUN) tools/lab.py

# OMP_NUM_THREADS=1: each worker has one core. The lessons get an empty run store, so that they train.
test: lint
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n $(WORKERS) --durations=20 --cov --cov-report=term-missing:skip-covered
	runs=$$(mktemp -d); MIXLAB_RUNS=$$runs MIXLAB_FAST=1 OMP_NUM_THREADS=1 $(RUN) -m pytest -n $(WORKERS) \
		--dist loadfile --nbval-lax --nbval-current-env --nbval-cell-timeout=300 notebooks; \
		status=$$?; rm -rf $$runs; exit $$status

lint:
	@$(PYTHON) tools/set_up.py test
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	.venv/bin/oxlint mixlab/panels
	.venv/bin/oxfmt --check mixlab/panels
	$(RUN) -m mypy
	.venv/bin/lint-imports

format:
	@$(PYTHON) tools/set_up.py test
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .
	.venv/bin/oxlint --fix mixlab/panels
	.venv/bin/oxfmt mixlab/panels

# Copies without solutions, in build/student/.
student:
	@$(PYTHON) tools/set_up.py lab
	$(RUN) tools/student.py

# Pages that need neither a kernel nor a network, in build/handout/. LESSONS="01 03" makes these two.
handout:
	@$(PYTHON) tools/set_up.py lab
	$(RUN) tools/handout.py $(LESSONS)

# Copies for Colab and Kaggle, in build/hosted/, which install mixlab first.
hosted:
	@$(PYTHON) tools/set_up.py lab
	$(RUN) tools/hosted.py

# The image that mybinder.org builds from this clone; it needs Docker.
binder-image:
	$(PYTHON) -m pip install jupyter-repo2docker
	$(PYTHON) -m repo2docker --no-run .

# What would be uploaded to PyPI, in dist/, checked.
dist:
	@$(PYTHON) tools/set_up.py test
	rm -rf dist
	$(RUN) -m hatchling build
	$(RUN) -m twine check --strict dist/*

# The recorded runs: goes on where it stopped. MINUTES=60 says when the last run may begin.
atlas:
	@$(PYTHON) tools/set_up.py test
	OMP_NUM_THREADS=1 $(RUN) tools/atlas.py --minutes $(MINUTES)

# The site, in docs/_site/: runs each lesson once. LESSONS="01 02" takes these two.
site:
	@$(PYTHON) tools/set_up.py test
	$(RUN) tools/website.py $(LESSONS)

pictures:
	@$(PYTHON) tools/set_up.py test
	$(RUN) tools/pictures.py

# What mixlab takes beside other libraries, by the clock: leave the machine alone meanwhile.
bench:
	@$(PYTHON) tools/set_up.py bench
	for name in blend lambda loss train calibration puzzle gradient_variance; do \
		$(BENCH) benchmarks/bench_$$name.py || exit; done
	for name in panels start; do $(RUN) benchmarks/bench_$$name.py || exit; done
	$(RUN) benchmarks/page.py

# The seconds and memory of every lesson, and what mixing changes on every data set of lesson 11.
bench-lessons:
	@$(PYTHON) tools/set_up.py test
	for name in lessons domains domain_ways; do $(RUN) benchmarks/bench_$$name.py || exit; done
	$(RUN) benchmarks/page.py

bench-gpu:
	@$(PYTHON) tools/set_up.py bench
	$(BENCH) benchmarks/bench_gpu.py
	$(RUN) benchmarks/page.py
