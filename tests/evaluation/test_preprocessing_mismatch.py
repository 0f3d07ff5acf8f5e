import warnings

import keras
import numpy as np
import pytest

import kerassl
from kerassl.data.image.decode import resize_and_crop_all
from kerassl.evaluation import embed, knn_accuracy, preprocessing_mismatch, training_preprocessing
from kerassl.views import InputFormat

pytestmark = pytest.mark.backends("tensorflow", "torch")  # No backend in it.
SIZE = 16


def network(seed=0):
    keras.utils.set_random_seed(seed)
    encoder = kerassl.backbones.ResNet((SIZE, SIZE, 1), depths=(1,), width=4, stem="small")
    return kerassl.methods.SimCLR(encoder, views="digits", projection_dim=8)


def pictures(count=60, size=SIZE, seed=0):
    images = np.random.default_rng(seed).integers(0, 256, (count, 6, 6, 1)).astype("uint8")
    return resize_and_crop_all(images, (size, size)), np.arange(count) % 3


@pytest.fixture(scope="module")
def trained():
    model = network()
    model.compile(keras.optimizers.SGD(0.0))
    model.fit(pictures()[0], verbose=0)
    return model


def test_the_record_travels_with_the_encoder(trained, tmp_path):
    assert training_preprocessing(network()).images is None
    known = training_preprocessing(trained)
    assert known.images == InputFormat((SIZE, SIZE), 1, "0 to 255") and known.size == (SIZE, SIZE)
    assert known.mean == (0.305,) and known.std == (0.376,)
    path = trained.export_encoder(tmp_path / "encoder", format="keras")
    assert training_preprocessing(path) == training_preprocessing(keras.models.load_model(path)) == known
    trained.save(tmp_path / "model.keras")
    assert training_preprocessing(keras.models.load_model(tmp_path / "model.keras")) == known
    plain = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten()])
    plain.save(tmp_path / "plain.keras")
    assert training_preprocessing(plain) is None and training_preprocessing(tmp_path / "plain.keras") is None


def test_loading_says_how_it_resized():
    train, _, _ = kerassl.data.load("digits", image_size=12, limit_train=20)
    assert "center crop" in train.resize
    assert kerassl.data.load("digits", limit_train=20)[0].resize is None
    model = network()
    model.compile(keras.optimizers.SGD(0.0))
    model.fit(train, verbose=0)
    assert training_preprocessing(model).images == InputFormat((12, 12), 1, "0 to 255", train.resize)


def test_the_same_preprocessing_is_no_mismatch(trained):
    images, labels = pictures(seed=1)
    assert preprocessing_mismatch(trained, images, labels) is None
    assert preprocessing_mismatch(trained, images.astype("float32"), labels) is None
    assert preprocessing_mismatch(network(), images / 255) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        embed(trained, (images, labels))


def test_a_mismatch_says_what_differs_and_its_numbers_are_those_of_both(trained):
    images, labels = pictures(seed=1)
    gap = preprocessing_mismatch(trained, images / 255, labels)
    assert gap.differences == ("the values are 0 to 1, those of training were 0 to 255",)
    scores, parts = [], []
    for given in (images / 255, images):
        features = trained.predict(np.asarray(given, "float32"), verbose=0)
        scores.append(knn_accuracy(features[::2], labels[::2], features[1::2], labels[1::2], 5))
        parts.append(features - features.mean(0))
    assert (gap.knn, gap.knn_as_trained) == pytest.approx(tuple(scores))
    cosines = np.sum(parts[0] * parts[1], 1) / np.prod([np.linalg.norm(p, axis=1) for p in parts], axis=0)
    assert gap.cosine == pytest.approx(cosines.mean(), abs=1e-4) and gap.images == 60
    assert preprocessing_mismatch(trained, images[:10], labels[:10]) is None
    small = preprocessing_mismatch(trained, pictures(60, 24)[0], -np.ones(60, int))
    assert small.differences == ("the images are 24 x 24 pixels, those of training were 16 x 16",)
    assert small.knn is None and "nearest" not in str(small)
    lost = preprocessing_mismatch(trained, pictures(60, 8)[0], labels)
    assert lost.differences[1] == "smaller images have lost what the numbers here cannot show"
    shown = preprocessing_mismatch(trained, pictures(60, 8, 1)[0], labels, as_trained=images)
    assert len(shown.differences) == 1 and shown.knn_as_trained == gap.knn_as_trained


def test_images_that_were_normalized_already_are_undone_for_the_comparison(trained):
    images, labels = pictures(seed=1)
    normalized = (images / 255 - 0.305) / 0.376
    gap = preprocessing_mismatch(trained, normalized, labels)
    assert gap.differences == ("the values are normalized, those of training were 0 to 255",)
    features = trained.predict(images, verbose=0)
    expected = knn_accuracy(features[::2], labels[::2], features[1::2], labels[1::2], 5)
    assert gap.knn_as_trained == pytest.approx(float(expected))


def test_an_evaluation_is_warned_about_once(trained, tmp_path):
    encoder = keras.models.load_model(trained.export_encoder(tmp_path / "encoder", format="keras"))
    images, labels = pictures(size=24)
    with pytest.warns(UserWarning, match="24 x 24 pixels, those of training were 16 x 16") as caught:
        embed(encoder, (images, labels))
        embed(encoder, images)
        embed(encoder, [(images[:8], labels[:8])])
        # Labels of any kind come back as they are, and are no reason to fail.
        other = pictures(size=20)[0]
        assert embed(encoder, (other, labels / 2))[1].tolist() == (labels / 2).tolist()
    assert len([w for w in caught if "24 x 24 pixels" in str(w.message)]) == 1
    with pytest.warns(UserWarning, match="the values are 0 to 1"):
        embed(encoder, ((images[i : i + 20] / 255, labels[i : i + 20]) for i in (0, 20)))


def test_images_of_another_scale_are_compared_on_that_scale(tmp_path):
    """Those of training pass in silence; others are brought to its scale, not to bytes."""
    images = pictures()[0].astype("float32") * np.float32(40 / 255)
    encoder = network().encoder
    views = kerassl.views.preset("digits", SIZE, channels=1, value_range=(0, 40))
    model = kerassl.methods.SimCLR(encoder, views=views, projection_dim=8)
    model.compile(keras.optimizers.SGD(0.0))
    model.fit(images, verbose=0)
    exported = keras.models.load_model(model.export_encoder(tmp_path / "encoder", format="keras"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        embed(exported, images)
    assert not [w for w in caught if w.category is UserWarning]
    assert preprocessing_mismatch(exported, images) is None
    gap = preprocessing_mismatch(exported, images / 40, as_trained=images)
    assert gap.differences == ("the values are 0 to 1, those of training were 0 to 40",)
    assert preprocessing_mismatch(exported, images / 40).cosine == pytest.approx(gap.cosine, abs=1e-4)
    with pytest.warns(UserWarning, match=r"takes images in \[0, 40\]; got floats in \[0, 1\].* Rescale them"):
        exported.predict(images / 40, verbose=0)


@pytest.mark.backends("torch")  # A short training, as on every backend.
def test_resizing_and_normalization_matter_as_much_as_the_probe_says():
    """As in arXiv 2305.13456: the same encoder and images, another preprocessing, many points fewer."""
    train, test, _ = kerassl.data.load("digits", image_size=SIZE, batch_size=64, limit_train=512)
    keras.utils.set_random_seed(0)
    encoder = kerassl.backbones.ResNet(
        (SIZE, SIZE, 1), depths=(1, 1), width=8, stem="small", zero_init_residual=False
    )
    model = kerassl.methods.SimCLR(encoder, views="digits", projection_dim=16, temperature=0.2)
    model.compile(kerassl.optimizers.AdamW(3e-3))
    model.fit(train, epochs=4, verbose=0)
    bank, features = embed(model, train)[0], embed(model, test)[0]
    whole = knn_accuracy(bank, train.labels, features, test.labels, 5)
    spoilt = (lambda x: x / 255, 0.2), (lambda x: resize_and_crop_all(x, (4, 4)), 0.05)
    for spoil, least in spoilt:
        images = spoil(test.images)
        gap = preprocessing_mismatch(model, images, test.labels, as_trained=test.images)
        lost = gap.knn_as_trained - gap.knn
        assert lost > least and gap.cosine < 0.8, str(gap)
        assert f"{100 * gap.knn:.1f} % as the images come, {100 * gap.knn_as_trained:.1f} %" in str(gap)
        with pytest.warns(UserWarning, match=f"otherwise than training did: {gap.differences[0]}"):
            bank, features = embed(model, spoil(train.images))[0], embed(model, images)[0]
        # What a probe of a few hundred images says is about what the whole evaluation loses.
        assert whole - knn_accuracy(bank, train.labels, features, test.labels, 5) == pytest.approx(
            lost, abs=0.15
        )
