"""The step by which backends and devices are compared: the same weights, the same views, one update."""

import keras
import numpy as np
from tiny import accuracy_of, labels, make, ready_views

BATCH = 16


def start(model):
    """Gives a model weights that depend on no backend's random numbers, and none that are all alike."""
    rng = np.random.default_rng(0)
    trainable = {id(variable) for variable in model.trainable_variables}
    for variable in model.weights:
        old = keras.ops.convert_to_numpy(variable)
        if not np.issubdtype(old.dtype, np.floating):
            continue
        drawn = rng.normal(size=old.shape).astype(old.dtype)
        if np.ptp(old) > 0:
            variable.assign(drawn / np.sqrt(np.prod(old.shape[:-1])))
        elif id(variable) in trainable:
            variable.assign(old + 0.01 * drawn)


def weights(model, when):
    """All weights as arrays, by number, since paths count the layers made before."""
    return {f"{when}/{i:03d}": keras.ops.convert_to_numpy(v) for i, v in enumerate(model.weights)}


def first_batch(name):
    """The views of the step and their labels: the first of five batches that are drawn together."""
    views = keras.tree.map_structure(lambda view: view[:BATCH], ready_views(name, 5 * BATCH))
    return views, labels(BATCH)


def one_step(name):
    """A method after its step on one device, what the step has made of it, and JAX' own form of the step."""
    model = make(name, views=None)
    start(model)
    backend = keras.backend.backend()
    # TensorFlow would take seconds to trace it.
    model.compile(keras.optimizers.SGD(0.05), run_eagerly=backend == "tensorflow")
    views, classes = first_batch(name)
    if backend == "jax":
        lowered, logs = step_of_jax(model, (views, classes))
    else:
        history = model.fit(views, classes, batch_size=BATCH, shuffle=False, verbose=0).history
        lowered, logs = None, {key: value[0] for key, value in history.items()}
    result = {"loss": logs["loss"], "accuracy": logs[accuracy_of(model)]}
    return model, result | weights(model, "after one step"), lowered


def step_of_jax(model, batch):
    """Takes a step of a compiled model; returns the step as text, by platform, and the logs."""
    import jax

    groups = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )
    state = tuple([variable.value for variable in group] for group in groups)
    step = jax.jit(model.train_step)
    lowered = step.lower(state, batch)
    # Traced once; refused if anything in it has no form on these platforms, or none that is kept.
    elsewhere = jax.export.export(step, platforms=("tpu", "cuda"))(state, batch)
    logs, moved = lowered.compile()(state, batch)
    for group, values in zip(groups, moved, strict=True):
        for variable, value in zip(group, values, strict=True):
            variable.assign(value)
    texts = {"cpu": lowered.as_text(), "tpu and cuda": elsewhere.mlir_module()}
    return texts, {key: float(value) for key, value in logs.items()}
