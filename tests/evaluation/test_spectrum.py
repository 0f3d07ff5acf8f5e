import keras
import numpy as np
import pytest
from keras import ops

from kerassl.evaluation import RankMe, effective_rank, feature_std, rankme


def with_spectrum(singular, rows=64, dim=16, seed=0):
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.normal(size=(n, n)))[0] for n in (rows, dim))
    return (left[:, : len(singular)] * singular) @ right[: len(singular)]


def accumulated(features, batch=20):
    metric = RankMe(features.shape[1])
    for start in range(0, len(features), batch):
        metric.update_state(features[start : start + batch].astype("float32"))
    return float(metric.result())


@pytest.mark.parametrize("function", [rankme, accumulated])
def test_rankme_oracles(function):
    assert function(with_spectrum([3.0, 1.0])) == pytest.approx(1.7548, abs=2e-3)
    for rank in (5, 16):
        assert function(with_spectrum([2.0] * rank)) == pytest.approx(rank, rel=1e-3)
    spectrum = 1 / np.arange(1, 17)
    shares = spectrum / spectrum.sum()
    expected = np.exp(-np.sum(shares * np.log(shares)))
    features = with_spectrum(spectrum)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(16, 16)))[0]
    for same in (1e-8 * features, 1e6 * features @ rotation):
        assert function(same) == pytest.approx(expected, rel=1e-3)
    assert function(features + 5.0) < 0.8 * expected, "RankMe is not centered"


def test_rankme_equals_the_papers_equation():
    def equation(singular):
        return np.exp(-sum(p * np.log(p) for p in singular / np.sum(singular) + 1e-7))

    features = np.random.default_rng(0).normal(size=(30, 8)).astype("float32")
    singular = np.sqrt(np.linalg.eigvalsh(features.T.astype("float64") @ features.astype("float64")))
    assert rankme(features) == pytest.approx(equation(singular), rel=1e-6)
    # Isotropic features of rank r have r, but for what the epsilon of the empty directions adds.
    for rank in (3, 7, 16):
        expected = equation(np.arange(16) < rank)
        assert rankme(with_spectrum([2.0] * rank)) == pytest.approx(expected, rel=1e-6)
        assert expected == pytest.approx(rank, rel=3e-5)
    assert rankme(np.zeros((4, 3))) == pytest.approx(1.0, abs=1e-4)


def test_metric_of_rank_one_and_wide_features():
    rng = np.random.default_rng(0)
    direction = rng.normal(size=(1, 64))
    assert accumulated(rng.normal(size=(500, 1)) * direction, 100) == pytest.approx(1.0, abs=0.01)
    features = rng.normal(size=(600, 64))
    assert accumulated(features, 100) == pytest.approx(rankme(features), rel=1e-3)


def test_metric_resets_weights_and_reloads():
    features = np.eye(4, dtype="float32")
    metric = RankMe(4)
    assert float(metric.result()) == 0.0
    metric.update_state(features, sample_weight=[1, 1, 0, 0])
    assert float(metric.result()) == pytest.approx(2.0, abs=1e-4)
    metric.reset_state()
    assert float(metric.result()) == 0.0
    twin = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert isinstance(twin, RankMe) and twin.dim == 4


def test_metric_inside_a_compiled_evaluate():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.rank = RankMe(3)
            self.built = True

        def call(self, images):
            return images

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=False):
            self.rank.update_state(x)
            return ops.sum(x)

        def get_metrics_result(self):
            return {"loss": self._loss_tracker.result()}

    for jit_compile in (False, True) if keras.backend.backend() != "torch" else (False,):
        net = Net()
        net.compile(optimizer="sgd", jit_compile=jit_compile)
        net.evaluate(np.repeat(np.eye(3, dtype="float32")[:2], 5, axis=0), batch_size=4, verbose=0)
        assert float(net.rank.result()) == pytest.approx(2.0, abs=1e-4)


def test_effective_rank_is_the_participation_ratio():
    rng = np.random.default_rng(0)
    for rows, dim in ((40, 6), (6, 40)):
        features = rng.normal(size=(rows, dim)) * np.arange(1, dim + 1)
        eigenvalues = np.linalg.eigvalsh(np.cov(features.T))
        expected = eigenvalues.sum() ** 2 / (eigenvalues**2).sum()
        for scale in (1, 1e-12, 1e12):
            assert float(effective_rank(scale * features)) == pytest.approx(expected, rel=1e-4)
        assert float(effective_rank(features + 3)) == pytest.approx(expected, rel=1e-4)


def test_collapse_reads_zero():
    constant = np.tile(np.random.default_rng(0).normal(size=(1, 32)), (16, 1))
    for features in (constant, 0 * constant):
        assert float(effective_rank(features)) == 0.0
        assert float(feature_std(features)) == pytest.approx(0.0, abs=1e-5)


def test_feature_std_of_a_sphere_and_by_loop():
    features = np.random.default_rng(0).normal(size=(400, 16))
    assert float(feature_std(features)) == pytest.approx(1.0, abs=0.03)
    unit = [row / np.sqrt(row @ row) for row in features * 7]
    expected = np.mean([np.std([row[i] for row in unit]) for i in range(16)]) * 4
    assert float(feature_std(features.astype("float16"))) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("function", [effective_rank, feature_std])
def test_statistics_give_no_gradient_and_compile(function):
    features = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    expected = float(function(features))
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        signature = [tf.TensorSpec((None, 4))]
        for jit_compile in (False, True):
            compiled = tf.function(function, signature, jit_compile=jit_compile)
            assert float(compiled(features)) == pytest.approx(expected, rel=1e-5)
    elif keras.backend.backend() == "jax":
        import jax

        assert float(jax.jit(function)(features)) == pytest.approx(expected, rel=1e-5)
        assert not np.asarray(jax.grad(function)(features)).any()
    else:
        tensor = ops.convert_to_tensor(features).requires_grad_()
        assert not function(tensor).requires_grad
