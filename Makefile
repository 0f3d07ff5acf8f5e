PYTHON ?= python3
VENV ?= .venv
WORKDIR ?= runs/digits
BIN := $(abspath $(VENV))/bin
INSTALL := $(BIN)/python -m pip install --quiet -c constraints.txt
PYTEST := TF_CPP_MIN_LOG_LEVEL=3 OMP_NUM_THREADS=1 $(BIN)/python -m pytest
BACKENDS := tensorflow jax torch

.PHONY: pretrain test test-fast lint clean $(BACKENDS:%=test-%)

pretrain: $(VENV)/recipes.installed
	TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python -m recipes.pretrain --dataset=digits --workdir=$(WORKDIR)

test: $(BACKENDS:%=test-%)

# One after the other, also under make -j: each backend takes all cores.
$(BACKENDS:%=test-%): test-%: $(VENV)/test.installed
	KERAS_BACKEND=$* $(PYTEST)
test-jax: | test-tensorflow
test-torch: | test-jax

test-fast: $(VENV)/test.installed
	KERAS_BACKEND=tensorflow $(PYTEST) -x --durations=5

lint: $(VENV)/lint.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf runs build dist *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path "./$(VENV)/*" -prune -exec rm -rf {} +

$(VENV)/bin/python:
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'kerassl needs Python 3.11 or newer; set PYTHON=')"
	$(PYTHON) -m venv $(VENV)

$(VENV)/%.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) -e ".[$*]"
	touch $@
