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
STEPS := $(abspath .pytest_cache/first_steps)

.PHONY: pretrain docs test test-changed test-fast test-devices lint clean $(BACKENDS:%=test-%)

pretrain: $(VENV)/recipes.installed
	$(BIN)/python -m recipes.pretrain --dataset=digits --epochs=60 --batch_size=128 \
		--workdir=$(WORKDIR)

# What is read from the files: public names of methods and losses, and the tables of docs/methods.md.
docs: $(VENV)/recipes.installed
	$(BIN)/python docs/public_names.py
	$(BIN)/python -m docs.tables

# One after the other, each with all cores. What compares backends or devices starts its own processes, and
# takes the first steps of all methods from those that the backends have kept.
ifdef METHOD
test: $(VENV)/test.installed
	KERAS_BACKEND=torch $(PYTEST) $(shell grep -rliE '^TINY.*"$(METHOD)"|^    "$(METHOD)": ' tests --include='test_*.py')
	for backend in $(BACKENDS); do KERAS_BACKEND=$$backend $(PYTEST) tests/contract --method=$(METHOD) || exit 1; done
	KERAS_BACKEND=tensorflow $(PYTEST) tests/parity --method=$(METHOD)
else
test: $(VENV)/test.installed
	rm -rf $(STEPS)
	for backend in $(BACKENDS); do KERAS_BACKEND=$$backend KERASSL_TEST_STEPS=$(STEPS) $(PYTEST) $(ONE_BACKEND) || exit 1; done
	KERAS_BACKEND=tensorflow KERASSL_TEST_STEPS=$(STEPS) $(PYTEST) $(BETWEEN)
endif

# What reaches a file that differs from the last commit, or from REVISION, on torch.
test-changed: $(VENV)/test.installed
	files=`$(BIN)/python tests/changed.py files $(REVISION) | grep -v -e ^tests/distributed -e ^tests/parity`; \
	test -z "$$files" || KERAS_BACKEND=torch $(PYTEST) $$files
	methods=`$(BIN)/python tests/changed.py methods $(REVISION)`; \
	test -z "$$methods" || KERAS_BACKEND=torch $(PYTEST) tests/contract/test_life.py --method=$$methods

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
	$(BIN)/mypy

clean:
	rm -rf runs build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -not -path "./$(VENV)/*" -prune -exec rm -rf {} +

$(VENV)/bin/python:
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'kerassl needs Python 3.11 or newer; set PYTHON=')"
	$(PYTHON) -m venv $(VENV)

$(VENV)/%.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing kerassl[$*] into $(VENV); the first time takes some minutes."
	$(INSTALL) -e ".[$*]"
	touch $@
