PYTHON ?= python3
VENV ?= .venv
WORKDIR ?= runs/digits
BIN := $(abspath $(VENV))/bin
INSTALL := $(BIN)/python -m pip install --quiet -c constraints.txt
PYTEST := TF_CPP_MIN_LOG_LEVEL=3 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2
ONE_BACKEND := --ignore=tests/parity --ignore=tests/distributed
BACKENDS := tensorflow jax torch

.PHONY: pretrain test test-fast lint clean test-between $(BACKENDS:%=test-%)

pretrain: $(VENV)/recipes.installed
	TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python -m recipes.pretrain --dataset=digits --epochs=60 --batch_size=128 \
		--workdir=$(WORKDIR)

test: $(BACKENDS:%=test-%) test-between

# One after the other, also under make -j: each takes all cores.
$(BACKENDS:%=test-%): test-%: $(VENV)/test.installed
	KERAS_BACKEND=$* $(PYTEST) $(ONE_BACKEND)
test-jax: | test-tensorflow
test-torch: | test-jax

# What compares backends or devices starts processes of its own, once for all.
test-between: $(VENV)/test.installed | test-torch
	KERAS_BACKEND=tensorflow $(PYTEST) tests/parity tests/distributed

test-fast: $(VENV)/test.installed
	KERAS_BACKEND=tensorflow $(PYTEST) $(ONE_BACKEND)

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
	@echo "Installing kerassl[$*] into $(VENV); the first time takes some minutes."
	$(INSTALL) -e ".[$*]"
	touch $@
