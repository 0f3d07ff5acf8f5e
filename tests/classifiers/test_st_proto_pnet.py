import keras
import numpy as np
import pytest
from tiny import images, labels, make, terms_and_rest

from kerassl import losses

pytestmark = pytest.mark.backends("torch")

TINY = {
    "STProtoPNet": {
        "arguments": {"prototypes_per_class": 2, "prototype_dim": 8, "warmup_epochs": 0},
        "encoder": "feature map",
        "sizes": (16,),
    },
}


def numpy(x):
    return keras.ops.convert_to_numpy(keras.ops.stop_gradient(x))


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_terms_are_those_of_the_official_code_in_both_branches():
    model = make("STProtoPNet", orthogonality_weight=0.1)
    view, classes = model.preprocess(images(6)), np.array([0, 1, 2, 2, 0, 1])
    terms, rest = terms_and_rest(model, (view,), classes)
    encoded = model.encoder(view, training=True)
    own = np.repeat(np.arange(3), 2) == classes[:, None]
    cluster, separation, cross_entropy, orthogonality, logits, by_branch = 0, 0, 0, 0, 0, []
    for branch, weight in enumerate((0.08, 0.48)):
        patches = numpy(model.add_ons[branch](encoded)).reshape(6, 64, -1)
        points = numpy(model.prototypes[branch].prototypes).T
        np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, atol=1e-5)
        similarities = np.maximum((unit(patches) @ points.T).max(axis=1), 0)
        cluster -= np.where(own, similarities, -2).max(axis=1).mean()
        separation += weight * np.where(own, -2, similarities).max(axis=1).mean()
        joins = np.arange(6)[:, None] // 2 == np.arange(3)
        of_branch = similarities @ np.where(joins, 1.0, -0.5)
        log_p = of_branch - np.log(np.exp(of_branch).sum(axis=1, keepdims=True))
        cross_entropy -= log_p[np.arange(6), classes].mean()
        logits = logits + of_branch
        by_branch.append(points.reshape(3, 2, -1))
        orthogonality += sum(np.abs(p @ p.T - np.eye(2)).sum() for p in by_branch[-1])
    np.testing.assert_allclose(numpy(rest["logits"]), logits, atol=1e-4)
    pairs = [(a, b) for a in range(3) for b in range(3) if a != b]
    expected = {
        "cross_entropy": cross_entropy,
        "cluster": 0.8 * cluster,
        "separation": separation,
        "orthogonality": 0.1 * orthogonality,
        "discrimination": np.mean([(by_branch[0][a] @ by_branch[0][b].T).max() for a, b in pairs]),
        "closeness": -np.mean([(by_branch[1][a] @ by_branch[1][b].T).min() for a, b in pairs]),
    }
    assert {name: float(value) for name, value in terms.items()} == pytest.approx(
        expected, rel=1e-3, abs=1e-4
    )


def test_prototypes_start_positive_and_unlike_patches_cost_nothing():
    model = make("STProtoPNet", prototype_dim=64, prototypes_per_class=20)
    for head in model.prototypes:
        prototypes = numpy(head.prototypes)
        cosines = (prototypes.T @ prototypes)[np.triu_indices(60, 1)]
        assert prototypes.min() >= 0 and cosines.mean() == pytest.approx(0.75, abs=0.02)
    far = [keras.ops.full((3, 60), 0.4)] * 2
    costs = model.prototype_costs(far, keras.ops.convert_to_tensor(labels(3)))
    assert float(costs["cluster"]) == float(costs["separation"]) == 0.0


def test_both_branches_are_pushed_and_explain(tmp_path):
    model = make("STProtoPNet", views="unaugmented")
    model.compile(keras.optimizers.Adam(1e-2))
    pictures, classes = images(24), labels(24)
    model.fit(pictures, classes, batch_size=8, epochs=2, verbose=0)
    # Patches are twice as fine as the map, and each prototype is one of an image of its class.
    maps = numpy(model.similarity_maps(model.preprocess(pictures)))
    assert maps.shape == (24, 8, 8, 12)
    for index, label in enumerate(model.prototype_classes):
        assert maps[classes == label, :, :, index].max() == pytest.approx(1, abs=1e-4)
    assert model.prototype_classes.tolist() == 2 * [0, 0, 1, 1, 2, 2]
    for head in model.prototypes:
        np.testing.assert_allclose(np.linalg.norm(numpy(head.prototypes), axis=0), 1, atol=1e-5)
    assert any(np.abs(numpy(last.kernel) - model.first_weights).max() > 1e-4 for last in model.classifier)
    explanation = model.explain(pictures[0], count=20)
    assert explanation.maps.shape == (12, 8, 8) and explanation.similarities.max() <= 1.001
    assert model.save_pictures(tmp_path / "prototypes.png", size=8).exists()
    alone = keras.models.load_model(model.export_classifier(tmp_path / "classifier", format="keras"))
    np.testing.assert_allclose(alone.predict(images(5), verbose=0), model.classify(images(5)), atol=1e-5)


def test_terms_of_prototypes_by_themselves():
    orthonormal = np.stack([np.eye(6)[:3], np.eye(6)[3:]])
    assert float(losses.prototype_orthogonality(7 * orthonormal)) == pytest.approx(0, abs=1e-6)
    assert float(losses.prototype_discrimination(orthonormal)) == pytest.approx(0, abs=1e-6)
    same = np.ones((4, 3, 5))
    assert float(losses.prototype_discrimination(same)) == pytest.approx(1)
    assert float(losses.prototype_closeness(same)) == pytest.approx(-1)
    # Two prototypes of one class are alike: two entries off the diagonal.
    assert float(losses.prototype_orthogonality(np.ones((4, 2, 5)))) == pytest.approx(4 * 2)
