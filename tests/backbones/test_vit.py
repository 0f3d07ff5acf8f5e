import keras
import numpy as np
import pytest
from keras import ops

from kerassl.backbones import DropPath, TransformerBlock, ViT, vit

_numpy = ops.convert_to_numpy


def _images(size=32, channels=3, batch=2, seed=0):
    return np.random.default_rng(seed).normal(size=(batch, size, size, channels)).astype("float32")


def _tiny(**kwargs):
    defaults = {"input_shape": (32, 32, 3), "patch_size": 8, "hidden_dim": 16, "depth": 2, "num_heads": 2}
    return ViT(**{**defaults, **kwargs})


def _randomize(model, seed=0):
    rng = np.random.default_rng(seed)
    model.set_weights([w + rng.normal(0, 0.1, w.shape).astype("float32") for w in model.get_weights()])
    return model


@pytest.mark.backends("torch")  # Nothing of a backend in it.
def test_small_has_dino_parameter_count():
    assert vit((224, 224, 3), "small", positions="learned").count_params() == 21_665_664


@pytest.mark.backends("torch")  # Nothing of a backend in it.
def test_base_has_dino_parameter_count():
    assert vit((224, 224, 3), "base", positions="learned").count_params() == 85_798_656


def test_sincos_positions_are_no_weights():
    learned, fixed = (_tiny(positions=p).count_params() for p in ("learned", "sincos"))
    assert learned - fixed == 17 * 16


def test_shapes_and_attributes():
    model = _tiny(input_shape=(32, 16, 3))
    assert (model.patch_size, model.grid, model.hidden_dim, model.num_prefix_tokens) == (8, (4, 2), 16, 1)
    assert model.input_shape == (None, 32, 16, 3) and model.output_shape == (None, 16)
    images = _images()[:, :, :16]
    patches = model.embed_patches(images)
    tokens = model.encode_tokens(patches)
    assert patches.shape == (2, 8, 16) and tokens.shape == (2, 9, 16)
    np.testing.assert_allclose(_numpy(model(images)), _numpy(model.pool_tokens(tokens)), atol=1e-6)


def test_pools():
    tokens = np.random.default_rng(0).normal(size=(2, 17, 16)).astype("float32")
    np.testing.assert_array_equal(_numpy(_tiny(pool="cls").pool_tokens(tokens)), tokens[:, 0])
    mean = _numpy(_tiny(pool="mean").pool_tokens(tokens))
    np.testing.assert_allclose(mean, tokens[:, 1:].mean(axis=1), atol=1e-6)


def _reference_norm(x, gamma, beta):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * gamma + beta


def _reference_block(block, x):
    from math import erf

    w = {v.path.split(block.name + "/")[-1]: _numpy(v).astype("float64") for v in block.weights}
    dim, heads = block.hidden_dim, block.num_heads
    size = dim // heads
    h = _reference_norm(x, w["attention_norm/gamma"], w["attention_norm/beta"])
    qkv = h @ w["qkv/kernel"] + w["qkv/bias"]
    q, k, v = qkv[:, :dim], qkv[:, dim : 2 * dim], qkv[:, 2 * dim :]
    attended = np.zeros_like(x)
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        for i in range(len(x)):
            logits = np.array([q[i, part] @ k[j, part] / np.sqrt(size) for j in range(len(x))])
            weights = np.exp(logits - logits.max())
            weights /= weights.sum()
            attended[i, part] = sum(weights[j] * v[j, part] for j in range(len(x)))
    x = x + attended @ w["projection/kernel"] + w["projection/bias"]
    h = _reference_norm(x, w["mlp_norm/gamma"], w["mlp_norm/beta"])
    h = h @ w["mlp_hidden/kernel"] + w["mlp_hidden/bias"]
    h = h * 0.5 * (1 + np.vectorize(erf)(h / np.sqrt(2)))
    return x + h @ w["mlp_output/kernel"] + w["mlp_output/bias"]


def test_block_equals_a_numpy_loop():
    block = _randomize(TransformerBlock(8, num_heads=2, name="block_under_test"))
    x = np.random.default_rng(1).normal(size=(2, 5, 8)).astype("float32")
    expected = np.stack([_reference_block(block, sample.astype("float64")) for sample in x])
    np.testing.assert_allclose(_numpy(block(x)), expected, atol=1e-4)


@pytest.mark.parametrize("last", [1, 3, 5])
def test_the_last_tokens_alone_are_those_of_the_whole_block(last):
    block = _randomize(TransformerBlock(8, num_heads=2))
    x = np.random.default_rng(1).normal(size=(2, 5, 8)).astype("float32")
    np.testing.assert_allclose(_numpy(block(x, last=last)), _numpy(block(x))[:, -last:], atol=1e-6)


def test_without_positions_the_order_of_patches_does_not_matter():
    model = _randomize(_tiny(pool="mean"))
    patches = model.patch_embedding(np.random.default_rng(1).normal(size=(2, 16, 192)).astype("float32"))
    order = np.random.default_rng(2).permutation(16)
    a = model.pool_tokens(model.encode_tokens(patches))
    b = model.pool_tokens(model.encode_tokens(ops.take(patches, order, axis=1)))
    np.testing.assert_allclose(_numpy(a), _numpy(b), atol=1e-5)


@pytest.mark.parametrize("positions", ["sincos", "learned"])
def test_with_positions_the_order_of_patches_in_the_image_matters(positions):
    model = _randomize(_tiny(pool="mean", positions=positions))
    images = _images()
    assert np.abs(_numpy(model(images)) - _numpy(model(images[:, ::-1, ::-1]))).max() > 1e-3


@pytest.mark.parametrize("positions", ["sincos", "learned"])
def test_each_kept_patch_carries_its_own_position(positions):
    # Equal patches differ by their positions only, and a subset keeps those of its places.
    model = _randomize(_tiny(positions=positions))
    tokens = _numpy(model.embed_patches(np.full((1, 32, 32, 3), 0.3, "float32")))[0]
    if positions == "sincos":
        from kerassl.backbones import sincos_positions

        table = sincos_positions(16, (4, 4))
    else:
        table = _numpy(model.position_embedding)[1:]
    np.testing.assert_allclose(tokens - tokens[:1], table - table[:1], atol=1e-5)


@pytest.mark.parametrize("positions", ["sincos", "learned"])
def test_a_mask_token_takes_the_place_of_a_patch_before_its_position(positions):
    model = _randomize(_tiny(positions=positions))
    images, token = _images(), np.linspace(-1, 1, 16).astype("float32")
    mask = np.zeros((2, 16), bool)
    mask[0, [3, 7]] = mask[1, 0] = True
    whole = _numpy(model.embed_patches(images))
    masked = _numpy(model.embed_patches(images, mask=mask, mask_token=token))
    np.testing.assert_array_equal(masked[~mask], whole[~mask])
    positions = _numpy(model.embed_patches(0 * images)) - _numpy(model.patch_embedding.bias)
    np.testing.assert_allclose(masked[mask], (token + positions)[mask], atol=1e-6)
    with pytest.raises(ValueError, match="mask and mask_token belong together"):
        model.embed_patches(images, mask=mask)


def test_encoding_a_subset_equals_an_attention_without_the_others():
    # A block of one head over [cls, kept]: the tokens that are left out have no influence at all.
    model = _randomize(_tiny())
    images, other = _images(seed=0), _images(seed=1)
    kept = np.array([1, 6, 12])
    rows, columns = kept // 4, kept % 4
    for r, c in zip(rows, columns, strict=True):
        other[:, 8 * r : 8 * r + 8, 8 * c : 8 * c + 8] = images[:, 8 * r : 8 * r + 8, 8 * c : 8 * c + 8]
    a, b = (model.encode_tokens(ops.take(model.embed_patches(x), kept, axis=1)) for x in (images, other))
    assert a.shape == (2, 4, 16)
    np.testing.assert_allclose(_numpy(a), _numpy(b), atol=1e-6)


def test_class_token_has_position_zero_with_sincos_and_its_own_when_learned():
    model = _tiny(positions="learned", depth=1)
    patches = ops.zeros((1, 4, 16))
    before = _numpy(model.encode_tokens(patches))
    table = _numpy(model.position_embedding).copy()
    table[0] += np.arange(16)
    model.position_embedding.assign(table)
    assert np.abs(_numpy(model.encode_tokens(patches)) - before).max() > 1e-3
    assert not hasattr(_tiny(), "position_embedding")


@pytest.mark.parametrize("positions", ["sincos", "learned"])
def test_other_sizes_are_accepted(positions):
    model = _tiny(positions=positions)
    assert model(_images(16)).shape == model(_images(48)).shape == (2, 16)
    assert model.embed_patches(_images(48)).shape == (2, 36, 16)


def test_bad_input_is_explained():
    model = _tiny()
    with pytest.raises(ValueError, match="Images of 30x30 pixels cannot be cut into patches of 8x8"):
        model(_images(30))
    with pytest.raises(ValueError, match=r"takes images of 3 channels; got 1: .* input_shape=\(32, 32, 1\)"):
        model.embed_patches(_images(channels=1))
    with pytest.raises(
        ValueError, match="size must be 'tiny', 'small' or 'base', got 'smal'. Did you mean 'small'"
    ):
        vit((32, 32, 3), size="smal")
    with pytest.raises(ValueError, match="pool must be 'cls' or 'mean'"):
        _tiny(pool="max")
    with pytest.raises(ValueError, match="num_heads must be a divisor"):
        _tiny(num_heads=3)
    with pytest.raises(ValueError, match="multiple of 4, not 6"):
        _tiny(hidden_dim=6)
    with pytest.raises(ValueError, match="Images of 33x32"):
        _tiny(input_shape=(33, 32, 3))
    with pytest.raises(ValueError, match=r"drop_path must be in \[0, 1\)"):
        _tiny(drop_path=1.0)


def test_drop_path_drops_whole_samples_and_keeps_the_mean():
    layer = DropPath(0.25)
    out = _numpy(layer(np.ones((4000, 2, 3), "float32"), training=True))
    assert np.all(out == out[:, :1, :1])
    values, counts = np.unique(out[:, 0, 0], return_counts=True)
    np.testing.assert_allclose(values, [0.0, 4 / 3], rtol=1e-6)
    assert counts[0] / 4000 == pytest.approx(0.25, abs=0.03)
    x = _images()
    np.testing.assert_array_equal(_numpy(layer(x, training=False)), x)


def test_drop_path_grows_linearly_and_its_generators_can_be_found():
    model = _tiny(depth=3, drop_path=0.2)
    assert [b.drop_path for b in model.blocks] == pytest.approx([0.0, 0.1, 0.2])
    generators = [layer for layer in model._flatten_layers() if hasattr(layer, "seed_generator")]
    assert len(generators) == 4
    images = _images(batch=16)
    np.testing.assert_array_equal(_numpy(model(images)), _numpy(model(images, training=False)))
    assert np.abs(_numpy(model(images, training=True)) - _numpy(model(images))).max() > 1e-3


def test_copy_under_a_name_scope_has_its_own_paths_and_weights():
    model = _tiny(positions="learned", drop_path=0.1, pool="mean", name="student_vit")
    with keras.name_scope("teacher"):
        copy = model.__class__.from_config(model.get_config())
    paths = [w.path for w in model.weights + copy.weights]
    assert len(set(paths)) == len(paths)
    assert all(w.path.startswith("teacher/student_vit/") for w in copy.weights)
    assert copy.get_config() == model.get_config()
    copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(_numpy(copy(_images())), _numpy(model(_images())))


@pytest.mark.parametrize("positions", ["sincos", "learned"])
def test_save_and_load(tmp_path, positions):
    model = _randomize(_tiny(positions=positions))
    model.save(tmp_path / "encoder.keras")
    loaded = keras.saving.load_model(tmp_path / "encoder.keras")
    assert isinstance(loaded, ViT) and loaded.get_config() == model.get_config()
    np.testing.assert_array_equal(_numpy(loaded(_images())), _numpy(model(_images())))


def test_weights_load_into_a_model_that_was_never_called(tmp_path):
    model = _randomize(_tiny())
    model.save_weights(tmp_path / "encoder.weights.h5")
    fresh = _tiny()
    fresh.load_weights(tmp_path / "encoder.weights.h5")
    np.testing.assert_array_equal(_numpy(fresh(_images())), _numpy(model(_images())))


@pytest.mark.parametrize(
    "positions, pool, jit_compile, num_images", [("sincos", "mean", True, 4), ("learned", "cls", "auto", 6)]
)
def test_vit_tiny_trains_compiled_and_every_weight_moves(positions, pool, jit_compile, num_images):
    model = vit((32, 32, 3), "tiny", patch_size=8, depth=2, positions=positions, pool=pool, drop_path=0.1)
    before = [w.copy() for w in map(_numpy, model.trainable_weights)]
    model.compile("sgd", "mse", jit_compile=jit_compile if keras.backend.backend() != "torch" else False)
    target = np.random.default_rng(1).normal(size=(num_images, 192)).astype("float32")
    model.fit(_images(batch=num_images), target, batch_size=4, verbose=0)
    after = [_numpy(w) for w in model.trainable_weights]
    assert all(np.isfinite(w).all() for w in after)
    assert all(np.any(a != b) for a, b in zip(after, before, strict=True))


@pytest.mark.parametrize("how", ["global", "argument"])
def test_mixed_bfloat16(how):
    if how == "global":
        keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        kwargs = {"dtype": "mixed_bfloat16"} if how == "argument" else {}
        model = _tiny(positions="learned", drop_path=0.2, **kwargs)
        patches = model.embed_patches(_images(16))
        tokens = model.encode_tokens(patches, training=True)
        for x in (patches, tokens, model(_images())):
            assert keras.backend.standardize_dtype(x.dtype) == "bfloat16"
            assert np.isfinite(_numpy(ops.cast(x, "float32"))).all()
        assert model.cls_token.dtype == "float32"
        assert ViT.from_config(model.get_config()).dtype_policy.name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")


def test_initialization():
    model = vit((32, 32, 3), "tiny", patch_size=4, depth=1, positions="learned")
    kernel = _numpy(model.patch_embedding.kernel)
    bound = np.sqrt(6 / (48 + 192))
    assert np.abs(kernel).max() <= bound and kernel.std() == pytest.approx(bound / np.sqrt(3), rel=0.05)
    assert _numpy(model.position_embedding).std() == pytest.approx(0.02, rel=0.05)
    assert np.all(_numpy(model.blocks[0].qkv.bias) == 0)


def test_vit_is_usable_in_a_functional_model():
    images = keras.Input((32, 32, 3))
    model = keras.Model(images, keras.layers.Dense(3)(_tiny()(images)))
    assert model.predict(_images(), verbose=0).shape == (2, 3)
