"""Every public function of `kerassl.evaluation` with bad arguments: each error names its argument."""

import keras
import numpy as np
import pytest

import kerassl
from kerassl import evaluation

RNG = np.random.default_rng(0)
FEATURES, LABELS = RNG.normal(size=(12, 4)), np.arange(12) % 3
IMAGES = RNG.integers(0, 255, (12, 8, 8, 3)).astype("uint8")
PATCHES, MASKS = RNG.normal(size=(2, 2, 2, 4)), np.array([[[0, 1], [1, 2]]] * 2)
ENCODER = kerassl.backbones.ViT((8, 8, 3), 4, hidden_dim=8, depth=1, num_heads=2)
PIXELS = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
NAN = np.where(np.arange(4) > 2, np.nan, FEATURES)

# What is bad for each kind of argument.
NOT_NUMBERS = (None, "text", [np.zeros(3), np.zeros(4)], {"a": 1})
BAD = {
    "features": (*NOT_NUMBERS, [], np.zeros(4), np.zeros((2, 3, 4)), np.zeros((0, 4)), NAN, 1j * FEATURES),
    "tensor": (None, "text", np.zeros((2, 3, 4)), [["a", "b"]]),
    "images": (*NOT_NUMBERS, np.zeros((8, 8, 3)), np.zeros((0, 8, 8, 3))),
    "labels": (
        None, "text", LABELS[:5], LABELS * 1.0, np.eye(3)[LABELS], LABELS - 2, LABELS + 2**40,
        np.full(12, -1), LABELS.astype(str),
    ),
    "optional labels": ("text", LABELS[:5], LABELS * 1.0, np.eye(3)[LABELS], LABELS - 2, LABELS + 2**40),
    "count": (None, 0, -1, 2.5, "3", float("nan"), [3], True),
    "optional count": (0, -1, 2.5, "3", float("nan"), [3]),
    "seed": (-1, 2.5, "3", None),
    "positive": (None, 0, -1.0, float("nan"), float("inf"), "1", [1.0]),
    "share": (None, -0.1, 1.5, float("nan"), "1"),
    "numbers": (None, 3, "12", [], ["a"], [0.5, float("nan")]),
    "names": (None, "knn", ["nothing"], 3),
    "vector": (None, "text", [], np.zeros((2, 3)), [np.nan], [np.inf]),
    "model": (None, "text", 3),
    "any": (None,),
}  # fmt: skip
PROBE = {"train_features": FEATURES, "train_labels": LABELS, "test_features": FEATURES, "test_labels": LABELS}
PROBE_KINDS = {
    "train_features": "features", "train_labels": "labels", "test_features": "features",
    "test_labels": "labels",
}  # fmt: skip
BANK = {"bank_features": FEATURES, "bank_labels": LABELS, "features": FEATURES, "labels": LABELS}
BANK_KINDS = {
    "bank_features": "features", "bank_labels": "labels", "features": "features", "labels": "labels",
}  # fmt: skip
VOTES = {
    "k": "count",
    "temperature": "positive",
    "num_classes": "optional count",
    "chunk_size": "optional count",
}
QUERIES = {name: BANK[name] for name in ("bank_features", "bank_labels", "features")}
QUERY_KINDS = {name: BANK_KINDS[name] for name in QUERIES}
SUPPORT = {"support": FEATURES.reshape(3, 4, 4), "queries": FEATURES}
SUPPORT_KINDS = {"support": "support", "queries": "features"}

# A call that works, and what kind each of its arguments is; those that a call leaves out have defaults.
CASES = {
    "alignment": (
        {"features": FEATURES, "partners": FEATURES},
        {"features": "features", "partners": "features", "alpha": "positive"},
    ),
    "alpha_req": (
        {"features": FEATURES},
        {"features": "features", "first": "optional count", "last": "optional count"},
    ),
    "assigned_prototypes": ({"probabilities": FEATURES}, {"probabilities": "any"}),
    "auroc": (
        {"inlier_scores": [0.0, 1.0], "outlier_scores": [2.0]},
        {"inlier_scores": "vector", "outlier_scores": "vector"},
    ),
    "cluster_scores": (
        {"features": FEATURES, "labels": LABELS},
        {
            "features": "features", "labels": "labels", "num_clusters": "optional count", "restarts": "count",
            "iterations": "count", "seed": "seed",
        },
    ),
    "clustering_agreement": (
        {"clusters": LABELS, "labels": LABELS},
        {"clusters": "clusters", "labels": "labels"},
    ),
    "confidence_interval": ({"accuracy": 0.5, "count": 10}, {"accuracy": "share", "count": "count"}),
    "constrained_kmeans": (SUPPORT, {**SUPPORT_KINDS, "iterations": "seed"}),
    "count_assignments": (
        {"assignments": LABELS, "num_prototypes": 3},
        {"assignments": "any", "num_prototypes": "count"},
    ),
    "dead_prototypes": ({"counts": [1, 2]}, {"counts": "tensor"}),
    "diagnose": (
        {"features": FEATURES},
        {"features": "features", "names": "names", "views": "optional views", "labels": "optional labels"},
    ),
    "effective_rank": ({"features": FEATURES}, {"features": "tensor"}),
    "eigenspectrum": ({"features": FEATURES}, {"features": "features"}),
    "embed": ({"model": PIXELS, "data": IMAGES}, {"model": "model", "data": "any", "batch_size": "count"}),
    "episode_accuracy": (
        {"features": FEATURES, "labels": LABELS, "ways": 2, "queries": 2, "episodes": 3},
        {
            "features": "features", "labels": "labels", "ways": "count", "shots": "count", "queries": "count",
            "episodes": "count", "seed": "seed", "classify": "model",
        },
    ),
    "essential_sparsity": (
        {"encoder": ENCODER, "score": lambda encoder: 1.0},
        {"encoder": "model", "score": "model", "sparsities": "numbers", "tolerance": "share"},
    ),
    "evaluate_features": (
        {**PROBE, "protocols": ("knn", "few_shot", "linear", "episodes"), "k": 3, "draws": 2, "shots": (1,)},
        {
            **PROBE_KINDS, "protocols": "names", "shots": "numbers", "draws": "count", "k": "count",
            "temperature": "positive", "num_classes": "optional count", "l2": "positive", "seed": "seed",
            "ood_features": "optional features",
        },
    ),
    "feature_std": ({"features": FEATURES}, {"features": "tensor"}),
    "few_label_probe": (
        {**PROBE, "draws": 1},
        {**PROBE_KINDS, "fraction": "positive", "draws": "count", "l2": "positive", "seed": "seed"},
    ),
    "few_shot": (
        {
            "bank_features": FEATURES, "bank_labels": LABELS, "test_features": FEATURES,
            "test_labels": LABELS, "shots": (1,), "draws": 2,
        },
        {
            "bank_features": "features", "bank_labels": "labels", "test_features": "features",
            "test_labels": "labels", "shots": "numbers", "draws": "count", "seed": "seed",
        },
    ),
    "find_collapse": ({"features": FEATURES}, {"features": "features"}),
    "fit_linear_probe": (
        {"features": FEATURES, "labels": LABELS},
        {"features": "features", "labels": "labels", "l2": "positive", "max_iterations": "count"},
    ),
    "fpr_at_tpr": (
        {"inlier_scores": [0.0, 1.0], "outlier_scores": [2.0]},
        {"inlier_scores": "vector", "outlier_scores": "vector", "tpr": "positive"},
    ),
    "knn": ({**QUERIES, "k": 3}, {**QUERY_KINDS, **VOTES}),
    "knn_accuracy": ({**BANK, "k": 3}, {**BANK_KINDS, **VOTES}),
    "knn_scores": ({**QUERIES, "k": 3}, {**QUERY_KINDS, **VOTES}),
    "laplacian_shot": (
        SUPPORT,
        {**SUPPORT_KINDS, "smoothness": "decay", "neighbors": "count", "iterations": "seed"},
    ),
    "lidar": (
        {"features": FEATURES.reshape(4, 3, 4)},
        {"features": "views", "delta": "positive", "epsilon": "positive"},
    ),
    "linear_probe": (PROBE, {**PROBE_KINDS, "l2": "positive", "max_iterations": "count"}),
    "mahalanobis": (
        {"train_features": FEATURES, "features": FEATURES},
        {"train_features": "features", "features": "features", "train_labels": "optional labels"},
    ),
    "naive_bayes_probe": (PROBE, PROBE_KINDS),
    "nearest_prototype": (SUPPORT, SUPPORT_KINDS),
    "neighbor_distance": (
        {"train_features": FEATURES, "features": FEATURES, "k": 3},
        {"train_features": "features", "features": "features", "k": "count"},
    ),
    "object_similarity": (
        {"features": PATCHES, "masks": MASKS},
        {"features": "patches", "masks": "masks", "bins": "count"},
    ),
    "ood_detection": (
        {"train_features": FEATURES, "test_features": FEATURES, "ood_features": FEATURES},
        {
            "train_features": "features", "test_features": "features", "ood_features": "features",
            "train_labels": "optional labels", "k": "count", "l2": "positive",
        },
    ),
    "patch_features": (
        {"model": ENCODER, "images": IMAGES.astype("float32")},
        {"model": "model", "images": "images", "batch_size": "count"},
    ),
    "training_preprocessing": ({"encoder": PIXELS}, {"encoder": "any"}),
    "preprocessing_mismatch": (
        {"encoder": PIXELS, "images": IMAGES},
        {"encoder": "model", "images": "images", "batch_size": "count"},
    ),
    "prompt_picture": (
        {"images": IMAGES[:2], "features": PATCHES, "prompts": [(0, 0), (1, 1)]},
        {"images": "images", "features": "patches", "prompts": "prompts", "size": "count"},
    ),
    "prompt_segmentation": (
        {"features": PATCHES, "masks": MASKS},
        {"features": "patches", "masks": "masks", "thresholds": "numbers"},
    ),
    "prototype_entropy": ({"counts": [1, 2]}, {"counts": "tensor"}),
    "rankme": ({"features": FEATURES}, {"features": "features", "epsilon": "decay"}),
    "raw_pixels": (
        {"train_images": IMAGES, "test_images": IMAGES},
        {"train_images": "images", "test_images": "images"},
    ),
    "report": (
        {
            "train": kerassl.data.ImageDataset(IMAGES, LABELS), "encoders": {}, "protocols": ["linear"],
            "test": kerassl.data.ImageDataset(IMAGES, LABELS),
        },
        {"train": "model", "test": "model", "encoders": "model", "batch_size": "count"},
    ),
    "retrieval_map": (BANK, {**BANK_KINDS, "at": "optional count"}),
    "sgd_probe": (
        {**PROBE, "epochs": 1},
        {
            **PROBE_KINDS, "learning_rates": "numbers", "epochs": "count", "batch_size": "count",
            "momentum": "share", "weight_decay": "decay", "validation_fraction": "positive", "seed": "seed",
        },
    ),
    "table": ({"rows": {"mine": {"kNN": 0.5}}}, {"rows": "model"}),
    "tolerance": ({"features": FEATURES, "labels": LABELS}, {"features": "features", "labels": "labels"}),
    "uniformity": ({"features": FEATURES}, {"features": "features", "t": "positive"}),
}  # fmt: skip
BAD |= {
    "optional features": BAD["features"][1:],
    "views": (*NOT_NUMBERS, FEATURES, np.zeros((1, 2, 3)), np.full((2, 2, 2), np.nan)),
    "support": (*NOT_NUMBERS, FEATURES, np.full((2, 2, 4), np.nan), np.zeros((2, 2, 3))),
    "clusters": (None, "text", LABELS * 1.0, np.eye(3)[LABELS]),
    "optional views": ("text", FEATURES),
    "patches": (*NOT_NUMBERS, FEATURES, np.full_like(PATCHES, np.nan), PATCHES[:1]),
    "masks": (*NOT_NUMBERS, MASKS * 1.0, MASKS[0], MASKS[:1]),
    "prompts": (*NOT_NUMBERS, [(0, 0)], [(0, 0), (5, 0)], [0, 1]),
    "decay": (None, -1.0, float("nan"), "1"),
}


def test_every_function_has_its_cases():
    functions = {name for name in evaluation.__all__ if callable(getattr(evaluation, name))}
    classes = {name for name in functions if isinstance(getattr(evaluation, name), type)}
    assert functions - classes == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_bad_arguments_are_named(name, capsys):
    function, (arguments, kinds) = getattr(evaluation, name), CASES[name]
    function(**arguments)
    for argument, kind in kinds.items():
        for value in BAD[kind]:
            with pytest.raises(ValueError) as caught:
                function(**{**arguments, argument: value})
                pytest.fail(f"{name}({argument}={value!r}) is taken")
            said = str(caught.value)
            assert argument in said, f"{name}({argument}={value!r}): {said}"
            assert " came" not in said, said


def test_labels_that_are_large_numbers_need_no_memory():
    labels = LABELS + 2**30
    assert set(evaluation.knn(FEATURES, labels, FEATURES, k=1)) == set(labels)
    with pytest.raises(ValueError, match="num_classes=1073741827 would take 48 GiB. Number"):
        evaluation.knn_scores(FEATURES, labels, FEATURES, k=1)


def test_metrics_of_nan_are_nan():
    rankme, diagnostics = evaluation.RankMe(4), evaluation.StreamingDiagnostics(4)
    for metric in (rankme, diagnostics):
        metric.update_state(NAN)
    assert np.isnan(float(rankme.result()))
    assert np.isnan(list(diagnostics.result().values())).all()
    for metric in (rankme, diagnostics):
        with pytest.raises(ValueError, match=r"features must have shape|features must be an array"):
            metric.update_state(np.zeros(4))


def test_metrics_compute_in_float32_under_a_bfloat16_default():
    keras.config.set_floatx("bfloat16")
    try:
        metric = evaluation.RankMe(4)
        metric.update_state(FEATURES.astype("float32"))
        assert abs(float(metric.result()) - evaluation.rankme(FEATURES)) < 1e-2
        diagnostics = evaluation.StreamingDiagnostics(4)
        diagnostics.update_state(FEATURES.astype("float32"))
        assert np.isfinite(diagnostics.result()["uniformity"])
    finally:
        keras.config.set_floatx("float32")


def test_features_of_zeros_are_not_uniform():
    assert evaluation.uniformity(np.zeros((6, 3))) == 0.0
    half = np.concatenate([np.zeros((2, 2)), np.eye(2)])
    unit = [[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    distances = np.square(np.subtract.outer(unit, unit).diagonal(axis1=1, axis2=3)).sum(-1)
    assert abs(evaluation.uniformity(half) - np.log(np.exp(-2 * distances).mean())) < 1e-9
    metric = evaluation.StreamingDiagnostics(3)
    metric.update_state(np.zeros((6, 3)))
    assert metric.result()["uniformity"] == 0.0
