import keras
import numpy as np
import pytest
from tiny import images, labels, make, ready_views, terms_and_rest, tiny_encoder, tiny_vit

import kerassl
from kerassl.distillation import FurtherPretraining

pytestmark = pytest.mark.backends("torch")

TINY = {
    "FurtherPretraining": {"teacher": "MAE", "sizes": (16,), "with": "permutation"},
}


def numpy(x):
    return keras.ops.convert_to_numpy(keras.ops.stop_gradient(x))


def masked_autoencoder(seed, **kwargs):
    return make("MAE", weights_seed=seed, **kwargs)


def test_the_terms_are_those_of_mae_and_the_distance_of_class_tokens():
    # The class token counts even where the features are the mean of the patches.
    start = kerassl.methods.MAE(tiny_vit(pool="mean"), decoder_dim=16, decoder_depth=1, decoder_num_heads=2)
    model = FurtherPretraining(masked_autoencoder(1), start, views=None)
    view, permutation = ready_views("MAE")
    terms, rest = terms_and_rest(model, (view, permutation))
    assert list(terms) == ["masked_mse", "feature_distance"]
    plain, _ = terms_and_rest(start, (view, permutation))
    assert float(terms["masked_mse"]) == pytest.approx(float(plain["masked_mse"]), rel=1e-6)
    s, t = (
        numpy(network.encode_tokens(network.embed_patches(view)))[:, 0].astype("float64")
        for network in (start.encoder, model.teacher.network)
    )
    expected = np.mean([np.sum((a - b) ** 2) for a, b in zip(s, t, strict=True)])
    assert float(terms["feature_distance"]) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(numpy(rest["features"]), numpy(start.encoder(view)), atol=1e-5)


def test_a_student_that_is_its_teacher_has_the_loss_of_mae_left():
    start = masked_autoencoder(0)
    model = FurtherPretraining(start, start, views=None)
    terms, _ = terms_and_rest(model, ready_views("MAE"))
    assert float(terms["feature_distance"]) == pytest.approx(0, abs=1e-8)


def test_the_student_restarts_and_the_teacher_stays(tmp_path):
    start, further = masked_autoencoder(0, decoder_depth=2), masked_autoencoder(1)
    model = FurtherPretraining(further, start, num_classes=3)
    assert model.arguments.decoder_depth == 2
    for mine, its in ((model.encoder, start.encoder), (model.decoder, start.decoder)):
        for a, b in zip(mine.get_weights(), its.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    assert model.teacher.preprocess is not None
    model.compile(kerassl.optimizers.AdamW(1e-2))
    before = model.teacher.get_weights()
    history = model.fit(images(), labels(), batch_size=8, epochs=2, verbose=0).history
    assert history["loss"][1] < history["loss"][0] and "probe_accuracy" in history
    for old, new in zip(before, model.teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for each in (model, loaded):
        each.fit(images(), labels(), batch_size=8, epochs=3, initial_epoch=2, verbose=0)
    for a, b in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(numpy(a), numpy(b), err_msg=a.path)


def test_a_teacher_that_does_not_fit_is_named():
    wide = kerassl.backbones.vit((16, 16, 3), patch_size=4, hidden_dim=32, depth=1, num_heads=2)
    for teacher, width in ((wide, 32), (tiny_encoder(4), 16)):
        with pytest.raises(ValueError, match=f"gives features of width {width}; it must be a ViT"):
            FurtherPretraining(teacher, masked_autoencoder(0))
