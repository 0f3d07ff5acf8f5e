import keras
import numpy as np
import pytest

from kerassl.evaluation import DIAGNOSTICS, diagnose, embed, find_collapse
from kerassl.evaluation.collapse import group_gap

DIM = 24


def encoder(weights, bias=0.0):
    """A linear encoder of 6 x 6 pixels."""
    dense = keras.layers.Dense(DIM)
    model = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Flatten(), dense])
    dense.set_weights([np.asarray(weights, "float32"), np.full(DIM, bias, "float32")])
    return model


def of_rank(rank, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(36, rank)) @ rng.normal(size=(rank, DIM)) / 6


def features_of(model, seed=0):
    return embed(model, np.random.default_rng(seed).normal(size=(300, 6, 6, 1)).astype("float32"))[0]


@pytest.mark.parametrize("seed", range(3))
def test_an_encoder_that_fills_its_space_is_healthy(seed):
    found = find_collapse(features_of(encoder(of_rank(DIM, seed)), seed))
    assert found.kind is None and str(found) == "no collapse"
    assert found.numerical_rank == found.largest_rank == DIM and found.feature_std > 0.8


def test_a_constant_encoder_has_collapsed_completely():
    found = find_collapse(features_of(encoder(1e-6 * of_rank(DIM), bias=1.0)))
    assert found.kind == "complete" and found.feature_std < 1e-5
    assert "every image gets nearly the same embedding: feature_std is" in str(found)
    assert find_collapse(np.zeros((5, 3))).kind == "complete"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rank", (2, 8))
def test_an_encoder_of_low_rank_has_collapsed_dimensionally(rank, seed):
    features = features_of(encoder(of_rank(rank, seed)), seed)
    found = find_collapse(features)
    assert (found.kind, found.numerical_rank) == ("dimensional", rank)
    assert f"the embeddings fill {rank} of 24 directions, less than 50%" in str(found)
    assert diagnose(features, ["rankme"])["rankme"] <= rank + 0.01


def test_a_line_of_embeddings_is_dimensional_and_two_points_are_clusters():
    # Off the origin: after normalization the features of an encoder of rank 1 lie on an arc.
    assert find_collapse(features_of(encoder(of_rank(1), bias=1.0))).kind == "dimensional"
    # Through the origin they become two points.
    assert find_collapse(features_of(encoder(of_rank(1)))).kind == "cluster"


@pytest.mark.parametrize("clusters", (3, 10))
def test_few_points_are_clusters_however_their_noise_fills_the_space(clusters):
    rng = np.random.default_rng(clusters)
    points = rng.normal(size=(clusters, DIM))[np.arange(300) % clusters]
    tight = find_collapse(points + 0.01 * rng.normal(size=points.shape))
    assert tight.kind == "cluster" and tight.numerical_rank == DIM
    assert "the embeddings fall to a few points" in str(tight)
    # Classes that are merely well separated are what one hopes for.
    assert find_collapse(points + 0.3 * rng.normal(size=points.shape)).kind is None


@pytest.mark.parametrize("chunk", (7, 1024))
def test_the_gap_is_a_median_over_images_by_loop(chunk):
    unit = np.random.default_rng(0).normal(size=(41, 5))
    ratios = []
    for a in unit:
        distances = sorted(np.linalg.norm(a - b) for b in unit)[5:]
        ratios.append(max(far / near for near, far in zip(distances, distances[1:], strict=False)))
    assert group_gap(unit, chunk) == pytest.approx(np.median(ratios), rel=1e-6)
    assert group_gap(np.ones((30, 4))) == 1.0 and group_gap(unit[:6]) == 1.0


def test_images_that_are_in_the_data_twice_are_no_clusters():
    features = np.random.default_rng(0).normal(size=(150, DIM))
    assert find_collapse(np.concatenate([features, features])).kind is None


def test_diagnose_names_what_it_needs_and_leaves_unlabeled_images_out():
    features = np.random.default_rng(0).normal(size=(20, 4))
    labels = np.arange(20) % 3 - 1
    views = np.stack([features, features[::-1]], axis=1)
    found = diagnose(features, DIAGNOSTICS, views, labels)
    assert tuple(found) == DIAGNOSTICS and all(np.isfinite(v) for v in found.values())
    known = labels >= 0
    assert found["tolerance"] == diagnose(features[known], ["tolerance"], labels=labels[known])["tolerance"]
    assert np.isnan(diagnose(np.ones((9, 4)), ["alpha_req"])["alpha_req"])
    with pytest.raises(ValueError, match="lidar needs views="):
        diagnose(features, ["lidar"])
    with pytest.raises(ValueError, match="tolerance needs labels="):
        diagnose(features, ["tolerance"])
    with pytest.raises(ValueError, match="there is no diagnostic 'rankm'; known: rankme"):
        diagnose(features, ["rankm"])
    with pytest.raises(ValueError, match="two images or more for a collapse to show; got 1"):
        find_collapse(features[:1])
