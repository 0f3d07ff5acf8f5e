import keras
import numpy as np
import pytest

import kerassl
from kerassl.classifiers import ClassMeans, NearestMean


def features(seed=0, n=60, dim=6):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, n)
    return (3 * np.eye(4, dim)[labels] + rng.normal(size=(n, dim))).astype("float32"), labels


@pytest.mark.parametrize("seed", (0, 1, 2))
@pytest.mark.parametrize("transform", ("l2", "none", "centered_l2"))
def test_parts_merged_equal_the_whole_to_the_bit(seed, transform):
    x, labels = features(seed)
    center = x.mean(axis=0) if transform == "centered_l2" else None
    make = lambda: ClassMeans(6, transform, center)  # noqa: E731
    whole = make().add(x, labels)
    order = np.random.default_rng(seed).permutation(60)
    federated = [make().add(x[part], labels[part]) for part in np.array_split(order, 5)]
    merged = federated[3].merged(*federated[:3], federated[4])
    incremental = make()
    for part in np.array_split(order[::-1], 7):
        incremental.add(x[part], labels[part])
    for other in (merged, incremental):
        np.testing.assert_array_equal(other.means, whole.means)
        np.testing.assert_array_equal(other.counts, whole.counts)
        np.testing.assert_array_equal(other.predict(x), whole.predict(x))


def test_means_and_logits_are_the_formula():
    x, labels = features()
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    means = np.array([unit[labels == c].mean(axis=0) for c in range(4)])
    found = ClassMeans(6).add(x, labels)
    np.testing.assert_allclose(found.means, means, atol=1e-6)
    distances = np.sum((unit[:, None] - means[None]) ** 2, axis=-1)
    np.testing.assert_allclose(found.logits(x), -distances, atol=1e-5)
    np.testing.assert_array_equal(found.predict(x), distances.argmin(axis=1))
    # The softmax of two equally near means.
    two = ClassMeans(1, "none").add(np.array([[0.0], [2.0]]), np.array([0, 1]))
    log_p = two.logits(np.array([[1.0]]))
    assert float(np.log(np.exp(log_p).sum()) - log_p[0, 0]) == pytest.approx(np.log(2))


def test_invariances_of_the_transforms():
    x, labels = features()
    scales = np.random.default_rng(1).uniform(0.5, 2, (60, 1)).astype("float32")
    l2 = ClassMeans(6).add(x, labels)
    np.testing.assert_allclose(ClassMeans(6).add(scales * x, labels).means, l2.means, atol=1e-6)
    centered = ClassMeans(6, "centered_l2", np.zeros(6)).add(x, labels)
    np.testing.assert_array_equal(centered.means, l2.means)
    shift = np.arange(6, dtype="float32")
    one = ClassMeans(6, "centered_l2", x.mean(axis=0)).add(x, labels)
    other = ClassMeans(6, "centered_l2", (x + shift).mean(axis=0)).add(x + shift, labels)
    np.testing.assert_allclose(other.means, one.means, atol=1e-5)


def test_new_classes_may_come_later_and_unlabeled_rows_count_for_nothing():
    x, labels = features()
    means = ClassMeans(6).add(x[labels < 2], labels[labels < 2])
    assert means.classes.tolist() == [0, 1]
    means.add(
        np.concatenate([x, x]), np.concatenate([np.where(labels < 2, -1, labels + 100), np.full(60, -1)])
    )
    assert means.classes.tolist() == [0, 1, 102, 103]
    assert means.counts.sum() == 60


def pictures(n=24, seed=0):
    """Classes are bright in one corner."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    images = rng.integers(0, 40, (n, 16, 16, 3))
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(label, 2)
        image[8 * row : 8 * row + 8, 8 * column : 8 * column + 8] += 200
    return images.astype("uint8"), labels


def encoder(pool=True):
    """Means of the four quarters in three channels, and their places."""
    inputs = keras.Input((16, 16, 3))
    place = np.zeros((1, 16, 16, 4), "float32")
    for quarter in range(4):
        row, column = divmod(quarter, 2)
        place[0, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8, quarter] = 1 / 255

    @keras.saving.register_keras_serializable("tests")
    class Places(keras.layers.Layer):
        def call(self, x):
            return keras.ops.mean(keras.ops.cast(x, "float32"), axis=-1, keepdims=True) * place

    x = keras.layers.AveragePooling2D(4)(Places()(inputs))
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x) if pool else x)


@pytest.mark.parametrize("pool", (True, False))
@pytest.mark.parametrize("transform", ("none", "l2", "centered_l2"))
def test_images_are_classified_and_explained(pool, transform, tmp_path):
    images, labels = pictures()
    classifier = (
        NearestMean(encoder(pool), transform).add(images[:12], labels[:12]).add(images[12:18], labels[12:18])
    )
    np.testing.assert_array_equal(classifier.predict(images[18:]), labels[18:])
    shown = classifier.pictures()
    assert shown.shape == (3, 16, 16, 3)
    for label in range(3):
        assert any(np.array_equal(shown[label], image) for image in images[:18][labels[:18] == label])

    explanation = classifier.explain(images[20], count=2)
    assert explanation.predicted == labels[20] == 2 and explanation.classes[0] == 2
    assert explanation.similarities[0] > explanation.similarities[1]
    np.testing.assert_array_equal(explanation.prototypes[0], shown[2])
    # All of a map is the product of feature and mean; it is largest in the bright corner.
    features = classifier.means.transformed(kerassl.embed(classifier.encoder, images[20:21])[0])
    products = features[0] @ classifier.means.means[explanation.classes].T
    np.testing.assert_allclose(explanation.maps.sum(axis=(1, 2)), products, atol=1e-4)
    row, column = np.unravel_index(explanation.maps[0].argmax(), (4, 4))
    assert row >= 2 and column < 2
    path = explanation.save(tmp_path / "why.png", size=32)
    assert path.read_bytes()[:4] == b"\x89PNG" and explanation.picture(32).shape == (94, 104, 3)
    assert explanation.summary(("a", "b", "c")).startswith("c (")


def test_a_network_that_does_not_tell_places_apart_has_no_maps():
    images, labels = pictures()
    flat = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Flatten(), keras.layers.Dense(4)])
    explanation = NearestMean(flat, "l2").add(images, labels).explain(images[0])
    assert explanation.maps is None and explanation.picture(16).shape == (62, 76, 3)


def test_a_method_preprocesses_by_itself():
    images, labels = pictures()
    model = kerassl.methods.SimCLR(
        kerassl.backbones.ResNet((16, 16, 3), depths=(1,), width=4, stem="small"), views="simclr_cifar"
    )
    explanation = NearestMean(model).add(images, labels).explain(images[0])
    assert explanation.maps.shape == (3, 16, 16) and np.isfinite(explanation.maps).all()


def test_bad_input():
    x, labels = features()
    with pytest.raises(ValueError, match="transform='cl2n' is unknown"):
        ClassMeans(6, "cl2n")
    with pytest.raises(ValueError, match="needs center="):
        ClassMeans(6, "centered_l2")
    with pytest.raises(ValueError, match="must have 5 dimensions, got 6"):
        ClassMeans(5).add(x, labels)
    with pytest.raises(ValueError, match="No class has been seen"):
        ClassMeans(6).predict(x)
    with pytest.raises(ValueError, match="too large to be summed exactly"):
        ClassMeans(6, "none").add(x * 1e5, labels)
    with pytest.raises(ValueError, match="width, transform and center"):
        ClassMeans(6).merged(ClassMeans(6, "none"))
    with pytest.raises(ValueError, match="needs labels"):
        NearestMean(encoder()).add(pictures()[0])
    with pytest.raises(ValueError, match="No class has been seen"):
        NearestMean(encoder()).predict(pictures()[0])
