# Every target makes its own .venv from whatever `python3` is there (PYTHON=... chooses another).
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# Versions that .venv is pinned to; empty: the newest of everything.
CONSTRAINTS ?= constraints.txt
PIN = $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS))
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIN)

# Two environments: a small one, which the demo and JupyterLab need, and one with everything for development.
READY = $(if $(wildcard $(VENV)/done),$(VENV)/done,$(VENV)/ready)

.PHONY: help demo test test-newest e2e full check bench bench-aws bench-panel bench-fractals bench-landsat aws-bed lab clean
help:
	@echo "make demo   render fractals on this machine's cores, into demo/"
	@echo "make test   the tests"
	@echo "make e2e    long tests as a user meets it: the wizard, the demo, notebooks, JupyterLab, scenes of Landsat"
	@echo "make test-newest  the tests and the long tests with the newest version of every dependency"
	@echo "make full   the tests with the slow matrices"
	@echo "make check  linters, types, import layers, limits of size"
	@echo "make bench  ours beside ProcessPoolExecutor and joblib"
	@echo "make aws-bed  AWS on loopback: prints the environment in which Executor.aws() runs there"
	@echo "make bench-aws  requests, latency and CPU on the test bed"
	@echo "make bench-panel  what the panel costs in a notebook"
	@echo "make bench-fractals  the fractal kernels, the balance of a poster, a deep frame"
	@echo "make bench-landsat  NDVI of a whole scene beside rio-tiler, odc-stac and stackstac; requests over S3"
	@echo "make lab    JupyterLab on the notebooks"
	@echo "make clean  remove .venv and everything that was made"

demo: $(READY)
	$(BIN)/wrenlite demo $(ARGS)

test: $(VENV)/done
	$(BIN)/python -m pytest -m "not full and not aws and not e2e" $(ARGS)

e2e: $(VENV)/done
	$(BIN)/python -m pytest -m "e2e and not full" $(ARGS)

full: $(VENV)/done
	$(BIN)/python -m pytest -m "not aws" $(ARGS)

# In an environment of its own, made anew each time: what is newest changes.
test-newest:
	rm -rf .venv-newest
	$(MAKE) --no-print-directory VENV=.venv-newest CONSTRAINTS= .venv-newest/done
	.venv-newest/bin/python -m pytest -m "not full and not aws" $(ARGS)

check: $(VENV)/done
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python .ci/limits.py

bench: $(VENV)/done
	$(BIN)/python -m benchmarks.local $(ARGS)

bench-aws: $(VENV)/done
	$(BIN)/python -m benchmarks.aws $(ARGS)

bench-panel: $(VENV)/done
	$(BIN)/python -m benchmarks.panel $(ARGS)

bench-fractals: $(VENV)/done
	$(BIN)/python -m benchmarks.fractals $(ARGS)

# The peers want other versions than ours are pinned to.
bench-landsat:
	$(MAKE) --no-print-directory VENV=.venv-landsat .venv-landsat/done
	.venv-landsat/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[bench-landsat,dev]'
	.venv-landsat/bin/python -m benchmarks.landsat $(ARGS)

aws-bed: $(VENV)/done
	@$(BIN)/python -m tests.aws.bed $(ARGS)

lab: $(READY)
	$(INSTALL) --editable '.[lab,landsat]'
	$(BIN)/jupyter lab --notebook-dir notebooks $(ARGS)

$(VENV)/ready: EXTRA = gallery
$(VENV)/done: EXTRA = dev
$(VENV)/ready $(VENV)/done: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "wrenlite needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' \
		|| { echo "$(PYTHON) cannot make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(INSTALL) --editable '.[$(EXTRA)]'
	@touch $@

clean:
	rm -rf $(VENV) .venv-landsat .venv-newest demo dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
