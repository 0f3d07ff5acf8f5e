"""Closed forms of NKD, USKD, PS-KD and pseudo-labels."""

import numpy as np
import pytest
from loss_helpers import cross_entropy_reference, fast, softmax, value_and_grad

from kerassl import losses

pytestmark = pytest.mark.backends("torch")

rng = np.random.default_rng
LABELS = np.array([2, 0, 1, 3, 1])


def logits(seed=0):
    return rng(seed).normal(size=(5, 4)).astype("float32")


def entropy(p):
    return -np.sum(p * np.log(p))


def nkd(student, teacher, labels=LABELS, **kwargs):
    return float(fast(losses.nkd)(student, teacher, labels, **kwargs))


def test_nkd_of_equal_logits_is_the_entropy_of_the_other_classes():
    z = logits()
    others = [np.delete(row, y) / 2 for row, y in zip(z, LABELS, strict=True)]
    p = [softmax(row)[y] for row, y in zip(z, LABELS, strict=True)]
    expected = 3 * 4 * np.mean([entropy(softmax(row)) for row in others]) - np.mean(p * np.log(p))
    assert nkd(z, z, gamma=3.0, temperature=2.0) == pytest.approx(expected, rel=1e-5)


def test_nkd_of_two_classes_has_the_target_alone():
    s, t = logits()[:, :2], logits(1)[:, :2]
    labels = LABELS % 2
    target = [softmax(b)[y] * np.log(softmax(a)[y]) for a, b, y in zip(s, t, labels, strict=True)]
    assert nkd(s, t, labels, gamma=7.0) == pytest.approx(-np.mean(target), rel=1e-5)


def test_nkd_of_a_certain_teacher_is_cross_entropy_and_an_entropy_that_stays_defined():
    s = logits()
    certain = 100.0 * np.eye(4, dtype="float32")[LABELS]
    cross_entropy = cross_entropy_reference(s.astype("float64"), LABELS)
    assert nkd(s, certain, gamma=0.0) == pytest.approx(cross_entropy, rel=1e-5)
    # The other classes are all alike to this teacher.
    others = [-np.mean(np.log(softmax(np.delete(row, y)))) for row, y in zip(s, LABELS, strict=True)]
    assert nkd(s, certain, gamma=1.0) == pytest.approx(cross_entropy + np.mean(others), rel=1e-5)


def test_nkd_minds_no_constant_and_its_second_term_no_shift_of_the_target():
    s, t = logits(), logits(1)
    assert nkd(s + 3, t - 2) == pytest.approx(nkd(s, t), rel=1e-5)
    shift = 2.0 * np.eye(4, dtype="float32")[LABELS]
    second = nkd(s, t, gamma=1.0) - nkd(s, t, gamma=0.0)
    assert nkd(s + shift, t, gamma=1.0) - nkd(s + shift, t, gamma=0.0) == pytest.approx(second, rel=1e-4)
    assert nkd(s + shift, t) != pytest.approx(nkd(s, t), rel=1e-2)


@pytest.mark.parametrize("name", ("nkd", "uskd_target", "uskd_non_target", "ps_kd"))
def test_unlabeled_rows_count_nothing(name):
    labels = np.where(np.arange(5) % 2, LABELS, -1)
    known = labels >= 0
    past = np.array([softmax(row) for row in logits(1)])
    more = {"nkd": (logits(1),), "uskd_non_target": (logits(1),), "ps_kd": (past,)}.get(name, ())
    options = {"weight": 0.3} if name == "ps_kd" else {}
    loss = lambda *inputs: getattr(losses, name)(*inputs, **options)  # noqa: E731
    whole = float(loss(logits(), *more, labels))
    part = float(loss(*(x[known] for x in (logits(), *more)), labels[known]))
    assert whole == pytest.approx(part, rel=1e-5)
    _, (gradient,) = value_and_grad(lambda x: loss(x, *more, labels), logits())
    assert not gradient[~known].any() and np.abs(gradient[known]).max() > 1e-3
    assert float(loss(logits(), *more, np.full(5, -1))) == 0.0


def test_uskd_of_equally_sure_images_is_cross_entropy():
    z = np.array([np.roll([1.0, 0.0, -1.0, 0.5], y) for y in LABELS], "float32")
    expected = cross_entropy_reference(z.astype("float64"), LABELS)
    assert float(losses.uskd_target(z, LABELS)) == pytest.approx(expected, rel=1e-5)


def test_uskd_of_the_target_has_no_gradient_through_the_soft_label():
    z = logits()
    _, (gradient,) = value_and_grad(lambda x: losses.uskd_target(x, LABELS), z)
    p = np.array([softmax(row) for row in z])
    own = p[np.arange(5), LABELS]
    soft = 1 + own**2 - np.mean(own**2)
    np.testing.assert_allclose(gradient, soft[:, None] * (p - np.eye(4)[LABELS]) / 5, atol=1e-5)


def zipf_labels(z, weak, label):
    """What `uskd_non_target` asks of each class, from its gradient: N(p) - z."""
    z, weak = (np.array([row], "float32") for row in (z, weak))
    _, (gradient,) = value_and_grad(lambda x: losses.uskd_non_target(x, weak, np.array([label])), z)
    p = np.exp(z[0]) * (np.arange(len(z[0])) != label)
    return p / p.sum() - gradient[0]


@pytest.mark.parametrize(("target", "ratio"), [(9.0, 1.5), (-9.0, 2.0)])
def test_zipf_labels_sum_to_one_fall_with_the_rank_and_are_ranked_with_the_target(target, ratio):
    z = [target, 3.0, 2.0, 1.0, 0.5]
    labels = zipf_labels(z, z, 0)
    assert labels[0] == pytest.approx(0, abs=1e-6) and labels.sum() == pytest.approx(1, rel=1e-5)
    assert (np.diff(labels[1:]) < 0).all()
    assert labels[1] / labels[2] == pytest.approx(ratio, rel=1e-4)


def test_the_weak_classifier_has_a_say_in_the_ranks():
    labels = zipf_labels([0.0, 0.2, 0.1], [0.0, -5.0, 5.0], 0)
    assert labels[2] > labels[1]


def test_ps_kd_without_past_is_cross_entropy_and_with_a_uniform_one_label_smoothing():
    z = logits()
    past = np.array([softmax(row) for row in logits(1)])
    cross_entropy = float(losses.cross_entropy(z, LABELS))
    assert float(losses.ps_kd(z, np.zeros((5, 4)), LABELS, 0.7)) == pytest.approx(cross_entropy, rel=1e-6)
    assert float(losses.ps_kd(z, past, LABELS, 0.0)) == pytest.approx(cross_entropy, rel=1e-6)
    smoothed = float(losses.cross_entropy(z, LABELS, label_smoothing=0.3))
    assert float(losses.ps_kd(z, np.full((5, 4), 0.25), LABELS, 0.3)) == pytest.approx(smoothed, rel=1e-6)


def test_pseudo_labels_of_a_sure_teacher_are_its_classes_and_of_an_unsure_one_nothing():
    s, t = logits(), logits(1)
    all_taken = float(losses.pseudo_label(s, t, threshold=0.0))
    assert all_taken == pytest.approx(float(losses.cross_entropy(s, t.argmax(axis=1))), rel=1e-6)
    assert float(losses.pseudo_label(s, t, threshold=0.999)) == 0.0
    with pytest.raises(ValueError, match=r"threshold=2 must be in \[0, 1\]"):
        losses.pseudo_label(s, t, threshold=2)


def test_bad_numbers_are_named():
    with pytest.raises(ValueError, match="gamma=-1 must be a finite number, at least 0"):
        losses.nkd(logits(), logits(), LABELS, gamma=-1)
    with pytest.raises(ValueError, match="temperature=0 must be a positive"):
        losses.nkd(logits(), logits(), LABELS, temperature=0)
