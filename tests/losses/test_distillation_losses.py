"""Closed forms of KD, RKD and SEED, and the loops of those that are no mean over images."""

import numpy as np
import pytest
from loss_helpers import finite_differences, softmax, unit, value_and_grad

from kerassl import losses

pytestmark = pytest.mark.backends("torch")

rng = np.random.default_rng


def test_kd_closed_forms():
    s, t = rng(0).normal(size=(2, 5, 4))
    assert float(losses.kd(t + 3, t)) == pytest.approx(0, abs=1e-5)
    entropy = np.mean([-(softmax(row / 2) * np.log(softmax(row / 2))).sum() for row in t])
    assert float(losses.kd(np.zeros((5, 4)), t, 2.0)) == pytest.approx(4 * (np.log(4) - entropy), rel=1e-4)
    labels = rng(1).integers(0, 4, 5)
    cross_entropy = -np.mean([np.log(softmax(row)[y]) for row, y in zip(s, labels, strict=True)])
    one_hot = 50.0 * np.eye(4)[labels]
    assert float(losses.kd(s, one_hot, 1.0)) == pytest.approx(cross_entropy, rel=1e-4)


def test_kd_of_two_classes_and_both_directions():
    p, q = 0.8, 0.3
    logit = lambda x: np.log(x / (1 - x))  # noqa: E731
    value = float(losses.kd([[logit(q), 0.0]], [[logit(p), 0.0]], 1.0))
    assert value == pytest.approx(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)), rel=1e-5)
    s, t = rng(0).normal(size=(2, 5, 4))
    both = float(losses.kd(s, t, 1.0)) + float(losses.kd(t, s, 1.0))
    assert both / 2 == pytest.approx(float(losses.ssld(s, t)), rel=1e-5)


def test_kd_gradient_and_its_limit_of_matched_logits():
    s, t = rng(0).normal(size=(2, 5, 4)).astype("float32")
    _, (gradient, _) = value_and_grad(lambda a, b: losses.kd(a, b, 3.0, reduction="none"), s, t)
    expected = [3 * (softmax(a / 3) - softmax(b / 3)) for a, b in zip(s, t, strict=True)]
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-5)
    s, t = s - s.mean(axis=1, keepdims=True), t - t.mean(axis=1, keepdims=True)
    _, (gradient, _) = value_and_grad(lambda a, b: losses.kd(a, b, 200.0, reduction="none"), s, t)
    np.testing.assert_allclose(gradient, (s - t) / 4, atol=0.02)


def test_soft_cross_entropy_closed_forms():
    s, t, u = rng(0).normal(size=(3, 5, 4))

    def entropy(logits):
        return np.mean([-(softmax(row) * np.log(softmax(row))).sum() for row in logits])

    # Of equal logits the teacher's entropy is left, of one teacher that and the divergence.
    value = float(losses.soft_cross_entropy(t + 3, t, 2.0))
    assert value == pytest.approx(4 * entropy(t / 2), rel=1e-4)
    value = float(losses.soft_cross_entropy(s, t, 2.0))
    assert value == pytest.approx(float(losses.kd(s, t, 2.0)) + 4 * entropy(t / 2), rel=1e-4)
    # Teachers that agree are one; the mean is that of the distributions, not of the logits.
    one = float(losses.soft_cross_entropy(s, t))
    assert float(losses.soft_cross_entropy(s, (t, t, t))) == pytest.approx(one, rel=1e-5)
    both = float(losses.soft_cross_entropy(s, (t, u)))
    assert both == pytest.approx((one + float(losses.soft_cross_entropy(s, u))) / 2, rel=1e-5)
    with pytest.raises(ValueError, match="at least one teacher is needed"):
        losses.soft_cross_entropy(s, ())


def test_soft_cross_entropy_gradient_is_zero_for_equal_logits():
    s, t = rng(0).normal(size=(2, 5, 4)).astype("float32")
    _, (gradient, _) = value_and_grad(lambda a, b: losses.soft_cross_entropy(a, b, 2.0), t, t)
    np.testing.assert_allclose(gradient, 0, atol=1e-6)
    _, (gradient, _) = value_and_grad(lambda a, b: losses.soft_cross_entropy(a, b, 2.0), s, t)
    expected = [2 * (softmax(a / 2) - softmax(b / 2)) / 5 for a, b in zip(s, t, strict=True)]
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-5)


def test_a_discriminator_that_knows_nothing_loses_log_2():
    scores = np.zeros((3, 2))
    assert float(losses.meal_v2_discriminator(scores, scores)) == pytest.approx(np.log(2), rel=1e-6)
    student, teacher = np.array([[9.0, -9.0]]), np.array([[-9.0, 9.0]])
    assert float(losses.meal_v2_discriminator(student, teacher)) < 1e-3
    # Behind a ReLU it cannot say no: half of log 2 is the least.
    least = float(losses.meal_v2_discriminator(np.maximum(student, 0), np.maximum(teacher, 0)))
    assert least == pytest.approx(np.log(2) / 2, rel=1e-3)
    with pytest.raises(ValueError, match="gives two scores per image, got 3"):
        losses.meal_v2_discriminator(np.zeros((2, 3)), np.zeros((2, 3)))


def test_the_distance_of_features_is_a_sum_over_them():
    s, t = rng(0).normal(size=(2, 5, 4))
    value = float(losses.feature_distance(s, t))
    assert value == pytest.approx(np.square(s - t).sum() / 5, rel=1e-5)
    twice = float(losses.feature_distance(np.concatenate([s, s], 1), np.concatenate([t, t], 1)))
    assert twice == pytest.approx(2 * value, rel=1e-5)
    assert float(losses.feature_distance(t, t)) == 0.0


def test_unfused_branches_that_say_the_same_cost_a_share_of_the_cross_entropy():
    z, labels = rng(0).normal(size=(5, 4)), np.array([0, 3, -1, 1, 2])
    hard = float(losses.cross_entropy(z, labels))
    assert float(losses.unfused(z, (z, z, z), labels)) == pytest.approx((1 + 0.7 * 3) * hard, rel=1e-5)
    assert float(losses.unfused(z, (), labels)) == pytest.approx(hard, rel=1e-5)
    other = rng(1).normal(size=(5, 4))
    each = np.asarray(losses.unfused(z, (other,), labels, reduction="none"))
    assert each[2] == 0 and np.asarray(losses.unfused(z, (other,), np.full(5, -1))) == 0
    mean = float(losses.unfused(z, (other,), labels))
    assert mean == pytest.approx(each.sum() / 4, rel=1e-5)
    # The last layer is drawn to its branches, too: nothing is detached.
    wide, branch = z.astype("float32"), other.astype("float32")

    def agreement(a, b):
        return losses.unfused(a, (b,), labels, branch_weight=0.0) - losses.cross_entropy(a, labels)

    _, (last, middle) = value_and_grad(agreement, wide, branch)
    assert np.abs(last[labels >= 0]).max() > 1e-3 and np.abs(middle[labels >= 0]).max() > 1e-3
    assert not last[2].any() and not middle[2].any()


def huber(x):
    return 0.5 * x**2 if abs(x) < 1 else abs(x) - 0.5


def relative_distances(x):
    distances = np.array([[np.linalg.norm(a - b) for b in x] for a in x])
    return distances / distances[distances > 0].mean()


def rkd_distance_reference(student, teacher):
    pairs = zip(relative_distances(student).ravel(), relative_distances(teacher).ravel(), strict=True)
    return np.mean([huber(a - b) for a, b in pairs])


def angles(x):
    n = len(x)
    found = np.zeros((n, n, n))
    for i, j, k in np.ndindex(n, n, n):
        if i != j and i != k:
            found[i, j, k] = unit(x[j] - x[i]) @ unit(x[k] - x[i])
    return found


def rkd_angle_reference(student, teacher):
    return np.mean(
        [huber(a - b) for a, b in zip(angles(student).ravel(), angles(teacher).ravel(), strict=True)]
    )


RKD = (
    (losses.rkd_distance, rkd_distance_reference),
    (losses.rkd_angle, rkd_angle_reference),
)


@pytest.mark.parametrize("loss, reference", RKD, ids=("distance", "angle"))
@pytest.mark.parametrize("seed", (0, 1, 2))
def test_rkd_is_the_loop(loss, reference, seed):
    student = 3 * rng(seed).normal(size=(5, 4)).astype("float32")
    teacher = rng(seed + 1).normal(size=(5, 6)).astype("float32")
    value, gradients = value_and_grad(loss, student, teacher)
    wide = [student.astype("float64"), teacher.astype("float64")]
    assert float(value) == pytest.approx(reference(*wide), rel=1e-4)
    np.testing.assert_allclose(gradients[0], finite_differences(reference, wide, 0), rtol=2e-3, atol=2e-5)
    assert not gradients[1].any()


@pytest.mark.parametrize("loss", [pair[0] for pair in RKD], ids=("distance", "angle"))
def test_rkd_of_a_scaled_rotated_and_moved_teacher_is_zero(loss):
    teacher = rng(0).normal(size=(6, 4))
    rotation = np.linalg.qr(rng(1).normal(size=(4, 4)))[0]
    assert float(loss(2.5 * teacher @ rotation + 1.0, teacher)) == pytest.approx(0, abs=1e-6)
    assert float(losses.rkd_distance(rng(2).normal(size=(2, 4)), teacher[:2])) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("loss", [pair[0] for pair in RKD], ids=("distance", "angle"))
@pytest.mark.parametrize("kind", ("zeros", "duplicates", "batch of one", "large"))
def test_rkd_stays_finite(loss, kind):
    student, teacher = rng(0).normal(size=(2, 4, 3)).astype("float32")
    student = {
        "zeros": 0 * student,
        "duplicates": np.ones_like(student),
        "batch of one": student[:1],
        "large": 1e4 * student,
    }[kind]
    value, gradients = value_and_grad(loss, student, teacher[: len(student)])
    assert np.isfinite(value) and np.isfinite(gradients[0]).all()
    with pytest.raises(ValueError, match="the rows of both must come from the same images"):
        loss(student, np.zeros((5, 3), "float32"))


def seed_reference(student, teacher, queue, student_temperature=0.2, teacher_temperature=0.01):
    each = []
    for a, b in zip(student, teacher, strict=True):
        columns = [unit(b), *queue]
        s = softmax(np.array([unit(a) @ c for c in columns]) / student_temperature)
        t = softmax(np.array([unit(b) @ c for c in columns]) / teacher_temperature)
        each.append(-np.sum(t * np.log(s)))
    return np.mean(each)


@pytest.mark.parametrize("teacher_temperature", (0.01, 0.5))
@pytest.mark.parametrize("seed", (0, 1, 2))
def test_seed_is_the_loop(seed, teacher_temperature):
    student, teacher = rng(seed).normal(size=(2, 5, 4)).astype("float32")
    queue = np.array([unit(row) for row in rng(seed + 1).normal(size=(7, 4))])

    def loss(s, t):
        return losses.seed_distillation(s, t, queue, teacher_temperature=teacher_temperature)

    def reference(s, t):
        return seed_reference(s, t, queue, teacher_temperature=teacher_temperature)

    value, gradients = value_and_grad(loss, student, teacher)
    wide = [student.astype("float64"), teacher.astype("float64")]
    assert float(value) == pytest.approx(reference(*wide), rel=1e-4)
    np.testing.assert_allclose(gradients[0], finite_differences(reference, wide, 0), rtol=1e-3, atol=2e-5)
    assert not gradients[1].any()


def test_seed_closed_forms():
    student, teacher = rng(0).normal(size=(2, 5, 4))
    queue = np.array([unit(row) for row in rng(1).normal(size=(7, 4))])
    # A cold teacher finds itself only: InfoNCE with its embedding as the key.
    cold = float(losses.seed_distillation(student, teacher, queue, 0.2, 1e-4))
    assert cold == pytest.approx(float(losses.info_nce(student, teacher, queue, 0.2)), rel=1e-4)
    entropy = []
    for row in teacher:
        p = softmax(np.array([unit(row) @ c for c in (unit(row), *queue)]) / 0.3)
        entropy.append(-np.sum(p * np.log(p)))
    assert float(losses.seed_distillation(teacher, teacher, queue, 0.3, 0.3)) == pytest.approx(
        np.mean(entropy), rel=1e-4
    )
    assert float(losses.seed_distillation(student, teacher, queue[:0])) == pytest.approx(0, abs=1e-6)
    assert np.asarray(losses.seed_distillation(student, teacher, queue, reduction="none")).shape == (5,)
    with pytest.raises(ValueError, match="widths must be equal"):
        losses.seed_distillation(student, teacher, queue[:, :2])
    with pytest.raises(ValueError, match="teacher_temperature=0 must be a positive"):
        losses.seed_distillation(student, teacher, queue, teacher_temperature=0)


@pytest.mark.parametrize("loss", (losses.rkd_distance, losses.rkd_angle))
def test_rkd_of_nan_is_nan(loss):
    student, teacher = rng(0).normal(size=(2, 4, 3))
    student[1, 1] = np.nan
    assert np.isnan(float(loss(student, teacher))) and np.isnan(float(loss(teacher, student)))
