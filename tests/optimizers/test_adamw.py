import keras
import numpy as np
import pytest
from optimizer_helpers import MODES, assert_trajectories_equal, make_apply, random_steps, trajectory

import kerassl
from kerassl.optimizers import AdamW
from kerassl.schedules import Cosine, Linear

SHAPES = [(3, 4), (4,)]


def adamw_reference(start, gradients, lrs, decays, b1=0.9, b2=0.95, epsilon=1e-8, decay_vectors=False):
    weights = [w.copy() for w in start]
    m, v = ([np.zeros_like(w) for w in start] for _ in range(2))
    for t, grads in enumerate(gradients, start=1):
        for i, g in enumerate(grads):
            if decay_vectors or weights[i].ndim > 1:
                weights[i] = weights[i] * (1 - lrs[t - 1] * decays[t - 1])
            m[i] = b1 * m[i] + (1 - b1) * g
            v[i] = b2 * v[i] + (1 - b2) * g**2
            step = m[i] / (1 - b1**t) / (np.sqrt(v[i] / (1 - b2**t)) + epsilon)
            weights[i] = weights[i] - lrs[t - 1] * step
        yield [w.copy() for w in weights]


@pytest.mark.parametrize("compiled", MODES)
@pytest.mark.parametrize("decay_vectors", [False, True])
def test_trajectory_with_a_scheduled_decay(decay_vectors, compiled):
    start, gradients = random_steps(SHAPES, 4)
    rate, decay = Linear(0.1, 0.02, 4), Cosine(0.5, 5.0, 3)
    optimizer = AdamW(rate, decay, beta_2=0.95, decay_bias_and_norm=decay_vectors)
    found = trajectory(optimizer, start, gradients, compiled)
    lrs, decays = [float(rate(t)) for t in range(4)], [float(decay(t)) for t in range(4)]
    expected = list(adamw_reference(start, gradients, lrs, decays, decay_vectors=decay_vectors))
    assert_trajectories_equal(found, expected, rtol=1e-4)


@pytest.mark.parametrize("compiled", MODES)
def test_a_variable_that_is_frozen_at_first_starts_its_moments_anew(compiled):
    start, gradients = random_steps([(3, 4), (2, 2)], 6)
    for grads in gradients[:3]:
        grads[0] = np.zeros_like(grads[0])
    # A gradient of zeros later on is one like others.
    gradients[4][0] = np.zeros_like(gradients[4][0])
    rate = Linear(0.1, 0.02, 6)
    variables = [keras.Variable(value, dtype="float32") for value in start]
    variables[0].starts_late = True
    optimizer = AdamW(rate, 0.0)
    apply = make_apply(optimizer, variables, compiled)
    lrs = [float(rate(t)) for t in range(6)]
    late = adamw_reference(start[:1], [g[:1] for g in gradients[3:]], lrs[3:], [0.0] * 3, b2=0.999)
    usual = adamw_reference(start[1:], [g[1:] for g in gradients], lrs, [0.0] * 6, b2=0.999)
    for step, grads in enumerate(gradients):
        apply(grads)
        expected = [start[0] if step < 3 else next(late)[0], next(usual)[0]]
        for variable, wanted in zip(variables, expected, strict=True):
            np.testing.assert_allclose(keras.ops.convert_to_numpy(variable), wanted, rtol=1e-5, atol=1e-6)


def test_prototypes_start_late():
    for head in (
        kerassl.heads.PrototypeHead(4, 3),
        kerassl.heads.DINOHead(4, 3, 4, 4),
        kerassl.heads.EnsembleHead(4, 3, 2, 4, 4),
    ):
        late = [v.name for v in head.trainable_variables if getattr(v, "starts_late", False)]
        assert late == ["prototypes"]


def test_decay_is_that_of_the_step():
    optimizer = AdamW(1e-3, Cosine(0.04, 0.4, total_steps=2))
    trajectory(optimizer, *random_steps(SHAPES, 1))
    assert float(optimizer.weight_decay) == pytest.approx(0.22)
    assert AdamW(1e-3, 0.3).weight_decay == 0.3


def test_a_constant_decay_equals_the_same_schedule():
    start, gradients = random_steps(SHAPES, 3)
    constant = trajectory(AdamW(0.1, 0.5), start, gradients)
    assert_trajectories_equal(constant, trajectory(AdamW(0.1, Linear(0.5, 0.5, 9)), start, gradients))


def test_excluded_variables_are_not_decayed():
    kernels = [keras.Variable(np.ones((2, 2)), name=name) for name in ("kernel", "prototypes")]
    optimizer = AdamW(0.1, 0.5)
    optimizer.exclude_from_weight_decay(var_list=[kernels[1]])
    optimizer.apply([keras.ops.zeros((2, 2))] * 2, kernels)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(kernels[0].value), 0.95, rtol=1e-6)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(kernels[1].value), np.ones((2, 2)))


def test_a_model_of_vectors_only_trains():
    (found,), = trajectory(AdamW(0.1, 0.5), [np.ones(3)], [[np.ones(3)]])  # fmt: skip
    np.testing.assert_allclose(found, 0.9, rtol=1e-5)


@pytest.mark.parametrize("decay", [-0.1, None, float("nan")])
def test_bad_decay_is_refused(decay):
    with pytest.raises(ValueError, match="weight_decay must be .*>= 0 or a LearningRateSchedule"):
        AdamW(1e-3, decay)
