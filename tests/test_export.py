import pathlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from tiny import images, make

import kerassl
from kerassl.export import (
    FORMATS,
    describe_int8,
    exportable_encoder,
    model_card,
    quantized,
    read,
    resized,
    with_preprocessing,
    write_network,
)
from kerassl.views import InputFormat

BACKEND = keras.backend.backend()
# Formats that another backend makes are written by one process for all, which takes its time to start.
WRITTEN = {
    "tensorflow": dict.fromkeys(
        ("SimCLR", "DINO"), ("tf_saved_model", "onnx", "keras", "litert", "openvino")
    ),
    "torch": {"SimCLR": ("torch",), "DINO": ("keras", "torch", "tf_saved_model", "onnx")},
    "jax": {"DINO": ("keras", "tf_saved_model", "onnx")},
}[BACKEND]


def pixels(batch, height, width):
    return np.random.default_rng(0).integers(0, 256, (batch, height, width, 3)).astype("uint8")


def numpy_of(model, batch):
    return keras.ops.convert_to_numpy(model(batch))


def vit_network():
    vit = kerassl.backbones.ViT((16, 16, 3), 8, hidden_dim=64, depth=1, num_heads=2, positions="learned")
    return with_preprocessing(vit, kerassl.views.Preprocess(16))


def resnet_network():
    resnet = kerassl.backbones.ResNet((16, 16, 3), depths=(1,), width=16, stem="small")
    return with_preprocessing(resnet, kerassl.views.Preprocess(16))


def linear_maps(network):
    return [layer for layer in network._flatten_layers() if type(layer) is keras.layers.Dense]


READ_SAVED_MODEL = """
import sys
import numpy as np
import tensorflow as tf

path, folder = sys.argv[1:]
encoder = tf.saved_model.load(path)
np.save(f"{folder}/features.npy", encoder.serve(np.load(f"{folder}/images.npy")).numpy())
assert "kerassl" not in sys.modules
"""


@pytest.mark.parametrize("name", WRITTEN)
def test_each_runtime_gives_what_the_encoder_gives(name, tmp_path):
    model = make(name)
    files = dict(write_network(exportable_encoder(model), tmp_path / "encoder", WRITTEN[name]))
    assert tuple(files) == WRITTEN[name]
    batches = [images(4), pixels(1, 20, 26)]
    expected = [numpy_of(model, batch) for batch in batches]
    for format, path in files.items():
        features = read(path, format)
        # What torch traced keeps the size of the encoder.
        for batch, wanted in list(zip(batches, expected, strict=True))[: 1 if format == "torch" else 2]:
            np.testing.assert_allclose(features(batch), wanted, atol=1e-4, err_msg=format)
    if BACKEND == "tensorflow" and name == "DINO":
        np.save(tmp_path / "images.npy", batches[1])
        command = [sys.executable, "-c", READ_SAVED_MODEL, str(files["tf_saved_model"]), str(tmp_path)]
        subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
        np.testing.assert_allclose(np.load(tmp_path / "features.npy"), expected[1], atol=1e-4)


def test_export_writes_its_card(tmp_path, monkeypatch):
    model = make("DINO")
    path = model.export_encoder(tmp_path / "encoder.keras", format="keras", resize_to=(16, 24))
    assert {file.name for file in tmp_path.iterdir()} == {"encoder.keras", "encoder.md"} and path.exists()
    text = (tmp_path / "encoder.md").read_text(encoding="utf-8")
    for fact in (
        "Raw images in [0, 255] in,",
        f"{model.feature_dim} float32 features",
        "resized to 16x24 pixels",
        "method: DINO (arXiv 2104.14294)",
        "patch_size 4",
        f"keras: {keras.__version__}",
    ):
        assert fact in text, fact
    monkeypatch.chdir(tmp_path)
    names = {"images": pixels(2, 9, 8)}
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    exec(code, names)
    assert names["features"].shape == (2, model.feature_dim)


def test_card_has_what_it_is_told():
    network = vit_network()
    kerassl.export.preprocessing_of(network).trained_on = InputFormat((32, 40), 3, "0 to 255", "cropping")
    card = model_card(
        network,
        {"onnx": pathlib.Path("out/encoder.onnx")},
        settings={"method": "simclr", "dataset": "digits", "epochs": 3},
        numbers={"trained encoder": {"kNN k20 t0.1": 0.97, "1-label": (0.76, 0.05)}},
        protocol="Frozen features, bank of 100 images.",
        checks={"onnx": {"MB": "0.1"}},
        int8="In 8 bits: " + describe_int8(network),
    )
    assert card.startswith("# encoder\n")
    for fact in (
        "It learned from digits by simclr.",
        "| `encoder.onnx` | onnx | 0.1 |",
        "| `trained encoder` | 0.970 | 0.760 ± 0.050 |",
        "bank of 100 images",
        "5 Dense in 8 bits, 9",
        'InferenceSession("encoder.onnx")',
        "less the mean (0.485, 0.456, 0.406), divided by the standard deviation (0.229, 0.224, 0.225)",
        "- epochs: 3",
        "came as 32x40 pixels with values 0 to 255, brought to that size by: cropping.",
    ):
        assert fact in card, fact


def test_unknown_format(tmp_path):
    with pytest.raises(
        ValueError, match="choose one of tf_saved_model, onnx, keras, litert, openvino, torch"
    ):
        next(write_network(vit_network(), tmp_path / "x", ["pickle"]))


def test_missing_runtime_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(ImportError, match=r"kerassl\[litert\]"):
        read(tmp_path / "x.tflite", "litert")


# Other sizes.


@pytest.mark.backends("tensorflow", "torch")  # JAX compiles each operation of each size.
@pytest.mark.parametrize("make_network", [resnet_network, vit_network])
def test_encoders_work_at_another_size(make_network):
    network = make_network()
    larger = resized(network, image_size=20, resize_to=(24, 16))
    assert larger.input_shape == (None, 20, 20, 3)
    batch = pixels(2, 20, 20)
    encoder = kerassl.export.inner_encoder(network)
    expected = numpy_of(encoder, kerassl.views.Preprocess((24, 16))(batch))
    np.testing.assert_allclose(numpy_of(larger, batch), expected, atol=1e-5)
    assert np.abs(expected - numpy_of(network, batch)).max() > 1e-3
    assert resized(network).input_shape == (None, None, None, 3)


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(
        ValueError, match="does not take images of 20x20 pixels, for it .* 16x16: .* patches of 8x8"
    ):
        resized(vit_network(), resize_to=20)
    images = keras.Input((8, 8, 3))
    flat = keras.Model(images, keras.layers.Dense(4)(keras.layers.Flatten()(images)), name="flat")
    with pytest.raises(ValueError, match="flat does not take images of 16x16 pixels, .* 8x8: resize to that"):
        with_preprocessing(flat, kerassl.views.Preprocess(16))
    with pytest.raises(ValueError, match="flat has no preprocessing: it takes images of its own size only"):
        resized(flat, resize_to=16)
    with pytest.raises(ValueError, match="resize_to=16: .* has no Preprocess layer"):
        exportable_encoder(kerassl.methods.SimCLR(flat, views=None), resize_to=16)


# In 8 bits.


@pytest.mark.backends("jax", "torch")  # On TensorFlow the files below are read, too.
def test_int8_copy_is_close_and_comes_back_from_its_file(tmp_path):
    network = vit_network()
    small, batch = quantized(network), pixels(4, 16, 16)
    exact, rounded = numpy_of(network, batch), numpy_of(small, batch)
    assert 0 < np.abs(exact - rounded).max() < 0.05 * np.abs(exact).max()
    assert {layer.quantization_mode for layer in linear_maps(small)} == {"int8"}
    assert {layer.quantization_mode for layer in linear_maps(network)} == {None}
    for layer, original in zip(linear_maps(small), linear_maps(network), strict=True):
        scale = keras.ops.convert_to_numpy(layer.kernel_scale)
        stored = keras.ops.convert_to_numpy(layer._kernel) / scale
        error = np.abs(stored - keras.ops.convert_to_numpy(original.kernel))
        assert (error <= 0.5 / scale + 1e-7).all()
    small.save(tmp_path / "small.keras")
    loaded = keras.models.load_model(tmp_path / "small.keras")
    np.testing.assert_allclose(numpy_of(loaded, batch), rounded, atol=1e-6)
    network.save(tmp_path / "large.keras")
    sizes = [(tmp_path / f"{name}.keras").stat().st_size for name in ("small", "large")]
    assert sizes[0] < 0.6 * sizes[1]


@pytest.mark.backends("tensorflow")  # The files are TensorFlow's on every backend.
def test_int8_files_give_what_the_quantized_encoder_gives(tmp_path):
    network, batch = vit_network(), pixels(4, 16, 16)
    exact, rounded = numpy_of(network, batch), numpy_of(quantized(network), batch)
    formats = ("tf_saved_model", "onnx", "keras", "litert")
    for name, path in write_network(network, tmp_path / "small", formats, int8=True):
        features = read(path, name)(batch)
        if name == "litert":
            # Its converter rounds by its own rules.
            assert 0 < np.abs(features - exact).max() < 0.05 * np.abs(exact).max()
        else:
            np.testing.assert_allclose(features, rounded, atol=1e-5)


@pytest.mark.backends("tensorflow")  # The file is TensorFlow's on every backend.
def test_litert_has_8_bit_convolutions(tmp_path):
    network, batch = resnet_network(), pixels(4, 16, 16)
    sizes = []
    for int8 in (False, True):
        ((name, path),) = write_network(network, tmp_path / f"resnet_{int8}", ["litert"], int8=int8)
        sizes.append(path.stat().st_size)
    assert sizes[1] < 0.75 * sizes[0]
    exact = numpy_of(network, batch)
    assert 0 < np.abs(read(path, name)(batch) - exact).max() < 0.05 * np.abs(exact).max()


def test_int8_says_what_it_cannot_do(tmp_path):
    with pytest.raises(
        ValueError, match="nothing to quantize.* 3 BatchNormalization, 3 Conv2D of .*or to litert alone"
    ):
        next(write_network(resnet_network(), tmp_path / "x", ["onnx", "litert"], int8=True))
    with pytest.raises(ValueError, match="nothing to quantize"):
        quantized(resnet_network())
    with pytest.raises(ValueError, match="openvino has no int8 form.*NNCF"):
        next(write_network(vit_network(), tmp_path / "x", ["openvino"], int8=True))
    assert re.fullmatch(
        r"5 Dense in 8 bits, 9\d\.\d% of the weights; 3 LayerNorm, 1 ViT stay as they are",
        describe_int8(vit_network()),
    )
    assert set(FORMATS) == {"tf_saved_model", "onnx", "keras", "litert", "openvino", "torch"}
