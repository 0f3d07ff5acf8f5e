import keras
import numpy as np
import pytest

from kerassl.backbones import ResNet, resnet18, resnet34, resnet50


def _images(size=16, channels=3, batch=2, seed=0):
    return np.random.default_rng(seed).normal(size=(batch, size, size, channels)).astype("float32")


def _num_trainable(model):
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


def _tiny(**kwargs):
    return ResNet(**{"input_shape": (16, 16, 3), "depths": (1, 1), "width": 8, "stem": "small", **kwargs})


@pytest.mark.backends("torch")  # Nothing of a backend in it.
def test_resnet18_has_torchvision_parameter_count():
    assert _num_trainable(resnet18((224, 224, 3))) == 11_176_512


@pytest.mark.backends("torch")  # Nothing of a backend in it.
def test_resnet34_has_torchvision_parameter_count():
    assert _num_trainable(resnet34((224, 224, 3))) == 21_284_672


@pytest.mark.backends("torch")  # Nothing of a backend in it.
def test_resnet50_has_torchvision_parameter_count():
    assert _num_trainable(resnet50((224, 224, 3))) == 23_508_032


@pytest.mark.parametrize(
    "stem, stem_stride, expected",
    [("standard", None, 16), ("standard", 1, 32), ("small", None, 64), ("small", 2, 32)],
)
def test_stem_decides_the_size_of_the_maps(stem, stem_stride, expected):
    model = ResNet((64, 64, 3), depths=(1,), width=8, stem=stem, stem_stride=stem_stride)
    assert model.get_layer("stage1_block1_relu2").output.shape[1] == expected


def test_strided_convolution_pads_all_sides_as_torch():
    model = ResNet((8, 8, 2), depths=(1,), width=3, stem="standard")
    images = _images(8, channels=2, batch=1)
    got = keras.Model(model.input, model.get_layer("stem_conv").output)(images)
    kernel = np.asarray(keras.ops.convert_to_numpy(model.get_layer("stem_conv").kernel), "float64")
    padded = np.pad(images[0].astype("float64"), ((3, 3), (3, 3), (0, 0)))
    expected = np.zeros((4, 4, 3))
    for i in range(4):
        for j in range(4):
            window = padded[2 * i : 2 * i + 7, 2 * j : 2 * j + 7]
            for k in range(3):
                expected[i, j, k] = np.sum(window * kernel[..., k])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(got)[0], expected, atol=1e-5)


def test_stride_of_a_bottleneck_is_in_the_3x3():
    model = ResNet((16, 16, 3), depths=(1, 1), bottleneck=True, width=4, stem="small")
    assert model.get_layer("stage2_block1_conv1").strides == (1, 1)
    assert model.get_layer("stage2_block1_conv2").strides == (2, 2)
    assert model.output_shape == (None, 32)


@pytest.mark.parametrize("bottleneck", [False, True])
def test_zero_init_residual_makes_identity_blocks(bottleneck):
    model = ResNet((16, 16, 3), depths=(2,), bottleneck=bottleneck, width=4, stem="small")
    relu = "relu3" if bottleneck else "relu2"
    names = [f"stage1_block1_{relu}", f"stage1_block2_{relu}"]
    first, second = keras.Model(model.input, [model.get_layer(n).output for n in names])(_images())
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(first), keras.ops.convert_to_numpy(second))


def test_last_scale_is_one_without_zero_init():
    assert np.all(
        np.asarray(_tiny(zero_init_residual=False).get_layer("stage1_block1_norm2").get_weights()[0]) == 1
    )


def test_initialization_is_he_normal_fan_out():
    kernel = resnet18((32, 32, 3), stem="small").get_layer("stage2_block1_conv2").get_weights()[0]
    assert kernel.std() == pytest.approx(np.sqrt(2 / (9 * 128)), rel=0.02)


def test_layers_of_the_same_shape_start_different():
    model = resnet18((32, 32, 3), stem="small", width=4)
    a, b = (model.get_layer(f"stage1_block{i}_conv2").get_weights()[0] for i in (1, 2))
    assert np.abs(a - b).max() > 0.01


def test_batch_norm_constants_and_no_bias():
    model = _tiny()
    norm = model.get_layer("stem_norm")
    assert (norm.momentum, norm.epsilon) == (0.9, 1e-5)
    assert not any("bias" in w.name for w in model.weights)


def test_other_sizes_are_accepted_other_channels_are_not():
    model = resnet18((32, 32, 3), stem="small", width=4)
    assert model(_images(32)).shape == model(_images(16)).shape == (2, 32)
    with pytest.raises(ValueError, match="axis -1"):
        model(_images(16, channels=1))


@pytest.mark.parametrize("channels", [1, 4])
def test_any_number_of_channels(channels):
    assert _tiny(input_shape=(16, 16, channels))(_images(channels=channels)).shape == (2, 16)


def test_copy_under_a_name_scope_has_its_own_paths_and_weights():
    model = _tiny(name="student_net")
    with keras.name_scope("teacher"):
        copy = model.__class__.from_config(model.get_config())
    paths = [w.path for w in model.weights + copy.weights]
    assert len(set(paths)) == len(paths)
    assert all(w.path.startswith("teacher/student_net/") for w in copy.weights)
    assert copy.get_config() == model.get_config()
    copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(copy(_images())), keras.ops.convert_to_numpy(model(_images()))
    )


def test_names_are_unique_in_a_process():
    a, b = (resnet18((16, 16, 3), stem="small", width=4) for _ in range(2))
    assert not {w.path for w in a.weights} & {w.path for w in b.weights}


def test_save_and_load(tmp_path):
    model = _tiny(stem_stride=2)
    model.save(tmp_path / "encoder.keras")
    loaded = keras.saving.load_model(tmp_path / "encoder.keras")
    assert isinstance(loaded, ResNet) and loaded.get_config() == model.get_config()
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(loaded(_images())), keras.ops.convert_to_numpy(model(_images()))
    )


def test_frozen_copy_stays_frozen():
    model = _tiny()
    model.trainable = False
    assert ResNet.from_config(model.get_config()).trainable_weights == []


def _compile(model):
    model.compile("sgd", "mse", jit_compile=keras.backend.backend() != "torch")


def test_resnet18_compiles_to_the_same_features():
    model = resnet18((16, 16, 3), stem="small", width=4, zero_init_residual=False)
    expected = keras.ops.convert_to_numpy(model(_images()))
    _compile(model)
    np.testing.assert_allclose(model.predict(_images(), verbose=0), expected, atol=1e-4)


def test_every_weight_moves_in_a_compiled_train_step():
    model = _tiny(zero_init_residual=False)
    before = [w.copy() for w in map(keras.ops.convert_to_numpy, model.trainable_weights)]
    _compile(model)
    model.fit(_images(), np.random.default_rng(1).normal(size=(2, 16)), verbose=0)
    after = [keras.ops.convert_to_numpy(w) for w in model.trainable_weights]
    assert all(np.isfinite(w).all() for w in model.get_weights())
    assert all(np.any(a != b) for a, b in zip(after, before, strict=True))


@pytest.mark.parametrize("how", ["global", "argument"])
def test_mixed_bfloat16(how):
    if how == "global":
        keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = _tiny(dtype="mixed_bfloat16" if how == "argument" else None)
        features = model(_images(), training=True)
        assert keras.backend.standardize_dtype(features.dtype) == "bfloat16"
        assert model.trainable_weights[0].dtype == "float32"
        assert np.isfinite(keras.ops.convert_to_numpy(keras.ops.cast(features, "float32"))).all()
    finally:
        keras.config.set_dtype_policy("float32")


def test_bad_arguments_are_explained():
    with pytest.raises(ValueError, match="stem must be 'standard' or 'small', got 'tiny'"):
        resnet18((32, 32, 3), stem="tiny")
    with pytest.raises(ValueError, match=r"such as \(32, 32, 3\); got \(32, 32\)"):
        resnet18((32, 32))


def test_without_pool_it_gives_the_map_whose_mean_are_the_features():
    pooled, unpooled = _tiny(), _tiny(pool=None)
    unpooled.set_weights(pooled.get_weights())
    assert unpooled.output_shape == (None, 8, 8, 16)
    feature_map = keras.ops.convert_to_numpy(unpooled(_images()))
    np.testing.assert_allclose(
        feature_map.mean(axis=(1, 2)), keras.ops.convert_to_numpy(pooled(_images())), atol=1e-5
    )
    assert ResNet.from_config(unpooled.get_config()).output_shape == unpooled.output_shape
    with pytest.raises(ValueError, match="pool must be 'mean' or None, got 'max'"):
        _tiny(pool="max")
