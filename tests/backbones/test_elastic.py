import keras
import numpy as np
import pytest

from kerassl.backbones import ViT, encode_elastic, kept_blocks, sub_vit


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def whole(positions="sincos", pool="cls"):
    keras.utils.set_random_seed(0)
    encoder = ViT(
        (16, 16, 3), patch_size=4, hidden_dim=16, depth=5, num_heads=4, positions=positions, pool=pool
    )
    rng = np.random.default_rng(0)
    for variable in encoder.weights:
        variable.assign(numpy(variable) + 0.1 * rng.normal(size=variable.shape))
    return encoder


def images():
    return np.random.default_rng(1).normal(size=(2, 16, 16, 3)).astype("float32")


def test_blocks_are_spread_evenly_and_rounded_down():
    assert kept_blocks(24, 12) == [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 23]
    assert kept_blocks(5, 1) == [0] and kept_blocks(5, 5) == [0, 1, 2, 3, 4]


def test_full_size_is_the_encoder_itself():
    encoder = whole()
    patches = encoder.embed_patches(images())
    tokens = encode_elastic(encoder, patches, 16, np.ones(5, "float32"))
    np.testing.assert_allclose(numpy(tokens), numpy(encoder.encode_tokens(patches)), atol=1e-5)


@pytest.mark.parametrize(("width", "depth", "positions"), [(4, 2, "sincos"), (12, 5, "learned")])
def test_a_sub_network_cut_out_gives_the_first_channels_of_the_elastic_pass(width, depth, positions):
    encoder = whole(positions)
    gates = np.zeros(5, "float32")
    gates[kept_blocks(5, depth)] = 1
    elastic = numpy(encode_elastic(encoder, encoder.embed_patches(images()), width, gates))
    small = sub_vit(encoder, width, depth)
    assert small.count_params() < encoder.count_params()
    tokens = numpy(small.encode_tokens(small.embed_patches(images())))
    np.testing.assert_allclose(elastic[..., :width], tokens, atol=2e-5)
    assert not elastic[..., width:].any()


def test_a_narrow_layer_multiplies_its_input_and_not_its_bias():
    encoder = whole()
    small, block = sub_vit(encoder, 4, 5).blocks[2], encoder.blocks[2]
    np.testing.assert_allclose(
        numpy(small.mlp_output.kernel), 4 * numpy(block.mlp_output.kernel)[:16, :4], rtol=1e-6
    )
    np.testing.assert_array_equal(numpy(small.mlp_output.bias), numpy(block.mlp_output.bias)[:4])
    # Query, key and value keep the first heads each.
    kernel = numpy(block.qkv.kernel)[:4].reshape(4, 3, 16)[..., :4]
    np.testing.assert_allclose(numpy(small.qkv.kernel), 4 * kernel.reshape(4, 12), rtol=1e-6)


def test_it_is_saved_and_takes_other_sizes(tmp_path):
    small = sub_vit(whole(pool="mean"), 8, 3)
    small.save(tmp_path / "small.keras")
    loaded = keras.models.load_model(tmp_path / "small.keras")
    np.testing.assert_array_equal(numpy(loaded(images())), numpy(small(images())))
    assert small(np.zeros((1, 8, 8, 3), "float32")).shape == (1, 8)


def test_sizes_that_cannot_be_cut_out():
    with pytest.raises(ValueError, match="width=6 must be a multiple of 4, a head's width, up to 16"):
        sub_vit(whole(), 6, 2)
    with pytest.raises(ValueError, match=r"depth=6 must lie in 1\.\.5"):
        sub_vit(whole(), 8, 6)
