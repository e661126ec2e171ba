# `make search` runs the main job on embedded data, `make test` is what CI runs.
PYTHON ?= python3
# A Python that is named has an environment of its own: `make test PYTHON=python3.13` leaves .venv alone.
VENV := .venv$(if $(filter file,$(origin PYTHON)),,-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
OUT ?= runs/demo

.PHONY: search test slow lint bench install clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, but this is " + sys.version.split()[0] + "; call make PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group dev --editable '.[all]'
	touch $@

search: install
	$(BIN)/hscl data demo --out $(OUT)/demo.arrow --keep
	$(BIN)/hscl search demo --data $(OUT)/demo.arrow --out $(OUT)/study

lint: install
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

# Three processes on two cores, as tests of clusters wait most of the time; each has files or groups
# of its own (tests/conftest.py).
test: lint
	$(BIN)/python -m pytest -m 'not slow' --numprocesses 3 --dist loadscope --no-loadscope-reorder

# Longer: kills, three machines in network namespaces, a real SLURM (root, iproute2, slurm-wlm).
slow: install
	$(BIN)/python -m pytest -m slow

bench: install
	for file in tests/bench/bench_*.py; do $(BIN)/python $$file || exit 1; done

clean:
	rm -rf .venv .venv-* build dist *.egg-info
