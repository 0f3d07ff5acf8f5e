"""What a protocol fits comes from the training part alone, and the encoder stays as it is."""

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import kerassl
from kerassl.evaluation import (
    PROTOCOLS,
    embed,
    evaluate_features,
    linear_probe,
    ood_detection,
    report,
)

# Protocols are NumPy.
pytestmark = pytest.mark.backends("torch")
CLASSES = 3
# The mean over test images of something that each has by itself.
ADDITIVE = (
    "few_shot", "knn", "linear", "linear_sgd", "linear_1pct", "linear_10pct", "naive_bayes", "retrieval",
)  # fmt: skip
OF_THE_TEST_PART = ("episodes", "transductive", "clustering", "tolerance")
# Of the test features as a whole, and of no labels.
WITHOUT_LABELS = ("rankme", "alpha_req", "uniformity")


def part(count, seed):
    """Features that classes explain in part, with another mean and scale for each part of the data."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % CLASSES)
    features = np.eye(CLASSES, 5)[labels] + 0.6 * rng.normal(size=(count, 5))
    return (1 + 0.3 * seed) * features.astype("float32") + np.float32(0.5 * seed), labels


TRAIN, FIRST, SECOND = part(60, 0), part(24, 1), part(18, 2)
BOTH = tuple(np.concatenate(parts) for parts in zip(FIRST, SECOND, strict=True))


def score(protocol, features, labels):
    """The numbers of a protocol, means without deviations."""
    options = {"k": 5, "shots": (1,), "draws": 4, "protocols": (protocol,)}
    row = evaluate_features(*TRAIN, features, labels, **options)
    return np.array([value[0] if isinstance(value, tuple) else value for value in row.values()])


@pytest.mark.parametrize("protocol", ADDITIVE)
def test_images_added_do_not_change_the_scores_of_others(protocol):
    """Statistics of the test part, or a choice by its scores, would make the whole differ from its parts."""
    for labels in (BOTH[1], np.random.default_rng(0).permutation(BOTH[1])):
        whole = score(protocol, BOTH[0], labels)
        parts = (score(protocol, BOTH[0][s], labels[s]) for s in (slice(24), slice(24, None)))
        expected = sum(n * value for n, value in zip((24, 18), parts, strict=True)) / 42
        np.testing.assert_allclose(whole, expected, rtol=1e-9)


@pytest.mark.parametrize("protocol", [name for name in ADDITIVE if name != "retrieval"])
def test_labels_of_the_test_part_do_not_change_what_is_predicted(protocol):
    """One class is predicted for each image, whichever the labels say: the accuracies sum to one."""
    each = [score(protocol, BOTH[0], np.full(42, label)) for label in range(CLASSES)]
    np.testing.assert_allclose(sum(each), 1, rtol=1e-9)
    assert max(value[0] for value in each) < 0.8


@pytest.mark.parametrize("protocol", [name for name in PROTOCOLS if name not in WITHOUT_LABELS])
def test_unlabeled_test_images_change_nothing(protocol):
    more = np.concatenate([BOTH[0], 9 + SECOND[0]]), np.concatenate([BOTH[1], np.full(18, -1)])
    np.testing.assert_allclose(score(protocol, *more), score(protocol, *BOTH), rtol=1e-9)


@pytest.mark.parametrize("protocol", WITHOUT_LABELS)
def test_spectra_do_not_look_at_labels(protocol):
    shuffled = np.random.default_rng(0).permutation(BOTH[1])
    np.testing.assert_array_equal(score(protocol, *BOTH), score(protocol, BOTH[0], shuffled))


def test_labels_that_are_missing_are_asked_for():
    with pytest.raises(ValueError, match="knn needs train_labels; protocols without: rankme, alpha_req"):
        evaluate_features(TRAIN[0], None, *FIRST, protocols=("rankme", "knn"))
    assert set(evaluate_features(TRAIN[0], None, FIRST[0], None, protocols=("rankme",))) == {"RankMe"}


def test_every_protocol_is_looked_at():
    assert {*ADDITIVE, *WITHOUT_LABELS, *OF_THE_TEST_PART} == set(PROTOCOLS)


def test_foreign_images_do_not_change_the_scores_of_others():
    foreign = [3 - features for features, _ in (FIRST, SECOND)]
    found = [ood_detection(TRAIN[0], BOTH[0], part, TRAIN[1], k=5) for part in foreign]
    whole = ood_detection(TRAIN[0], BOTH[0], np.concatenate(foreign), TRAIN[1], k=5)
    # The share of pairs, and the share of foreign images that pass.
    for name, value in whole.items():
        assert value == pytest.approx((24 * found[0][name] + 18 * found[1][name]) / 42), name
    first, second = (ood_detection(TRAIN[0], part, foreign[0], TRAIN[1], k=5) for part, _ in (FIRST, SECOND))
    whole = ood_detection(TRAIN[0], BOTH[0], foreign[0], TRAIN[1], k=5)
    for name in (name for name in whole if name.endswith("AUROC")):
        assert whole[name] == pytest.approx((24 * first[name] + 18 * second[name]) / 42), name


def test_statistics_of_the_encoder_do_not_move():
    keras.utils.set_random_seed(0)
    train, test, info = kerassl.data.load("digits", limit_train=60, limit_test=40)
    encoder = kerassl.backbones.ResNet(info.image_shape, depths=(1,), width=4, stem="small")
    model = kerassl.methods.SimCLR(encoder, views="digits")
    before = [np.copy(weight) for weight in model.get_weights()]
    assert any("moving" in weight.path for weight in encoder.weights)
    # Whatever the protocol, it is given features, which come of this; test_embed.py looks at all backends.
    report(train, test, {"encoder": model}, protocols=("knn", "rankme"))
    embed(model, test.images)
    for mine, its in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, its)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_linear_probe_is_scikit_learns_logistic_regression(seed):
    from sklearn.datasets import load_digits

    features, labels = load_digits(return_X_y=True)
    features = (features + np.random.default_rng(seed).normal(size=features.shape)).astype("float32")
    order = np.random.default_rng(seed).permutation(len(labels))
    train, test = order[:1000], order[1000:]
    theirs = make_pipeline(StandardScaler(), LogisticRegression(C=1 / (1e-3 * 1000), max_iter=1000))
    expected = theirs.fit(features[train].astype("float64"), labels[train]).score(
        features[test], labels[test]
    )
    found = linear_probe(features[train], labels[train], features[test], labels[test])
    assert abs(found - expected) <= 0.002
