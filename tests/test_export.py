import subprocess
import sys

import keras
import numpy as np
import pytest
from tiny_methods import images, make

# The other backends leave the conversion to a TensorFlow process, which takes its time to start.
NAMES = ("SimCLR", "DINO") if keras.backend.backend() == "tensorflow" else ("DINO",)


@pytest.fixture(scope="module", params=NAMES)
def model(request):
    return make(request.param)


def bigger_images():
    return np.random.default_rng(0).integers(0, 256, (3, 20, 26, 3)).astype("uint8")


def embedding(model, batch):
    return keras.ops.convert_to_numpy(model(batch))


def test_keras_file(model, tmp_path):
    path = model.export_encoder(tmp_path / "encoder", format="keras")
    assert path.name == "encoder.keras"
    loaded = keras.models.load_model(path)
    for batch in (images(4), bigger_images()):
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(loaded(batch)), embedding(model, batch), atol=1e-4
        )


def test_onnx_is_read_by_onnxruntime(model, tmp_path):
    import onnxruntime

    path = model.export_encoder(tmp_path / "encoder.onnx", format="onnx")
    session = onnxruntime.InferenceSession(str(path))
    name = session.get_inputs()[0].name
    for batch in (images(4), images(1), bigger_images()):
        (features,) = session.run(None, {name: batch})
        np.testing.assert_allclose(features, embedding(model, batch), atol=1e-4)


READ_SAVED_MODEL = """
import sys
import numpy as np
import tensorflow as tf

folder, = sys.argv[1:]
model = tf.saved_model.load(folder + "/encoder")
for name in ("small", "bigger"):
    np.save(f"{folder}/{name}_features.npy", model.serve(np.load(f"{folder}/{name}.npy")).numpy())
"""


def test_saved_model_is_read_by_tensorflow_alone(model, tmp_path):
    model.export_encoder(tmp_path / "encoder", format="tf_saved_model")
    batches = {"small": images(4), "bigger": bigger_images()}
    for name, batch in batches.items():
        np.save(tmp_path / f"{name}.npy", batch)
    subprocess.run([sys.executable, "-c", READ_SAVED_MODEL, str(tmp_path)], check=True, capture_output=True)
    for name, batch in batches.items():
        features = np.load(tmp_path / f"{name}_features.npy")
        np.testing.assert_allclose(features, embedding(model, batch), atol=1e-4)


def test_unknown_format(model, tmp_path):
    with pytest.raises(ValueError, match="choose one of tf_saved_model, onnx, keras"):
        model.export_encoder(tmp_path / "x", format="pickle")
