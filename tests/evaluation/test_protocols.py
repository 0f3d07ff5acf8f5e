import numpy as np
import pytest
from sklearn.metrics import average_precision_score, normalized_mutual_info_score
from sklearn.naive_bayes import GaussianNB

from kerassl.evaluation import (
    cluster_scores,
    clustering_agreement,
    linear_probe,
    naive_bayes_probe,
    retrieval_map,
    sgd_probe,
)
from kerassl.evaluation.sgd_probe import LEARNING_RATES


def blobs(count=60, classes=4, dim=6, spread=1.0, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    centres = 3 * np.random.default_rng(99).normal(size=(classes, dim))
    return centres[labels] + spread * rng.normal(size=(count, dim)), labels


def test_naive_bayes_with_one_variance_and_equal_priors_is_the_nearest_mean():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(40, 3))
    noise -= noise.mean(0)
    noise /= noise.std(0)
    means = np.array([[0, 0, 0], [3, 1, 0], [0, 2, 2]])
    train, labels = np.concatenate([m + noise for m in means]), np.repeat([4, 7, 9], 40)
    test = 2 * rng.normal(size=(200, 3)) + 1
    nearest = np.array([4, 7, 9])[((test[:, None] - means) ** 2).sum(-1).argmin(1)]
    assert naive_bayes_probe(train, labels, test, nearest) == 1.0


def test_naive_bayes_is_linear_free_of_scale_and_near_scikit_learns():
    train, labels = blobs(300)
    test, test_labels = blobs(400, spread=2.0, seed=1)
    accuracy = naive_bayes_probe(train, labels, test, test_labels)
    scale = np.array([1e3, 1e-2, 1, 5, 0.1, 30])
    assert naive_bayes_probe(train * scale + 5, labels, test * scale + 5, test_labels) == accuracy
    # Theirs has a variance for each class.
    assert accuracy == pytest.approx(GaussianNB().fit(train, labels).score(test, test_labels), abs=0.03)
    half = np.where(np.arange(300) < 150, labels, -1)
    assert naive_bayes_probe(train, half, test, test_labels) == naive_bayes_probe(
        train[:150], labels[:150], test, test_labels
    )
    with pytest.raises(ValueError, match="at least two classes; got class 3 alone"):
        naive_bayes_probe(train, np.full(300, 3), test, test_labels)


def test_sgd_with_one_batch_is_gradient_descent_by_hand():
    features, labels = blobs(30)
    test, test_labels = blobs(50, seed=1)
    x = (features - features.mean(0)) / features.std(0)
    kernel, bias, speed = np.zeros((6, 4)), np.zeros(4), [0.0, 0.0]
    for step in range(7):
        p = np.exp(x @ kernel + bias)
        error = p / p.sum(1, keepdims=True) - np.eye(4)[labels]
        rate = 0.3 * 30 / 256 * (0.5 + 0.5 * np.cos(np.pi * step / 7))
        speed = [0.9 * speed[0] + x.T @ error / 30 + 0.01 * kernel, 0.9 * speed[1] + error.mean(0)]
        kernel, bias = kernel - rate * speed[0], bias - rate * speed[1]
    scaled = (test - features.mean(0)) / features.std(0)
    predicted = (scaled @ kernel + bias).argmax(1)
    found = sgd_probe(
        features, labels, test, predicted, learning_rates=(0.3,), epochs=7, batch_size=64, weight_decay=0.01
    )
    assert found.accuracy == 1.0 and found.learning_rate == pytest.approx(0.3)
    assert sgd_probe(features, labels, test, test_labels, (0.3,), 7, 64).accuracy > 0.5


def test_the_rate_is_chosen_without_the_test_labels_and_reaches_the_optimum():
    train, labels = blobs(400, spread=2.0)
    test, test_labels = blobs(400, spread=2.0, seed=1)
    found = sgd_probe(train, labels, test, test_labels, epochs=20, batch_size=32)
    assert found.accuracy == pytest.approx(linear_probe(train, labels, test, test_labels), abs=0.03)
    assert found.learning_rate in LEARNING_RATES
    shuffled = np.random.default_rng(0).permutation(test_labels)
    assert sgd_probe(train, labels, test, shuffled, epochs=20, batch_size=32)[1] == found.learning_rate
    with pytest.raises(ValueError, match="learning_rates must be a list or tuple of positive numbers"):
        sgd_probe(train, labels, test, test_labels, learning_rates=())


def test_clusters_of_separate_blobs_are_the_classes_whatever_their_names():
    features, labels = blobs(spread=0.1)
    assert cluster_scores(features, labels * 3 + 2) == (1.0, 1.0, 1.0)
    unlabeled = np.where(np.arange(60) < 50, labels, -1)
    assert cluster_scores(features, unlabeled) == (1.0, 1.0, 1.0)
    assert cluster_scores(features, labels, seed=3) == cluster_scores(features, labels, seed=3)


def test_more_clusters_than_features_are_refused():
    with pytest.raises(ValueError, match="num_clusters must be a whole number between 1 and 60; got 61"):
        cluster_scores(*blobs(), num_clusters=61)


def test_agreement_in_closed_form():
    labels, clusters = np.repeat([0, 1], 4), np.array([5, 5, 5, 2, 2, 2, 2, 5])
    scores = clustering_agreement(clusters, labels)
    assert scores.accuracy == 0.75
    p = np.array([3, 1, 1, 3]) / 8
    mutual = np.sum(p * np.log(p / 0.25))
    assert scores.nmi == pytest.approx(mutual / np.log(2), rel=1e-6)
    assert scores.nmi == pytest.approx(normalized_mutual_info_score(labels, clusters), rel=1e-9)
    # Pairs: 12 in a class, 12 in a cluster, 6 in both, of 28; 12 * 12 / 28 by chance.
    chance = 12 * 12 / 28
    assert scores.ari == pytest.approx((6 - chance) / (12 - chance), rel=1e-6)
    assert clustering_agreement(np.zeros(8, int), labels)[:2] == (0.0, 0.0)


def test_retrieval_is_the_mean_of_average_precisions():
    bank, bank_labels = blobs(80)
    queries, labels = blobs(20, spread=2.0, seed=5)
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (bank, queries)]
    each = [
        average_precision_score(bank_labels == label, unit[0] @ query)
        for query, label in zip(unit[1], labels, strict=True)
    ]
    assert retrieval_map(bank, bank_labels, queries, labels) == pytest.approx(np.mean(each), abs=1e-6)
    assert retrieval_map(5 * bank, bank_labels, 0.1 * queries, labels) == pytest.approx(
        np.mean(each), abs=1e-6
    )


def test_retrieval_at_a_rank_and_of_classes_that_the_bank_lacks():
    bank, bank_labels = np.array([[1.0, 0.0], [0.9, 0.1], [0.5, 0.5], [0.0, 1.0]]), np.array([0, 1, 0, 0])
    query = np.array([[1.0, 0.0]])
    assert retrieval_map(bank, bank_labels, query, np.array([0]), at=1) == 1.0
    assert retrieval_map(bank, bank_labels, query, np.array([0]), at=2) == pytest.approx(0.5)
    assert retrieval_map(bank, bank_labels, query, np.array([0])) == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    both = np.concatenate([query, query])
    assert retrieval_map(bank, bank_labels, both, np.array([0, 8]), at=1) == 1.0
    with pytest.raises(ValueError, match="bank_labels hold none of the classes in labels"):
        retrieval_map(bank, bank_labels, query, np.array([8]))
    with pytest.raises(ValueError, match="at must be a whole number of at least 1; got 0"):
        retrieval_map(bank, bank_labels, query, np.array([0]), at=0)
