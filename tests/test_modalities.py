"""Any kind of data: a signal, a table, a pair of two kinds and a spectrogram, in views of ten lines each."""

import json

import keras
import numpy as np
import pytest
from keras import layers, ops

import kerassl
from kerassl.views import Views

COUNT = 16
rng = np.random.default_rng(0)
LABELS = np.arange(COUNT) % 4


@keras.saving.register_keras_serializable("tests")
class Signals(Views):
    """Louder or softer, with noise."""

    modality = "signals"
    num_views = 2

    def augment(self, inputs, seed):
        shape = ops.shape(inputs)
        gain = keras.random.uniform((shape[0], 1, 1), 0.8, 1.2, seed=seed)
        return gain * inputs + 0.1 * keras.random.normal(shape, seed=seed)

    def preprocess(self, inputs):
        return ops.cast(inputs, "float32") / 2


@keras.saving.register_keras_serializable("tests")
class Rows(Views):
    """Rows of a table whose missing values are zero; others are left out at random."""

    modality, allows_nan = "rows", True

    def augment(self, inputs, seed):
        kept = keras.random.uniform(ops.shape(inputs), seed=seed) > 0.2
        return ops.where(kept, self.preprocess(inputs), 0.0)

    def preprocess(self, inputs):
        return ops.nan_to_num(inputs)


@keras.saving.register_keras_serializable("tests")
class SignalsAndRows(Views):
    """Pairs of a signal and a row."""

    modality = "pairs"

    def augment(self, inputs, seed):
        signal, row = inputs["signal"], inputs["row"]
        noise = 0.1 * keras.random.normal(ops.shape(signal), seed=seed)
        kept = keras.random.uniform(ops.shape(row), seed=seed) > 0.2
        return {"signal": signal + noise, "row": ops.where(kept, row, 0.0)}


@keras.saving.register_keras_serializable("tests")
class Spectrograms(Views):
    """Spectrograms in decibels, a span of whose time is hidden."""

    modality = "spectrograms"

    def augment(self, inputs, seed):
        frames = ops.arange(inputs.shape[2], dtype="float32")
        start = keras.random.uniform((ops.shape(inputs)[0], 1), 0, inputs.shape[2], seed=seed)
        kept = (frames < start) | (frames > start + 32)
        return self.preprocess(inputs) * ops.cast(kept, "float32")[:, None, :, None]

    def preprocess(self, inputs):
        return inputs / 40 + 1


def signal_encoder():
    inputs = keras.Input((50, 3))
    x = layers.Conv1D(8, 5, strides=2, activation="relu")(inputs)
    return keras.Model(inputs, layers.Conv1D(8, 5, strides=2, activation="relu")(x))


def row_encoder():
    return keras.Sequential([keras.Input((7,)), layers.Dense(16, activation="relu"), layers.Dense(8)])


def pair_encoder():
    inputs = {"signal": keras.Input((50, 3), name="signal"), "row": keras.Input((7,), name="row")}
    signal = layers.GlobalAveragePooling1D()(layers.Conv1D(8, 5, activation="relu")(inputs["signal"]))
    return keras.Model(inputs, layers.Dense(8)(layers.Concatenate()([signal, inputs["row"]])))


def spectrogram_encoder():
    inputs = keras.Input((128, 256, 1))
    x = layers.Conv2D(4, 9, strides=8, activation="relu")(inputs)
    return keras.Model(inputs, layers.Conv2D(8, 3, strides=4, activation="relu")(x))


signals = rng.normal(size=(COUNT, 50, 3)).astype("float32")
rows = rng.normal(size=(COUNT, 7)).astype("float32")
with_gaps = np.where(rng.uniform(size=rows.shape) < 0.1, np.nan, rows).astype("float32")
spectrograms = rng.uniform(-80, 0, (COUNT, 128, 256, 1)).astype("float32")
KINDS = {
    "signal": (signals, Signals, signal_encoder),
    "table": (with_gaps, Rows, row_encoder),
    "pair": ({"signal": signals, "row": rows}, SignalsAndRows, pair_encoder),
    "spectrogram": (spectrograms, Spectrograms, spectrogram_encoder),
}
METHODS = {
    "SimCLR": {"projection_dim": 8},
    "BYOL": {"projection_dim": 8, "hidden_dim": 8},
    "VICReg": {"projection_dim": 8, "hidden_dim": 8},
    "SwAV": {"num_prototypes": 6, "projection_dim": 8, "hidden_dims": (8,), "queue_size": 0},
    "SogCLR": {"num_examples": COUNT, "projection_dim": 8},
    "DINO": {"num_prototypes": 8, "hidden_dim": 8, "bottleneck_dim": 8, "freeze_last_layer_epochs": 0},
}


def take(inputs, rows):
    return keras.tree.map_structure(lambda array: array[rows], inputs)


def make(kind, name):
    keras.utils.set_random_seed(0)
    inputs, views, encoder = KINDS[kind]
    views = views()
    if name in ("SwAV", "DINO"):
        views.num_views = 4
    method = getattr(kerassl.methods, name)
    return inputs, method(encoder(), views=views, num_classes=4, **METHODS[name])


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_any_kind_of_data_trains_and_is_kept(kind, name, tmp_path):
    inputs, model = make(kind, name)
    model.compile(kerassl.optimizers.AdamW(1e-2))
    before = [keras.ops.convert_to_numpy(weight) for weight in model.encoder.trainable_variables]
    history = model.fit(inputs, LABELS, batch_size=8, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all() and "probe_accuracy" in history
    moved = zip(before, model.encoder.trainable_variables, strict=True)
    assert all(not np.array_equal(old, new) for old, new in moved)

    logs = model.evaluate(inputs, LABELS, batch_size=8, verbose=0)
    assert {"loss", "probe_accuracy", "feature_std", "rankme"} <= set(logs)
    assert logs["loss"] == model.evaluate(inputs, LABELS, batch_size=8, verbose=0)["loss"]

    features = model.predict(inputs, batch_size=COUNT, verbose=0)
    assert features.shape == (COUNT, 8) and np.isfinite(features).all()
    embedded, _ = kerassl.embed(model, inputs)
    np.testing.assert_allclose(embedded, features, rtol=1e-5, atol=1e-6)

    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(ops.convert_to_numpy(loaded(inputs)), features, rtol=1e-5, atol=1e-6)

    model.export_encoder(tmp_path / "encoder.keras", format="keras")
    exported = keras.saving.load_model(tmp_path / "encoder.keras")
    np.testing.assert_allclose(ops.convert_to_numpy(exported(inputs)), features, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["SogCLR", "DINO"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_of_any_kind_of_data_goes_on_bit_for_bit(kind, name, tmp_path):
    def run(folder, epochs):
        inputs, model = make(kind, name)
        model.compile(kerassl.optimizers.AdamW(1e-2))
        checkpoint = kerassl.callbacks.Checkpoint(folder)
        model.fit(inputs, LABELS, batch_size=8, epochs=epochs, verbose=0, callbacks=[checkpoint])
        return model

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.stop_at == int(self.model.clock.step):
                raise KeyboardInterrupt

    whole = run(tmp_path / "whole", 2)
    inputs, model = make(kind, name)
    model.compile(kerassl.optimizers.AdamW(1e-2))
    model.stop_at = 3
    checkpoint = kerassl.callbacks.Checkpoint(tmp_path / "halves", every_steps=1)
    with pytest.raises(KeyboardInterrupt):
        model.fit(inputs, LABELS, batch_size=8, epochs=2, verbose=0, callbacks=[Stop(), checkpoint])
    resumed = run(tmp_path / "halves", 2)
    for one, other in zip(whole.weights, resumed.weights, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(one), ops.convert_to_numpy(other), one.path)


def test_what_holds_the_data_makes_no_difference():
    inputs, model = make("pair", "SimCLR")
    data = kerassl.data.ArrayDataset(inputs, LABELS, batch_size=8)
    assert json.dumps(kerassl.data.fingerprint(data, 2))
    losses = []
    for given in (data, inputs):
        _, model = make("pair", "SimCLR")
        model.compile(keras.optimizers.SGD(0.1))
        labels = None if given is data else LABELS
        history = model.fit(given, labels, batch_size=None if given is data else 8, shuffle=False, verbose=0)
        losses.append(history.history["loss"])
    assert losses[0] == losses[1]


def test_errors_speak_of_the_kind():
    inputs, model = make("signal", "SimCLR")
    model.compile()
    broken = np.where(np.arange(COUNT)[:, None, None] == 3, np.nan, inputs)
    with pytest.raises(ValueError, match="1 of 16 signals hold NaN .*; the first is number 3"):
        model.fit(broken, verbose=0)
    with pytest.raises(ValueError, match="1 of 8 signals hold NaN or infinite values"):
        model.fit((batch for batch in [broken[:8]]), steps_per_epoch=1, verbose=0)
    with pytest.raises(ValueError, match="1 of 16 signals hold NaN"):
        model.fit(inputs, validation_data=(broken, LABELS), verbose=0)
    with pytest.raises(ValueError, match="1 of 16 signals hold NaN"):
        model.evaluate(broken, verbose=0)
    with pytest.raises(ValueError, match="There are 16 signals but 3 labels"):
        model.fit(inputs, LABELS[:3], verbose=0)
    with pytest.raises(ValueError, match="A batch holds one of the signals"):
        model.fit(inputs[:1], verbose=0)
    table, model = make("table", "SimCLR")
    model.compile()
    with pytest.raises(ValueError, match="rows hold infinite values"):
        model.fit(np.where(np.isnan(table), np.inf, table), verbose=0)
