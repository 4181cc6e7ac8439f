# `make demo` and `make test` do everything on a fresh machine with Python 3.11 or later and pip.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test lint docs reproduction benchmarks clean

demo: $(VENV)/.installed
	$(BIN)/semcomm run experiments/quickstart.yaml --out runs/quickstart

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n auto

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Into build/docs, warnings are errors.
docs: $(VENV)/.installed-test
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "build/docs/index.html"

# The papers' figures and claims, as docs/reproduction.md shows them.
reproduction: $(VENV)/.installed
	$(BIN)/semcomm reproduce --setting embedded --out runs/reproduce-embedded
	$(BIN)/python docs/assets/reproduction.py runs/reproduce-embedded

benchmarks: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks

# torch first and pinned: any other way of asking for it may bring gigabytes of CUDA.
$(VENV)/.torch: constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	touch $@

$(VENV)/.installed: $(VENV)/.torch pyproject.toml
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) runs
