# Every target that needs a .venv creates it, with the `python3` of your path (PYTHON=... chooses another).
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# The file with the versions that .venv is pinned to. `CONSTRAINTS=` installs the newest version of everything.
CONSTRAINTS ?= constraints.txt
PIN = $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS))
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile $(PIN)
# On all cores, unlike pip. The many processes of the tests then compile nothing, even if they may not write it.
COMPILE = -@$(BIN)/python -W ignore -m compileall -qq -j 0

# `make demo` and `make lab` need only a small environment (ready); all other targets need everything for
# development (done). If the large one exists already, the demo and JupyterLab use it.
READY = $(if $(wildcard $(VENV)/done),$(VENV)/done,$(VENV)/ready)

.PHONY: help demo test test-newest e2e full suites check bench bench-peers bench-aws bench-panel bench-memo bench-fractals bench-landsat aws-bed kernel lab notebooks pictures docs release clean
help:
	@echo "make demo            render fractals on this machine's cores, into demo/"
	@echo "make test            run the tests"
	@echo "make e2e             run the long tests of what a user sees: the wizard, the demo, notebooks, JupyterLab, Landsat scenes"
	@echo "make test-newest     run the tests, and the long ones of what a user sees, with the newest version of every dependency"
	@echo "make full            run all tests: also the long ones, and those that try every combination of settings"
	@echo "make check           check style, types, import layers, and the sizes of modules and functions"
	@echo "make bench           measure wrenlite beside ProcessPoolExecutor and joblib"
	@echo "make bench-peers     measure wrenlite beside joblib, Dask and Lithops on local workers"
	@echo "make aws-bed         run AWS on loopback, and print the environment in which Executor.aws() runs there"
	@echo "make bench-aws       measure requests, latency and CPU time of the AWS backend, on the test bed"
	@echo "make bench-panel     measure the cost of the job panel in a notebook"
	@echo "make bench-memo      measure cache=True beside joblib.Memory: what runs again after five edits"
	@echo "make bench-fractals  measure the fractal kernels, how evenly a poster's work is divided, and a deep frame"
	@echo "make bench-landsat   measure NDVI of a whole scene beside rio-tiler, odc-stac and stackstac, and requests over S3"
	@echo "make kernel          compile the fractals' kernel for each kind of processor"
	@echo "make lab             open JupyterLab on the notebooks"
	@echo "make notebooks       run the notebooks, and save them with their outputs"
	@echo "make pictures        make the pictures of the docs again; ARGS=NAME makes one"
	@echo "make docs            build the documentation site into site/; open site/index.html"
	@echo "make release         check, and build sdist and wheel of VERSION=X.Y.Z; ARGS=--yes also commits and tags it"
	@echo "make clean           remove .venv and all files that the other targets create"

demo: $(READY)
	$(BIN)/wrenlite demo $(ARGS)

test: $(VENV)/done
	$(COMPILE) wrenlite tests
	$(BIN)/python -m pytest -m "not full and not aws and not e2e and not suites" -n 3 --dist loadfile $(ARGS)

e2e: $(VENV)/done
	$(COMPILE) wrenlite tests
	$(BIN)/python -m pytest -m "e2e and not full" -n 2 --dist loadfile $(ARGS)

full: $(VENV)/done
	$(BIN)/python -m pytest -m "not aws and not suites" $(ARGS)
	$(MAKE) --no-print-directory suites

# What they need is installed into an environment of its own.
suites:
	$(MAKE) --no-print-directory VENV=.venv-suites .venv-suites/done
	.venv-suites/bin/python -m pip install --quiet --disable-pip-version-check $(PIN) --editable '.[suites]'
	.venv-suites/bin/python -m pytest -m suites -v -s tests/suites $(ARGS)

# The environment is separate, and new for each run, because the newest versions change.
test-newest:
	rm -rf .venv-newest
	$(MAKE) --no-print-directory VENV=.venv-newest CONSTRAINTS= test
	$(MAKE) --no-print-directory VENV=.venv-newest CONSTRAINTS= ARGS="tests/browser tests/e2e" e2e

check: $(VENV)/done
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python .ci/limits.py

bench: $(VENV)/done
	$(BIN)/python -m benchmarks.local $(ARGS)

bench-peers:
	$(MAKE) --no-print-directory VENV=.venv-peers .venv-peers/ready
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[bench-peers]'
	.venv-peers/bin/python -m benchmarks.peers $(ARGS)

bench-aws: $(VENV)/done
	$(BIN)/python -m benchmarks.aws $(ARGS)

bench-panel: $(VENV)/done
	$(BIN)/python -m benchmarks.panel $(ARGS)

bench-memo: $(VENV)/done
	$(BIN)/python -m benchmarks.memo $(ARGS)

bench-fractals: $(VENV)/done
	$(BIN)/python -m benchmarks.fractals $(ARGS)

# The libraries beside which wrenlite is measured need other versions than those in constraints.txt.
bench-landsat:
	$(MAKE) --no-print-directory VENV=.venv-landsat .venv-landsat/done
	.venv-landsat/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[bench-landsat,dev]'
	.venv-landsat/bin/python -m benchmarks.landsat $(ARGS)

aws-bed: $(VENV)/done
	@$(BIN)/python -m tests.aws.bed $(ARGS)

# The compiler has 100 MB, so only this target installs it.
kernel: $(VENV)/done
	$(INSTALL) --editable '.[compiler]'
	$(BIN)/python .ci/build_kernel.py

lab: $(READY)
	$(INSTALL) --editable '.[lab,landsat,report,video]'
	$(BIN)/jupyter lab --notebook-dir notebooks $(ARGS)

notebooks: ARGS = notebooks/*.ipynb
notebooks: $(VENV)/done
	$(BIN)/python .ci/run_notebooks.py $(ARGS)

pictures: $(VENV)/done
	$(BIN)/python .ci/make_pictures.py $(ARGS)

# MkDocs and its themes are in an environment of their own: nothing else needs them.
docs:
	@$(MAKE) --no-print-directory VENV=.venv-docs EXTRA=docs .venv-docs/done
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --quiet $(ARGS)

release: $(VENV)/done
	$(BIN)/python .ci/release.py $(VERSION) $(ARGS)

$(VENV)/ready: EXTRA = gallery
$(VENV)/done: EXTRA = dev
$(VENV)/ready $(VENV)/done: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "wrenlite needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' \
		|| { echo "$(PYTHON) cannot make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(INSTALL) --editable '.[$(EXTRA)]'
	$(COMPILE) -x '/tests/' $(VENV)/lib
	@touch $@

clean:
	rm -rf $(VENV) .venv-landsat .venv-peers .venv-newest .venv-suites .venv-docs site demo dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
