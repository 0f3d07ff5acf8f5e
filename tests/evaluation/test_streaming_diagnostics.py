import keras
import numpy as np
import pytest
from tiny import images, labels, make

from kerassl.evaluation import (
    StreamingDiagnostics,
    alignment,
    alpha_req,
    eigenspectrum,
    embed,
    lidar,
    tolerance,
    uniformity,
)


def filled(features, views=None, classes=None, batch=1000, num_classes=3):
    metric = StreamingDiagnostics(features.shape[1], num_classes)
    for start in range(0, len(features), batch):
        part = slice(start, start + batch)
        metric.update_state(
            features[part],
            None if views is None else list(np.moveaxis(views[part], 1, 0)),
            None if classes is None else classes[part],
        )
    return metric


@pytest.mark.parametrize("seed", range(3))
def test_sums_over_batches_give_what_the_functions_give(seed):
    rng = np.random.default_rng(seed)
    features = (rng.normal(size=(240, 12)) * np.arange(1, 13) ** -0.7 + 0.5).astype("float32")
    views = (features[:, None] + 0.2 * rng.normal(size=(240, 3, 12))).astype("float32")
    classes = rng.integers(-1, 3, 240)
    metric = filled(features, views, classes, batch=70)
    found = metric.result()
    assert found["alpha_req"] == pytest.approx(alpha_req(features).alpha, rel=1e-4)
    np.testing.assert_allclose(metric.spectrum(), eigenspectrum(features), atol=1e-6)
    assert found["lidar"] == pytest.approx(lidar(views), rel=1e-4)
    known = classes >= 0
    assert found["tolerance"] == pytest.approx(tolerance(features[known], classes[known]), rel=1e-5)
    pairs = [alignment(views[:, i], views[:, j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert found["alignment"] == pytest.approx(np.mean(pairs), rel=1e-5)
    # Without the pairs of an image with itself; of pairs within batches only it is near that of all.
    distinct = np.log((240 * np.exp(uniformity(features)) - 1) / 239)
    assert filled(features).result()["uniformity"] == pytest.approx(distinct, abs=1e-5)
    assert found["uniformity"] == pytest.approx(distinct, abs=0.02)


def test_collapsed_features_and_what_does_not_come():
    metric = StreamingDiagnostics(4)
    assert metric.result() == {}
    metric.update_state(np.ones((8, 4), "float32"))
    found = metric.result()
    assert set(found) == {"alpha_req", "uniformity"}
    assert np.isnan(found["alpha_req"]) and found["uniformity"] == pytest.approx(0, abs=1e-5)
    assert not metric.spectrum().any()
    metric.reset_state()
    assert metric.result() == {}
    twin = keras.metrics.deserialize(keras.metrics.serialize(StreamingDiagnostics(4, 2)))
    assert (twin.dim, twin.num_classes) == (4, 2)


def test_evaluate_gives_them_on_request_and_leaves_the_model_as_it_was(tmp_path):
    model = make("SimCLR", num_classes=3)
    model.compile("sgd", diagnostics=True)
    x, y = images(16), labels(16)
    history = model.fit(x, y, validation_data=(x, y), batch_size=8, verbose=0).history
    logs = model.evaluate(x, y, batch_size=8, verbose=0)
    names = {"alpha_req", "uniformity", "alignment", "lidar", "tolerance"}
    assert names <= set(logs) and {f"val_{name}" for name in names} <= set(history)
    assert not names & set(history)
    features, _ = embed(model, x)
    assert logs["tolerance"] == pytest.approx(tolerance(features, np.asarray(y)), abs=1e-5)
    spread = np.var(features / np.linalg.norm(features, axis=1, keepdims=True), axis=0).sum()
    assert 0 < logs["alignment"] < 4 * spread and 1 <= logs["lidar"] <= model.feature_dim
    assert model.evaluate(x, y, batch_size=8, verbose=0) == pytest.approx(logs, nan_ok=True)
    assert model.get_compile_config()["diagnostics"]
    model.compile("sgd")
    assert not names & set(model.evaluate(x, y, batch_size=8, verbose=0))
