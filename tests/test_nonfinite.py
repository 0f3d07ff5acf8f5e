"""A loss that is no longer a number: what is said, and what an update left out leaves as it was."""

import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops
from tiny import images, labels, make, ready_views, tiny_encoder

import kerassl
from kerassl.batch import Outputs

BACKEND = keras.backend.backend()
once = pytest.mark.backends("torch")
COUNTERS = {"step", "skipped_updates", "nonfinite_where", "nonfinite_statistics"}


class Batches(keras.utils.PyDataset):
    """Three batches of float images; those named in `broken` hold one NaN pixel."""

    def __init__(self, broken=(), count=3):
        super().__init__()
        self.broken, self.count = broken, count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        x = images(8, seed=index).astype("float32")
        if index in self.broken:
            x[0, 0, 0, 0] = np.nan
        return x, labels(8)


class States(keras.callbacks.Callback):
    """All variables after each batch."""

    def __init__(self):
        super().__init__()
        self.states = []

    def on_train_batch_end(self, batch, logs=None):
        model = self.model
        variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
        self.states.append({(v.path, id(v)): ops.convert_to_numpy(v) for v in variables})


class TwoTerms(kerassl.SSLModel):
    """The second term is NaN from step 2 on."""

    terms = ("whole", "broken")

    def __init__(self, encoder=None, **kwargs):
        encoder = tiny_encoder() if encoder is None else encoder
        super().__init__(encoder, views=None, **kwargs)

    def loss_terms(self, views, batch, training):
        z = ops.mean(self.encode(self.encoder, views[0], training))
        return Outputs({"whole": z, "broken": ops.where(self.clock.step >= 2, np.nan, 1.0) * z})


def fit(model, data, **kwargs):
    return model.fit(data, shuffle=False, verbose=0, **kwargs)


@pytest.mark.parametrize("name", ("BarlowTwins", pytest.param("DINO", marks=once)))
def test_the_term_is_named_with_step_and_batch(name):
    model = make(name)
    model.compile(keras.optimizers.SGD(0.01))
    weight = model.encoder.trainable_variables[0]
    weight.assign(np.full(weight.shape, np.nan))
    term = model.step_metrics.term_means[0].name
    with pytest.raises(FloatingPointError, match=f"^Step 0 .epoch 1, batch 1 of 3.: .*'{term}' became nan"):
        fit(model, Batches())


def test_the_first_of_several_terms_is_named_and_where():
    model = TwoTerms()
    model.compile(keras.optimizers.SGD(0.0))
    views = ready_views("SimCLR", 16)
    with pytest.raises(FloatingPointError) as error:
        model.fit(views, batch_size=8, epochs=3, shuffle=False, verbose=0)
    assert "Step 2 (epoch 2, batch 1 of 2): the loss term 'broken' became nan." in str(error.value)
    values = np.concatenate([view[:8] for view in views])
    low, high = values.min(), values.max()
    assert f"min {low:g}, max {high:g}" in str(error.value) and "lower learning rate" in str(error.value)


def test_broken_pixels_are_counted_and_the_statistics_are_those_of_the_batch():
    model = make("SimCLR")
    model.compile(keras.optimizers.SGD(0.01))
    with pytest.raises(FloatingPointError, match="batch 2 of 3.*Mend the images") as error:
        fit(model, Batches(broken=[1]))
    pixels = Batches()[1][0].ravel()[1:]
    assert f"mean {pixels.mean():.6g}"[:11] in str(error.value) and "1 not finite" in str(error.value)
    *_, variance, count = ops.convert_to_numpy(model.nonfinite_record.statistics)
    assert variance == pytest.approx(pixels.var(), rel=1e-4) and count == 1


def test_statistics_are_those_of_all_inputs_together():
    signal, age = np.array([[1.0, np.nan], [np.inf, 3.0]], "float32"), np.array([8, 2], "int64")
    values = np.array([1, 3, 8, 2], "float64")
    expected = [1, 8, values.mean(), values.var(), 2]
    for inputs in ({"signal": signal, "age": age}, (signal, (age,))):
        found = kerassl.engine.batch_statistics(inputs)
        assert list(found) == ["minimum", "maximum", "mean", "variance", "nonfinite"]
        np.testing.assert_allclose([float(value) for value in found.values()], expected, rtol=1e-6)


def test_statistics_of_other_inputs_than_images_are_told_in_their_words():
    record = kerassl.engine.NonfiniteRecord(keras.layers.Layer(), ("mine",), modality="signals")
    calls = []

    def statistics():
        calls.append(1)
        return kerassl.engine.batch_statistics(np.array([[2.0, 4.0]]))

    record.note(3, np.float32("nan"), [np.float32("nan")], statistics)
    error = str(record.error())
    assert "The batch's values: min 2, max 4, mean 3, standard deviation 1, 0 not finite." in error
    assert "The signals are finite, so the weights or the loss overflowed" in error
    if BACKEND == "torch":
        record.begin(0, None)
        record.note(4, 1.0, [1.0], statistics)
        assert record.error() is None and len(calls) == 1


def test_the_report_of_several_replicas_is_that_of_those_that_went_wrong():
    from kerassl.engine.nonfinite import BatchStatistics, StepReport

    x = np.random.default_rng(0).normal(size=(3, 8)).astype("float32")
    of_each = (x.min(1), x.max(1), x.mean(1), x.var(1), np.array([0.0, 1.0, 2.0], "float32"))
    bad, losses = ops.array([1.0, 0.0, 1.0]), ops.array([2.0, 9.0, 4.0])
    of_each = BatchStatistics(*map(ops.array, of_each))
    loss, found = StepReport(bad, losses, of_each, flags=None).combined()
    both = x[[0, 2]]
    expected = [both.min(), both.max(), both.mean(), both.var(), 2]
    assert float(loss) == 3
    np.testing.assert_allclose([float(value) for value in found], expected, rtol=1e-5)


CHECKED = """
import sys

import keras
import tensorflow as tf

sys.path.insert(0, sys.argv[1])
from tiny import images, labels, make

tf.debugging.enable_check_numerics()
for name in ("SimCLR", "BYOL"):
    model = make(name)
    model.compile(keras.optimizers.SGD(0.01))
    print(model.fit(images(16), labels(16), batch_size=8, verbose=0).history["loss"][0] > 0)
weight = model.encoder.trainable_variables[0]
weight.assign(float("nan") * weight)
model.fit(images(8), labels(8), batch_size=8, verbose=0)
"""


@pytest.mark.backends("tensorflow")  # A tool of TensorFlow.
def test_numerics_that_tensorflow_checks_are_healthy_in_a_healthy_run():
    command = [sys.executable, "-c", CHECKED, str(pathlib.Path(__file__).parent / "contract")]
    done = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["True", "True"], done.stderr[-3000:]
    assert done.returncode == 1 and "Detected Infinity or NaN" in done.stderr


def test_a_penalty_is_told_from_the_terms():
    encoder = tiny_encoder()
    encoder.layers[1].kernel.regularizer = lambda kernel: np.nan * ops.sum(kernel)
    model = kerassl.methods.SimCLR(encoder, projection_dim=8)
    model.compile(keras.optimizers.SGD(0.01))
    with pytest.raises(FloatingPointError, match="a penalty of the encoder .* became nan; all terms are fin"):
        fit(model, Batches())


def test_a_new_run_forgets_the_one_before():
    model = make("SimCLR")
    model.compile(keras.optimizers.SGD(0.0))
    weights = model.get_weights()
    with pytest.raises(FloatingPointError):
        fit(model, Batches(broken=[1]))
    model.set_weights(weights)
    assert np.isfinite(fit(model, Batches()).history["loss"]).all()


def assert_left_out(states, bad):
    before, after = states[bad - 1], states[bad]
    changed = {path for path, value in after.items() if not np.array_equal(value, before[path])}
    assert {path.split("/")[-1] for path, _ in changed} <= COUNTERS, changed
    assert all(np.isfinite(v).all() for (path, _), v in after.items() if "nonfinite" not in path)


@pytest.mark.parametrize(
    ("name", "jit_compile"),
    {
        "tensorflow": [("BYOL", True), ("MoCoV2", False)],
        "jax": [("BYOL", "auto"), ("MoCoV2", "auto")],
        "torch": [("BYOL", "auto"), ("DINO", "auto")],
    }[BACKEND],
)
def test_skip_leaves_everything_as_it_was(name, jit_compile, capsys):
    model = make(name)
    model.compile(kerassl.optimizers.AdamW(1e-2), nonfinite="skip", jit_compile=jit_compile)
    states = States()
    history = fit(model, Batches(broken=[1]), epochs=2, callbacks=[states])
    assert_left_out(states.states, 1)
    assert_left_out(states.states, 4)
    for one, other in ((0, 2), (3, 5)):
        moved = [p for p, v in states.states[other].items() if not np.array_equal(v, states.states[one][p])]
        assert len(moved) > len(model.trainable_variables)
    assert history.history["skipped_updates"] == [1, 2] and np.isfinite(history.history["loss"]).all()
    assert int(model.clock.step) == 6 and int(model.optimizer.iterations) == 4
    assert (
        "1 updates left out after epoch 1. The first: Step 1 (epoch 1, batch 2 of 3)"
        in capsys.readouterr().out
    )


def test_skip_changes_nothing_where_all_is_finite():
    states = []
    for nonfinite in ("raise", "skip"):
        model = make("BYOL")
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), nonfinite=nonfinite)
        history = fit(model, Batches())
        states.append([ops.convert_to_numpy(v) for v in model.weights])
    assert history.history["skipped_updates"] == [0]
    for one, other in zip(*states, strict=True):
        np.testing.assert_allclose(other, one, atol=1e-6)


def test_gradients_that_are_not_finite_are_skipped_too():
    class Root(kerassl.SSLModel):
        terms = ("root",)

        def loss_terms(self, views, batch, training):
            z = self.encode(self.encoder, views[0], training)
            return Outputs({"root": ops.sqrt(0.0 * ops.mean(z))})

    model = Root(tiny_encoder(), views=None)
    model.compile(keras.optimizers.SGD(0.1), nonfinite="skip")
    weight = model.encoder.trainable_variables[0]
    before = ops.convert_to_numpy(weight)
    history = model.fit(ready_views("SimCLR"), batch_size=8, verbose=0).history
    assert history["skipped_updates"] == [1] and history["loss"] == [0]
    np.testing.assert_array_equal(ops.convert_to_numpy(weight), before)
    assert "the gradients are not finite, though the loss is 0" in str(model.nonfinite_record.error())


def test_skip_under_gradient_accumulation():
    model = make("BYOL")
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9, gradient_accumulation_steps=2)
    model.compile(optimizer, nonfinite="skip")
    states = States()
    fit(model, Batches(broken=[1, 2], count=5), callbacks=[states])
    assert_left_out(states.states, 1)
    assert_left_out(states.states, 2)
    # Batches 0 and 3 make the one whole update; 4 is the first of the next.
    assert int(optimizer.iterations) == 1 and int(optimizer._iterations) == 3


def test_an_update_that_the_loss_scaler_skips_moves_no_state():
    model = make("BYOL")
    model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.5), initial_scale=1e38))
    # The loss is scale-free in the prediction: its gradient grows as the prediction shrinks.
    for variable in model.predictor.trainable_variables[-2:]:
        variable.assign(1e-3 * variable)
    still = [v for v in model.weights if "moving" not in v.path and v.path.split("/")[-1] not in COUNTERS]
    still = [v for v in still if "seed" not in v.path and "step" not in v.path]
    before = [ops.convert_to_numpy(v) for v in still]
    fit(model, Batches(count=1))
    assert int(model.clock.step) == 1 and int(model.optimizer.iterations) == 0
    for variable, old in zip(still, before, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(variable), old, err_msg=variable.path)
    model.optimizer.dynamic_scale.assign(1.0)
    fit(model, Batches())
    assert int(model.optimizer.iterations) == 3
    assert np.abs(ops.convert_to_numpy(model.probe.kernel)).max() > 0


def test_the_choice_is_checked_and_saved(tmp_path):
    with pytest.raises(ValueError, match='nonfinite must be "raise" or "skip", got \'ignore\''):
        make("SimCLR").compile(nonfinite="ignore")
    model = make("SimCLR")
    model.compile("sgd", nonfinite="skip")
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").nonfinite == "skip"


MIRRORED = """
import sys

import keras
import numpy as np
import tensorflow as tf

import kerassl

sys.path.insert(0, sys.argv[1])
from tiny import images, labels, make

x = images(24).astype("float32")
x[15, 0, 0, 0] = np.nan  # in the second replica's share of the second batch
states = []


class States(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        named = [*self.model.weights, *self.model.optimizer.variables]
        local = self.model.distribute_strategy.experimental_local_results
        states.append([(v.path, [t.numpy() for t in local(v.value)]) for v in named])


def fit(nonfinite, *callbacks):
    with kerassl.distribute("mirrored", num_devices=2):
        model = make("BYOL")
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), nonfinite=nonfinite)
        data = tf.data.Dataset.from_tensor_slices((x, labels(24))).batch(8, drop_remainder=True)
        return model.fit(data, verbose=0, callbacks=[*callbacks]).history


history = fit("skip", States())
changed = {p.split("/")[-1] for (p, a), (_, b) in zip(states[0], states[1])
           for one, other in zip(a, b) if not np.array_equal(one, other)}
moved = {p for (p, a), (_, b) in zip(states[1], states[2]) if not np.array_equal(a[0], b[0])}
print(sorted(changed), len(moved) > 20, history["skipped_updates"], np.isfinite(history["loss"]))
for path, replicas in states[2]:
    assert np.array_equal(*replicas, equal_nan=True), path
fit("raise")
"""


@pytest.mark.backends("tensorflow")  # MirroredStrategy is TensorFlow's.
def test_all_replicas_skip_together():
    command = [sys.executable, "-c", MIRRORED, str(pathlib.Path(__file__).parent / "contract")]
    done = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, check=False)
    changed = ["nonfinite_statistics", "nonfinite_where", "skipped_updates", "step"]
    assert f"{changed} True [1.0] [ True]" in done.stdout.splitlines(), done.stderr[-3000:]
    assert "Step 1 (epoch 1, batch 2 of 3)" in done.stdout
    assert done.returncode == 1 and "FloatingPointError: Step 1 (epoch 1, batch 2 of 3)" in done.stderr
    assert "1 not finite" in done.stderr
