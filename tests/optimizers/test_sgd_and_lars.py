import keras
import numpy as np
import pytest
from optimizer_helpers import MODES, assert_trajectories_equal, make_apply, random_steps, trajectory

import kerassl
from kerassl.optimizers import LARS, SGD
from kerassl.schedules import WarmupCosine

SHAPES = [(3, 4), (4,), (2, 2, 3)]


def warmup():
    return WarmupCosine(0.5, total_steps=10, warmup_steps=2, initial=0.1)


def rates(steps):
    return [float(warmup()(t)) for t in range(steps)]


def sgd_reference(start, gradients, lrs, momentum=0.9, weight_decay=0.0, nesterov=False, decay_vectors=True):
    weights, velocities = [w.copy() for w in start], [np.zeros_like(w) for w in start]
    for lr, grads in zip(lrs, gradients, strict=True):
        for i, g in enumerate(grads):
            if decay_vectors or weights[i].ndim > 1:
                g = g + weight_decay * weights[i]
            velocities[i] = momentum * velocities[i] + g
            weights[i] = weights[i] - lr * (g + momentum * velocities[i] if nesterov else velocities[i])
        yield [w.copy() for w in weights]


def lars_reference(start, gradients, lrs, momentum, weight_decay, eta, lr_in_momentum):
    weights, velocities = [w.copy() for w in start], [np.zeros_like(w) for w in start]
    for lr, grads in zip(lrs, gradients, strict=True):
        for i, g in enumerate(grads):
            w = weights[i]
            if w.ndim > 1:
                g = g + weight_decay * w
                w_norm, g_norm = np.sqrt(np.sum(w**2)), np.sqrt(np.sum(g**2))
                if w_norm > 0 and g_norm > 0:
                    g = g * eta * w_norm / g_norm
            if lr_in_momentum:
                velocities[i] = momentum * velocities[i] + lr * g
                weights[i] = w - velocities[i]
            else:
                velocities[i] = momentum * velocities[i] + g
                weights[i] = w - lr * velocities[i]
        yield [w.copy() for w in weights]


@pytest.mark.parametrize("compiled", MODES)
@pytest.mark.parametrize("lr_in_momentum", [False, True])
def test_lars_trajectory(lr_in_momentum, compiled):
    start, gradients = random_steps(SHAPES, 4)
    options = dict(momentum=0.8, weight_decay=0.1, lr_in_momentum=lr_in_momentum)
    found = trajectory(LARS(warmup(), trust_coefficient=0.05, **options), start, gradients, compiled)
    assert_trajectories_equal(found, list(lars_reference(start, gradients, rates(4), eta=0.05, **options)))


@pytest.mark.parametrize("compiled", MODES)
def test_lars_scales_everything_when_told(compiled):
    bias = keras.Variable(np.array([3.0, 4.0]), dtype="float32", name="bias")
    head = kerassl.heads.PrototypeHead(2, 1).prototypes
    head.assign([[0.6], [0.8]])
    optimizer = LARS(1.0, momentum=0.0, weight_decay=0.5, trust_coefficient=0.1, decay_bias_and_norm=True)
    make_apply(optimizer, [bias, head], compiled)([[1.0, 0.0], [[2.0], [0.0]]])
    gradient = np.array([1.0 + 0.5 * 3, 0.5 * 4])
    expected = np.array([3.0, 4.0]) - 0.1 * 5 / np.linalg.norm(gradient) * gradient
    np.testing.assert_allclose(keras.ops.convert_to_numpy(bias), expected, rtol=1e-5)
    gradient = np.array([2.0 + 0.5 * 0.6, 0.5 * 0.8])
    moved = np.array([0.6, 0.8]) - 0.1 / np.linalg.norm(gradient) * gradient
    found = keras.ops.convert_to_numpy(head)[:, 0]
    np.testing.assert_allclose(found / np.linalg.norm(found), moved / np.linalg.norm(moved), rtol=1e-5)


@pytest.mark.parametrize("compiled", MODES)
def test_lars_that_clips_moves_at_most_as_sgd(compiled):
    weight = np.array([[3.0], [4.0]])
    for rate, gradient in ((0.1, [[10.0], [0.0]]), (0.001, [[10.0], [0.0]]), (0.1, [[0.1], [0.0]])):
        optimizer = LARS(rate, momentum=0.0, trust_coefficient=0.02, clip=True)
        (found,), = trajectory(optimizer, [weight], [[np.array(gradient)]], compiled)  # fmt: skip
        step = min(0.02 * 5 / np.linalg.norm(gradient), rate) * np.array(gradient)
        np.testing.assert_allclose(found, weight - step, rtol=1e-6)


def test_the_two_forms_of_lars_agree_only_while_the_rate_is_constant():
    start, gradients = random_steps(SHAPES, 3)
    constant = [trajectory(LARS(0.3, lr_in_momentum=form), start, gradients) for form in (False, True)]
    assert_trajectories_equal(*constant)
    changing = [trajectory(LARS(warmup(), lr_in_momentum=form), start, gradients) for form in (False, True)]
    assert np.abs(changing[0][-1][1] - changing[1][-1][1]).max() > 1e-2


@pytest.mark.parametrize("compiled", MODES)
def test_lars_moves_tensors_of_zero_norm(compiled):
    start = [np.zeros((2, 3)), np.zeros(3), np.ones((2, 2))]
    gradients = [[np.ones((2, 3)), np.ones(3), np.zeros((2, 2))]]
    (matrix, bias, still), = trajectory(LARS(0.1, weight_decay=0.0), start, gradients, compiled)  # fmt: skip
    np.testing.assert_allclose(matrix, -0.1 * np.ones((2, 3)), rtol=1e-6)
    np.testing.assert_allclose(bias, -0.1 * np.ones(3), rtol=1e-6)
    np.testing.assert_array_equal(still, np.ones((2, 2)))


def test_lars_step_does_not_depend_on_the_scale_of_the_gradient():
    start, gradients = random_steps([(3, 4)], 1)
    scaled = [[1e3 * g for g in grads] for grads in gradients]
    assert_trajectories_equal(trajectory(LARS(1.0), start, gradients), trajectory(LARS(1.0), start, scaled))


@pytest.mark.parametrize("optimizer", [LARS, SGD])
def test_excluded_variables_are_not_decayed(optimizer):
    kernels = [keras.Variable(np.ones((2, 2)), name=name) for name in ("kernel", "prototypes")]
    instance = optimizer(1.0, weight_decay=0.5)
    instance.exclude_from_weight_decay(var_list=[kernels[1]])
    instance.apply([keras.ops.zeros((2, 2))] * 2, kernels)
    assert keras.ops.convert_to_numpy(kernels[0].value).max() < 1
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(kernels[1].value), np.ones((2, 2)))


@pytest.mark.parametrize("compiled", MODES)
@pytest.mark.parametrize("nesterov, decay_vectors", [(False, True), (True, False)])
def test_sgd_trajectory(nesterov, decay_vectors, compiled):
    start, gradients = random_steps(SHAPES, 4)
    optimizer = SGD(warmup(), 0.8, weight_decay=0.1, nesterov=nesterov, decay_bias_and_norm=decay_vectors)
    found = trajectory(optimizer, start, gradients, compiled)
    expected = list(sgd_reference(start, gradients, rates(4), 0.8, 0.1, nesterov, decay_vectors))
    assert_trajectories_equal(found, expected)


def test_sgd_decay_enters_the_momentum_unlike_keras():
    start, gradients = [np.ones((2, 2))], [[np.zeros((2, 2))]] * 2
    coupled = trajectory(SGD(0.1, 0.5, weight_decay=1.0), start, gradients)[-1][0]
    decoupled = trajectory(keras.optimizers.SGD(0.1, 0.5, weight_decay=1.0), start, gradients)[-1][0]
    np.testing.assert_allclose(coupled, 0.9 - 0.1 * (0.5 + 0.9), rtol=1e-6)
    np.testing.assert_allclose(decoupled, 0.9 * 0.9, rtol=1e-6)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: LARS(0.1, momentum=1.0), "momentum must be in .0, 1., got 1.0"),
        (lambda: LARS(0.1, weight_decay=-1.0), "weight_decay must be >= 0, got -1.0"),
        (lambda: LARS(0.1, trust_coefficient=0.0), "trust_coefficient must be > 0, got 0.0"),
        (lambda: SGD(0.1, momentum=-0.1), "momentum must be in .0, 1., got -0.1"),
        (lambda: SGD(0.1, momentum=0.0, nesterov=True), "nesterov=True needs a momentum above 0"),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
