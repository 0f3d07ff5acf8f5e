"""The step is compiled once for each shape of batch: another epoch or another fit reuses it."""

import keras
import pytest
from tiny import images, labels, make

import kerassl

BACKEND = keras.backend.backend()

pytestmark = pytest.mark.backends("tensorflow", "jax")  # Torch runs the step eagerly.


def compiled(function):
    """The compiled functions that Keras' train function calls, found in its closure."""
    for attribute in ("experimental_get_tracing_count", "_cache_size"):
        if hasattr(function, attribute):
            return [getattr(function, attribute), *compiled(getattr(function, "python_function", None))]
    cells = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
    return [count for content in cells if callable(content) for count in compiled(content)]


def compilations(model):
    """How often the train step was traced and compiled."""
    counts = [count() for count in compiled(model.train_function)]
    assert counts
    return max(counts)


def dataset(count, batch_size=8):
    return kerassl.data.ImageDataset(
        images(count), labels(count), batch_size=batch_size, shuffle=True, seed=0, num_classes=3
    )


# With and without a teacher, a queue, schedules and tokens.
@pytest.mark.parametrize("name", ("SimCLR", "MoCoV2", "DINO", "MAE"))
def test_one_compilation_for_epochs_and_fits_of_one_shape(name):
    model = make(name)
    schedule = kerassl.schedules.WarmupCosine(1e-3, 6, warmup_steps=2)
    model.compile(
        kerassl.optimizers.AdamW(schedule), jit_compile=False if BACKEND == "tensorflow" else "auto"
    )
    model.fit(dataset(16), epochs=3, verbose=0)
    assert compilations(model) == 1
    model.fit(dataset(16), initial_epoch=3, epochs=5, verbose=0)
    assert compilations(model) == 1
    model.fit(dataset(16), epochs=1, verbose=0)
    assert compilations(model) == 1


def test_a_partial_last_batch_is_one_more():
    # TensorFlow's graph leaves the batch open, so it serves both; XLA beneath it compiles for each.
    shapes = 1 if BACKEND == "tensorflow" else 2
    model = make("SimCLR")
    model.compile(kerassl.optimizers.AdamW(1e-3))
    model.fit(dataset(20), epochs=3, verbose=0)
    assert compilations(model) == shapes
    model.fit(dataset(20), epochs=2, verbose=0)
    assert compilations(model) == shapes


def test_evaluation_between_epochs_compiles_nothing_anew():
    model = make("SimCLR")
    model.compile(kerassl.optimizers.AdamW(1e-3))
    model.fit(dataset(16), validation_data=dataset(8), epochs=3, verbose=0)
    assert compilations(model) == 1


@pytest.mark.backends("tensorflow")  # JAX is compiled by XLA in all these tests.
def test_xla_compiles_once_on_tensorflow():
    model = make("SimCLR")
    model.compile(kerassl.optimizers.AdamW(1e-3), jit_compile=True)
    model.fit(dataset(16), epochs=2, verbose=0)
    model.fit(dataset(16), epochs=2, verbose=0)
    assert compilations(model) == 1
