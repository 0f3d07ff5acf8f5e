"""What holds for every loss: value and gradient of the reference, float32, finite edges, compiled or not."""

import functools

import numpy as np
import pytest
from keras import ops
from loss_helpers import BACKEND, CASES, fast, finite_differences, value_and_grad

# Values and gradients are asked on every backend; nothing of a backend is in the rest.
once = pytest.mark.backends("torch")
every_loss = pytest.mark.parametrize("name", CASES)
with_reduction = pytest.mark.parametrize("name", [n for n, case in CASES.items() if case.has_reduction])


@every_loss
@pytest.mark.parametrize("batch, seed", [(6, 0), (3, 1)] if BACKEND == "torch" else [(4, 0)])
def test_value_and_gradient_are_those_of_the_float64_loop(name, batch, seed):
    case = CASES[name]
    inputs = [x.astype("float32") for x in case.inputs(np.random.default_rng(seed), batch)]
    value, grads = value_and_grad(case.loss, *inputs)
    reference = [x.astype("float64") for x in inputs]
    np.testing.assert_allclose(value, case.reference(*reference), rtol=1e-5, atol=1e-6)
    to_differentiate = case.reference
    if case.detaches:
        to_differentiate = functools.partial(case.reference, detached=reference)
    for i in case.live:
        expected = finite_differences(to_differentiate, reference, i)
        np.testing.assert_allclose(grads[i], expected, rtol=1e-3, atol=2e-5, err_msg=f"argument {i}")


@pytest.mark.parametrize(
    "name",
    [
        "negative_cosine", "byol", "tico", "dino", "msn", "weighted_ensemble_entropy", "ibot", "ssld", "kd",
        "poa", "ressl", "nkd", "uskd_non_target", "ps_kd", "pseudo_label",
        "soft_cross_entropy", "feature_distance",
    ],
)  # fmt: skip
def test_no_gradient_reaches_the_target(name):
    case = CASES[name]
    _, grads = value_and_grad(case.loss, *case.inputs(np.random.default_rng(0), 4))
    assert np.abs(grads[0]).max() > 1e-3
    assert not grads[1].any()


@once
@with_reduction
def test_none_gives_one_value_per_image_whose_mean_is_the_mean(name):
    case = CASES[name]
    inputs = [x.astype("float32") for x in case.inputs(np.random.default_rng(0), 5)]
    each = ops.convert_to_numpy(fast(case.loss)(*inputs, reduction="none"))
    assert each.shape == (5,)
    np.testing.assert_allclose(each.mean(), float(fast(case.loss)(*inputs)), rtol=1e-6)


@once
@every_loss
def test_permuting_the_batch_changes_nothing(name):
    case = CASES[name]
    inputs = [x.astype("float32") for x in case.inputs(np.random.default_rng(0), 6)]
    order = np.array([3, 1, 5, 0, 2, 4])
    permuted = [np.take(x, order, axis=case.batch_axis) for x in inputs]
    np.testing.assert_allclose(float(fast(case.loss)(*permuted)), float(fast(case.loss)(*inputs)), rtol=1e-5)
    if case.has_reduction:
        each = ops.convert_to_numpy(fast(case.loss)(*inputs, reduction="none"))
        moved = ops.convert_to_numpy(fast(case.loss)(*permuted, reduction="none"))
        np.testing.assert_allclose(moved, each[order], rtol=1e-4, atol=1e-6)


@once
@every_loss
@pytest.mark.parametrize("kind", ["zeros", "duplicates", "batch of one", "large"])
def test_value_and_gradient_stay_finite(name, kind):
    case = CASES[name]
    inputs = list(case.inputs(np.random.default_rng(0), 1 if kind == "batch of one" else 4))
    for i in case.live:
        if kind == "zeros":
            inputs[i] = np.zeros_like(inputs[i])
        elif kind == "duplicates":
            inputs[i] = np.ones_like(inputs[i])
        elif kind == "large":
            inputs[i] = inputs[i] * 1e4
    value, grads = value_and_grad(case.loss, *inputs)
    assert np.isfinite(value)
    # Finite is not enough: a gradient of 1e12 at a zero vector ends a run too.
    assert all(np.abs(g).max() < (np.inf if kind == "large" else 1e6) for g in grads)


@once
@every_loss
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_low_precision_inputs_are_computed_in_float32(name, dtype):
    case = CASES[name]
    inputs = case.inputs(np.random.default_rng(0), 4)
    inputs = [ops.convert_to_numpy(ops.cast(ops.cast(x, dtype), "float32")) for x in inputs]
    value, grads = value_and_grad(case.loss, *inputs, dtype=dtype)
    expected, expected_grads = value_and_grad(case.loss, *inputs)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    for grad, full in zip(grads, expected_grads, strict=True):
        # The gradient is rounded to the input's dtype on its way out, and nowhere before.
        np.testing.assert_allclose(grad, full, rtol=2e-2, atol=2e-3)


@pytest.mark.backends("tensorflow")  # JAX is compiled in all these tests, torch in none.
# Written-out gradients, loops, sorts, linear algebra; every method's step goes through XLA in tests/engine.
@pytest.mark.parametrize(
    "name",
    ("nt_xent", "nt_xent_by_blocks", "info_nce", "groco", "look", "mmcr", "frossl", "wmse", "visreg", "dino"),
)
def test_compiled_equals_eager(name):
    case = CASES[name]
    inputs = case.inputs(np.random.default_rng(3), 4)
    value, grads = value_and_grad(case.loss, *inputs, compiled=False)
    compiled, compiled_grads = value_and_grad(case.loss, *inputs, compiled=True)
    np.testing.assert_allclose(compiled, value, rtol=1e-5)
    for a, b in zip(compiled_grads, grads, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.backends("tensorflow")  # Only TensorFlow's graphs leave the batch open.
@pytest.mark.parametrize("name", [n for n, case in CASES.items() if case.batch_axis == 0])
def test_batch_dimension_may_be_unknown(name):
    case = CASES[name]
    inputs = case.inputs(np.random.default_rng(3), 4)
    value, grads = value_and_grad(case.loss, *inputs)
    open_value, open_grads = value_and_grad(case.loss, *inputs, dynamic_batch=True)
    np.testing.assert_allclose(open_value, value, rtol=1e-5)
    np.testing.assert_allclose(open_grads[0], grads[0], rtol=1e-4, atol=1e-6)


@once
@with_reduction
def test_unknown_reduction_is_named_with_the_nearest(name):
    case = CASES[name]
    with pytest.raises(ValueError, match="reduction='means' is unknown.*Did you mean 'mean'"):
        case.loss(*case.inputs(np.random.default_rng(0), 2), reduction="means")


@once
@every_loss
def test_shapes_that_disagree_are_named(name):
    case = CASES[name]
    inputs = list(case.inputs(np.random.default_rng(0), 4))
    if len(inputs) > 1:
        wrong = [*inputs[:-1], np.concatenate([inputs[-1]] * 2, axis=case.batch_axis)]
        with pytest.raises(ValueError, match=r"has shape \(.*they must be equal"):
            case.loss(*wrong)
    with pytest.raises(ValueError, match=r"has shape \(.*but must be \("):
        case.loss(*[x[None] for x in inputs])
