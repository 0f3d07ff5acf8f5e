PYTHON ?= python3
VENV ?= .venv
WORKDIR ?= runs/digits
BIN := $(abspath $(VENV))/bin
INSTALL := $(BIN)/python -m pip install --quiet -c constraints.txt
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal --durations=25
BETWEEN := tests/parity tests/distributed
ONE_BACKEND := $(BETWEEN:%=--ignore=%)
SLOW := tests/recipes tests/callbacks/test_checkpoint.py tests/engine/test_chunks.py tests/engine/test_compiled_step.py \
	tests/engine/test_fusion.py tests/engine/test_retracing.py tests/test_nonfinite.py tests/test_docs.py tests/test_export.py \
	tests/test_packaging.py tests/backbones/test_adapters.py tests/views/test_views_pipelines.py
BACKENDS := tensorflow jax torch

.PHONY: pretrain docs test test-fast test-devices lint clean $(BACKENDS:%=test-%)

pretrain: $(VENV)/recipes.installed
	$(BIN)/python -m recipes.pretrain --dataset=digits --epochs=60 --batch_size=128 \
		--workdir=$(WORKDIR)

# The tables of methods in docs/methods.md, from the classes.
docs: $(VENV)/recipes.installed
	$(BIN)/python -m docs.tables

# One after the other, each with all cores. What compares backends or devices starts its own processes.
test: $(VENV)/test.installed
	KERAS_BACKEND=tensorflow $(PYTEST)
	for backend in $(filter-out tensorflow,$(BACKENDS)); do KERAS_BACKEND=$$backend $(PYTEST) $(ONE_BACKEND) || exit 1; done

# One backend: make test-jax.
$(BACKENDS:%=test-%): test-%: $(VENV)/test.installed
	KERAS_BACKEND=$* $(PYTEST) $(ONE_BACKEND)

# All methods on several devices of all backends; `make test` takes some of them on TensorFlow and JAX.
test-devices: $(VENV)/test.installed
	KERASSL_TEST_ALL_DEVICES=1 KERAS_BACKEND=tensorflow $(PYTEST) --dist loadfile tests/distributed

test-fast: $(VENV)/test.installed
	KERAS_BACKEND=tensorflow $(PYTEST) $(ONE_BACKEND) $(SLOW:%=--ignore=%)

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
