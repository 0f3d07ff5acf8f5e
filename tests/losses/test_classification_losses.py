import numpy as np
import pytest
from loss_helpers import cross_entropy_reference, fast, value_and_grad

from kerassl import losses

pytestmark = pytest.mark.backends("torch")


def test_cross_entropy_of_uniform_logits_is_the_logarithm_of_the_classes():
    assert float(losses.cross_entropy(np.zeros((3, 7)), [0, 3, 6])) == pytest.approx(np.log(7), rel=1e-6)


def test_cross_entropy_leaves_unlabeled_rows_out_of_sum_mean_and_gradient():
    logits = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    labels = np.array([2, -1, 0, -1, 1])
    loss = fast(losses.cross_entropy)
    assert float(loss(logits, labels)) == pytest.approx(cross_entropy_reference(logits, labels), rel=1e-5)
    _, (gradient,) = value_and_grad(lambda x: losses.cross_entropy(x, labels), logits)
    assert not gradient[labels < 0].any() and np.abs(gradient[labels >= 0]).min() > 1e-3
    assert float(loss(logits, np.full(5, -1))) == 0.0


def test_cross_entropy_names_what_does_not_fit():
    with pytest.raises(ValueError, match=r"label_smoothing=1 must be in \[0, 1\)"):
        losses.cross_entropy(np.zeros((2, 3)), [0, 1], label_smoothing=1)
    with pytest.raises(ValueError, match=r"labels has shape \(2, 1\) but must be \(batch\)"):
        losses.cross_entropy(np.zeros((2, 3)), [[0], [1]])
