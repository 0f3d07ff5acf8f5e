"""SavedModels as encoders, our own and others: what is measured and written is what a .keras file gives."""

import keras
import numpy as np
import pytest

import kerassl
from kerassl.export import load_saved_model
from recipes import embed, evaluate

BACKEND = keras.backend.backend()
pytestmark = pytest.mark.backends("tensorflow")  # Keras runs SavedModels on TensorFlow alone.
SETTINGS = {"dataset": "digits", "limit_train": 120, "limit_test": 60}


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    """An encoder as .keras and as SavedModel."""
    keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("encoders")
    encoder = kerassl.backbones.resnet18((8, 8, 1), stem="small", width=4)
    model = kerassl.methods.SimCLR(encoder, views="digits")
    return [str(model.export_encoder(folder / name, format=name)) for name in ("keras", "tf_saved_model")]


def test_both_have_one_table_and_one_file(encoders, tmp_path):
    tables, features = [], []
    for number, path in enumerate(encoders):
        tables.append(evaluate.run(encoder=path, protocols="knn,rankme", **SETTINGS))
        out = tmp_path / f"{number}.npz"
        embed.run(encoder=path, dataset="digits", out=str(out), verbose=0)
        features.append(np.load(out)["features"])
    np.testing.assert_allclose(features[1], features[0], atol=1e-5)
    trained, alone = tables[0]["trained encoder"], tables[1]["trained encoder"]
    assert alone == pytest.approx(trained, abs=1e-4) and tables[1]["raw pixels"] == tables[0]["raw pixels"]
    # Of a SavedModel no random twin can be made.
    assert "random encoder" in tables[0] and "random encoder" not in tables[1]
    both = evaluate.run(encoder=",".join(encoders), protocols="knn,rankme", **SETTINGS)
    assert list(both) == ["raw pixels", "keras", "tf_saved_model"]


def test_any_keras_model_that_was_exported(tmp_path):
    inputs = keras.Input((6, 4, 3))
    other = keras.Model(inputs, keras.layers.Dense(5)(keras.layers.GlobalAveragePooling2D()(inputs)))
    other.export(tmp_path / "other", verbose=False)
    loaded = load_saved_model(tmp_path / "other")
    images = np.random.default_rng(0).uniform(0, 255, (3, 6, 4, 3)).astype("float32")
    np.testing.assert_allclose(kerassl.embed(loaded, images)[0], other.predict(images, verbose=0), atol=1e-5)
    assert loaded.input_shape == (None, 6, 4, 3) and not loaded.trainable_variables


def test_what_is_no_encoder_is_refused(encoders, tmp_path):
    with pytest.raises(ValueError, match="There is no SavedModel in .*nothing: a folder with a saved_model"):
        load_saved_model(tmp_path / "nothing")
    with pytest.raises(ValueError, match="has no linear layer or convolution"):
        evaluate.run(encoder=encoders[1], protocols="sparsity", **SETTINGS)
    inputs = [keras.Input((4,)), keras.Input((4,))]
    keras.Model(inputs, keras.layers.Add()(inputs)).export(tmp_path / "sum", verbose=False)
    with pytest.raises(ValueError, match=r"takes .* of shape \(None, 4\).*one batch of inputs"):
        load_saved_model(tmp_path / "sum")
