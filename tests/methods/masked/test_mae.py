import keras
import numpy as np
import pytest
from tiny import make, ready_views, terms_and_rest, tiny_encoder, tiny_vit

import kerassl

pytestmark = pytest.mark.backends("torch")

TINY = {
    "MAE": {
        "encoder": "tokens",
        "arguments": {"decoder_dim": 16, "decoder_depth": 1, "decoder_num_heads": 2},
        "sizes": (16,),
        "with": "permutation",
    },
}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def test_the_mask_ratio_counts_patches_only():
    encoder = kerassl.backbones.vit((224, 224, 3), size="tiny", depth=1)
    model = kerassl.methods.MAE(encoder, decoder_dim=32, decoder_depth=1, decoder_num_heads=2)
    assert model.num_visible == 49


def test_the_loss_is_that_of_the_hidden_patches():
    model = make("MAE", views=None)
    images, permutation = ready_views("MAE")
    visible = permutation[:, :4]
    tokens = numpy(model.encoder.embed_patches(images))
    kept = np.stack([tokens[i][visible[i]] for i in range(8)])
    encoded = model.encoder.encode_tokens(kept)
    prediction = numpy(model.decoder(encoded, permutation)).astype("float64")
    errors = []
    for i in range(8):
        for j, patch in enumerate(permutation[i, 4:]):
            row, column = 4 * (patch // 4), 4 * (patch % 4)
            target = images[i, row : row + 4, column : column + 4].reshape(-1).astype("float64")
            target = (target - target.mean()) / np.sqrt(target.var(ddof=1) + 1e-6)
            errors.append(np.mean((prediction[i, j] - target) ** 2))
    terms, _ = terms_and_rest(model, (images, permutation))
    assert len(errors) == 8 * 12
    assert float(terms["masked_mse"]) == pytest.approx(np.mean(errors), rel=1e-5)


def test_the_order_of_visible_patches_does_not_matter():
    model = make("MAE", views=None)
    images, permutation = ready_views("MAE")
    shuffled = permutation.copy()
    shuffled[:, :4] = permutation[:, [2, 0, 3, 1]]
    shuffled[:, 4:] = permutation[:, :3:-1]
    a, _ = terms_and_rest(model, (images, permutation))
    b, _ = terms_and_rest(model, (images, shuffled))
    assert float(a["masked_mse"]) == pytest.approx(float(b["masked_mse"]), rel=1e-5)


def test_hidden_pixels_never_reach_the_encoder():
    model = make("MAE", views=None)
    images, permutation = ready_views("MAE", n=1)
    hidden = images.copy()
    for patch in permutation[0, 4:]:
        row, column = 4 * (patch // 4), 4 * (patch % 4)
        hidden[0, row : row + 4, column : column + 4] = 9.0
    _, a = terms_and_rest(model, (images, permutation))
    _, b = terms_and_rest(model, (hidden, permutation))
    np.testing.assert_allclose(numpy(a["features"]), numpy(b["features"]), atol=1e-6)


def test_the_decoder_gives_every_token_its_own_place():
    decoder = kerassl.backbones.TokenDecoder(
        input_dim=4, output_dim=4, grid=(2, 3), hidden_dim=8, depth=2, num_heads=2
    )
    tokens = np.random.default_rng(0).normal(size=(1, 4, 4)).astype("float32")
    permutation = np.array([[2, 0, 5, 1, 4, 3]])
    # The visible patches and the hidden ones, each in another order.
    other = permutation[:, [1, 2, 0, 5, 3, 4]]
    first = numpy(decoder(tokens, permutation))
    second = numpy(decoder(tokens[:, [0, 2, 3, 1]], other))
    np.testing.assert_allclose(second, first[:, [2, 0, 1]], atol=1e-6)
    moved = numpy(decoder(tokens, np.array([[0, 2, 5, 1, 4, 3]])))
    assert np.abs(moved - first).max() > 1e-3


@pytest.mark.parametrize("ratio", (0.0, 1.0, 0.99))
def test_a_mask_of_nothing_or_everything_is_refused(ratio):
    with pytest.raises(ValueError, match="at least one must be visible and one hidden"):
        make("MAE", mask_ratio=ratio)


def test_an_encoder_without_tokens_is_refused():
    with pytest.raises(ValueError, match="Use an encoder with the token interface"):
        kerassl.methods.MAE(tiny_encoder())


def test_the_whole_image_is_embedded_in_evaluation():
    model = kerassl.methods.MAE(tiny_vit(), decoder_dim=8, decoder_depth=1, decoder_num_heads=2)
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3)).astype("uint8")
    expected = model.encoder(model.views.preprocess(images))
    np.testing.assert_allclose(numpy(model(images)), numpy(expected), atol=1e-6)
