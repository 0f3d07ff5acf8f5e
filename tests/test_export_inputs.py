"""What exported networks take: floats and bytes, ranges, and inputs that are no images."""

import pathlib

import keras
import numpy as np
import pytest

import kerassl
from kerassl.export import exportable_encoder, model_card, read, with_preprocessing, write_network
from kerassl.export.card import name_of_input

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (4, 16, 16, 3)).astype("uint8")
ON_TENSORFLOW = pytest.mark.backends("tensorflow")  # TensorFlow makes these files on every backend.


def raw_network():
    resnet = kerassl.backbones.ResNet((16, 16, 3), depths=(1,), width=16, stem="small")
    return with_preprocessing(resnet, kerassl.views.Preprocess(16))


def dense(inputs, features):
    return keras.Model(inputs, keras.layers.Dense(5)(features), name="mine")


def signal():
    inputs, given = keras.Input((12, 2)), RNG.normal(size=(3, 12, 2)).astype("float32")
    return dense(inputs, keras.layers.GlobalAveragePooling1D()(keras.layers.Conv1D(5, 3)(inputs))), given


def unpooled():
    inputs, given = keras.Input((12, 2)), RNG.normal(size=(3, 12, 2)).astype("float32")
    return keras.Model(inputs, keras.layers.Conv1D(5, 3)(inputs), name="mine"), given


def table():
    inputs = keras.Input((7,))
    return dense(inputs, inputs), RNG.normal(size=(3, 7)).astype("float32")


def tokens():
    inputs = keras.Input((6,), dtype="int32")
    return dense(inputs, keras.layers.Flatten()(keras.layers.Embedding(9, 3)(inputs))), RNG.integers(
        0, 9, (3, 6)
    ).astype("int32")


def pair(named=True):
    wave, ids = keras.Input((12, 2), name="wave"), keras.Input((6,), dtype="int32", name="ids")
    parts = [keras.layers.Flatten()(wave), keras.layers.Flatten()(keras.layers.Embedding(9, 3)(ids))]
    inputs = {"wave": wave, "ids": ids} if named else [wave, ids]
    given = [signal()[1], tokens()[1]]
    return dense(inputs, keras.layers.Concatenate()(parts)), dict(
        zip(("wave", "ids"), given, strict=True)
    ) if named else given


def tuple_pair():
    return pair(named=False)


KINDS = {"signal": signal, "table": table, "tokens": tokens, "dict": pair, "tuple": tuple_pair}


def expected_of(encoder, inputs):
    features = keras.ops.convert_to_numpy(encoder(inputs))
    return features.mean(1) if features.ndim == 3 else features


def test_floats_are_not_cut_to_bytes(tmp_path):
    network = raw_network()
    network.save(tmp_path / "encoder.keras")
    loaded = keras.models.load_model(tmp_path / "encoder.keras")
    between = IMAGES.astype("float32") * 0.9 + 0.5
    for model in (network, loaded):
        assert type(model) is kerassl.export.RawImageModel
        np.testing.assert_allclose(
            model.predict(IMAGES.astype("float32"), verbose=0), model.predict(IMAGES, verbose=0), atol=1e-6
        )
        cut = model.predict(between.astype("uint8"), verbose=0)
        assert np.abs(model.predict(between, verbose=0) - cut).max() > 1e-4
        with pytest.warns(UserWarning, match=r"takes images in \[0, 255\]; got floats in \[0, 1\].*by 255"):
            model.predict(IMAGES / 255, verbose=0)
        with pytest.warns(UserWarning, match="nearly black"):
            model.predict_on_batch((IMAGES / 255).astype("float32"))


def test_an_encoder_trained_on_unit_floats_does_not_warn(recwarn):
    network = raw_network()
    unit = kerassl.views.InputFormat((16, 16), 3, "0 to 1")
    kerassl.export.preprocessing_of(network).trained_on = unit
    network.predict(IMAGES / 255, verbose=0)
    assert not [w for w in recwarn if "nearly black" in str(w.message)]
    card = model_card(network, {"keras": pathlib.Path("encoder.keras")})
    assert "Values are 0 to 1, as those of training" in card


@ON_TENSORFLOW
def test_files_take_floats_and_say_their_names(tmp_path):
    import onnx

    network = raw_network()
    between = IMAGES.astype("float32") * 0.9 + 0.5
    expected = network.predict(between, verbose=0)
    for name, path in write_network(network, tmp_path / "encoder", ["tf_saved_model", "onnx"]):
        np.testing.assert_allclose(read(path, name)(between), expected, atol=1e-4)
        np.testing.assert_allclose(read(path, name)(IMAGES), network.predict(IMAGES, verbose=0), atol=1e-4)
    graph = onnx.load(tmp_path / "encoder.onnx").graph
    assert [part.name for part in (*graph.input, *graph.output)] == ["images", "features"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_takes_no_images_is_exported(kind, tmp_path):
    encoder, inputs = KINDS[kind]()
    model = kerassl.methods.SimCLR(encoder, views=None, projection_dim=4)
    path = model.export_encoder(tmp_path / "encoder", format="keras")
    loaded = keras.models.load_model(path)
    np.testing.assert_allclose(loaded.predict(inputs, verbose=0), expected_of(encoder, inputs), atol=1e-5)
    names = ["inputs"] if kind in ("signal", "table", "tokens") else ["wave", "ids"]
    assert sorted(part.name for part in loaded.inputs) == sorted(names)
    assert loaded.output_names == ["features"] and loaded.output_shape == (None, 5)
    card = (tmp_path / "encoder.md").read_text()
    assert "## Inputs" in card and f"`{names[-1]}`" in card and "features an example out" in card
    assert f"encoder.predict({name_of_input(loaded)}, verbose=0)" in card


@ON_TENSORFLOW
@pytest.mark.parametrize("kind", [*KINDS, "unpooled"])
def test_files_of_what_takes_no_images(kind, tmp_path):
    import onnx

    encoder, inputs = {**KINDS, "unpooled": unpooled}[kind]()
    expected = expected_of(encoder, inputs)
    network = with_preprocessing(encoder, None)
    several = len(network.inputs) > 1
    formats = ["tf_saved_model", "onnx"] + ["litert"] * (not several)
    for name, path in write_network(network, tmp_path / "encoder", formats):
        given = inputs
        if name == "onnx" and isinstance(inputs, list):
            given = dict(zip(("wave", "ids"), inputs, strict=True))
        dtype = network.inputs[0].dtype
        features = read(path, name, inputs="inputs", dtype=dtype, several=several)(given)
        np.testing.assert_allclose(features, expected, atol=1e-4, err_msg=name)
    graph = onnx.load(tmp_path / "encoder.onnx").graph
    assert {part.name for part in graph.input} == {part.name for part in network.inputs}
    assert [part.name for part in graph.output] == ["features"]


def test_formats_of_one_input_say_so():
    network = with_preprocessing(pair()[0], None)
    with pytest.raises(ValueError, match="litert takes one input, and encoder has 2: .* onnx, keras"):
        next(write_network(network, "unused", ["litert"]))
    with pytest.raises(ValueError, match="image_size=8: mine has no Preprocess layer"):
        with_preprocessing(table()[0], None, image_size=8)


@keras.saving.register_keras_serializable("tests")
class Doubled(keras.layers.Layer):
    def call(self, inputs):
        return 2.0 * inputs


def test_the_views_own_preprocessing_is_inside(tmp_path):
    encoder, inputs = signal()
    network = with_preprocessing(encoder, Doubled())
    network.save(tmp_path / "encoder.keras")
    features = keras.models.load_model(tmp_path / "encoder.keras").predict(inputs, verbose=0)
    np.testing.assert_allclose(features, expected_of(encoder, 2 * inputs), atol=1e-5)


def test_a_model_that_does_not_say_what_it_takes():
    class Bare(keras.Model):
        pass

    with pytest.raises(ValueError, match="does not say what it takes: it is a Bare without inputs"):
        with_preprocessing(Bare(), None)


def test_export_after_fit_and_into_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    encoder = kerassl.backbones.ResNet((16, 16, 3), depths=(1,), width=16, stem="small")
    model = kerassl.methods.SimCLR(encoder, projection_dim=8)
    model.fit(IMAGES, batch_size=2, verbose=0)
    model.export("~/out/encoder", format="keras", verbose=False)
    assert (tmp_path / "out" / "encoder.keras").exists() and (tmp_path / "out" / "encoder.md").exists()
    features = read("~/out/encoder.keras", "keras")(IMAGES)
    np.testing.assert_allclose(features, model.predict(IMAGES, verbose=0), atol=1e-5)
    if keras.backend.backend() == "tensorflow":
        model.export("~/out/saved")
        assert kerassl.export.is_saved_model("~/out/saved")
        features = read("~/out/saved", "tf_saved_model")(IMAGES)
        np.testing.assert_allclose(features, model.predict(IMAGES, verbose=0), atol=1e-4)


def test_views_and_assignments_under_a_bfloat16_default():
    keras.config.set_floatx("bfloat16")
    try:
        crops = kerassl.views.preset("dino", 16, num_local_crops=2)(
            IMAGES, seed=kerassl.engine.StepSeed(0, 0)
        )
        assert all(keras.backend.standardize_dtype(crop.dtype) == "float32" for crop in crops)
        assert all(np.isfinite(keras.ops.convert_to_numpy(crop)).all() for crop in crops)
        assignments = keras.ops.convert_to_tensor([0, 2, 2, -1], "int32")
        counts = kerassl.evaluation.count_assignments(assignments, 3)
        assert keras.ops.convert_to_numpy(counts).tolist() == [1.0, 0.0, 2.0]
    finally:
        keras.config.set_floatx("float32")


def test_evaluate_under_a_bfloat16_default():
    keras.config.set_floatx("bfloat16")
    try:
        encoder = kerassl.backbones.ResNet((16, 16, 3), depths=(1,), width=16, stem="small")
        model = kerassl.methods.SimCLR(encoder, views=None, projection_dim=8)
        views = (IMAGES / 255).astype("float32")
        logs = model.evaluate((views, views), verbose=0)
        assert all(np.isfinite(float(value)) for value in logs.values()) and logs["rankme"] >= 1
        assert exportable_encoder(model).predict(IMAGES, verbose=0).dtype == np.float32
    finally:
        keras.config.set_floatx("float32")
