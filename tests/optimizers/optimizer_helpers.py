"""Steps of an optimizer on fixed gradients, compiled as Keras compiles them."""

import functools

import keras
import numpy as np
from keras import ops

BACKEND = keras.backend.backend()
# JAX compiles each eager operation on first use, which is slow; Keras does not compile on torch.
MODES = {"tensorflow": [False, True], "jax": [True], "torch": [False]}[BACKEND]


def make_apply(optimizer, variables, compiled=MODES[0]):
    """Returns a function that takes a list of NumPy gradients and moves `variables`."""
    optimizer.build(variables)

    def apply(*grads):
        optimizer.apply(list(grads))

    if compiled and BACKEND == "tensorflow":
        import tensorflow as tf

        apply = tf.function(apply, jit_compile=True)
    elif compiled and BACKEND == "jax":
        import jax

        stateless = jax.jit(optimizer.stateless_apply)

        def apply(*grads):
            state = [v.value for v in optimizer.variables], list(grads), [v.value for v in variables]
            for group, values in zip((variables, optimizer.variables), stateless(*state), strict=True):
                for variable, value in zip(group, values, strict=True):
                    variable.assign(value)

    return lambda grads: apply(*[ops.convert_to_tensor(np.asarray(g, "float32")) for g in grads])


def trajectory(optimizer, start, gradients, compiled=MODES[0]):
    """Returns the values of the variables after each list of `gradients`, as NumPy arrays.

    `start` is a list of arrays, `gradients` a list (one item a step) of lists of arrays.
    """
    variables = [keras.Variable(value, name=f"w{i}", dtype="float32") for i, value in enumerate(start)]
    apply = make_apply(optimizer, variables, compiled)
    seen = []
    for grads in gradients:
        apply(grads)
        seen.append([ops.convert_to_numpy(v.value).copy() for v in variables])
    return seen


def random_steps(shapes, steps, seed=0):
    """Returns random start values and gradients for variables of the given shapes."""
    rng = np.random.default_rng(seed)
    start = [rng.normal(size=s) for s in shapes]
    return start, [[rng.normal(size=s) for s in shapes] for _ in range(steps)]


def assert_trajectories_equal(found, expected, rtol=2e-5):
    for step, (a, b) in enumerate(zip(found, expected, strict=True)):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-6, err_msg=f"step {step}")


def tiny_model():
    """A model that compiles fast: one kernel, one bias."""
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, kernel_initializer="ones")])


@functools.cache
def model_of_all_kinds():
    """A model with every kind of small variable: biases, norms, and a bias of two dimensions."""
    return keras.Sequential(
        [
            keras.Input((6, 4)),
            keras.layers.Conv1D(4, 3, kernel_initializer="ones", name="conv"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.EinsumDense(
                "abc,cde->abde", (4, 2, 3), bias_axes="de", kernel_initializer="ones", name="heads"
            ),
            keras.layers.Flatten(),
            keras.layers.Dense(2, kernel_initializer="ones", name="head"),
        ],
        name="model",
    )


def moved_from_one(optimizer):
    """Returns the paths of the variables, all ones, that a step with zero gradients moves."""
    variables = model_of_all_kinds().trainable_variables
    for variable in variables:
        variable.assign(np.ones(variable.shape))
    make_apply(optimizer, variables)([np.zeros(v.shape) for v in variables])
    return [v.path for v in variables if (ops.convert_to_numpy(v.value) < 1).all()]
