"""The step by which backends and devices are compared: the same weights, the same views, one update."""

import keras
import numpy as np
from tiny import accuracy_of, labels, make, method_class, ready_views

import kerassl

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


def batches(name):
    """Views, labels and, where the loss takes them, weights of five batches that are drawn together."""
    made = ready_views(name, 5 * BATCH), labels(5 * BATCH)
    if not method_class(name.removesuffix(" without chance")).supports_sample_weight:
        return made
    return (*made, np.random.default_rng(1).uniform(0, 2, 5 * BATCH).astype("float32"))


def first_batch(name):
    """The batch of the step."""
    return keras.tree.map_structure(lambda values: values[:BATCH], batches(name))


def one_step(name):
    """A method after its step on one device, what the step has made of it, and JAX' own form of the step."""
    model = make(name, views=None)
    start(model)
    backend = keras.backend.backend()
    # TensorFlow would take seconds to trace it.
    model.compile(keras.optimizers.SGD(0.05), run_eagerly=backend == "tensorflow")
    batch = first_batch(name)
    texts, take = step_of_jax(model, batch) if backend == "jax" else (None, None)
    if take is None or type(model).start_epoch is not kerassl.SSLModel.start_epoch:
        weighted = {"sample_weight": batch[2]} if len(batch) > 2 else {}
        options = {"batch_size": BATCH, "shuffle": False, "verbose": 0}
        history = model.fit(*batch[:2], **weighted, **options).history
        logs = {key: value[0] for key, value in history.items()}
    else:
        # Without a second trace.
        logs = take()
    result = {"loss": logs["loss"], "accuracy": logs[accuracy_of(model)]}
    return model, result | weights(model, "after one step"), texts


def step_of_jax(model, batch):
    """The step as text, by platform, and a function that takes it and returns the logs."""
    import jax

    groups = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )
    # As `fit` does.
    model.clock.steps_per_epoch.assign(1), model.clock.total_steps.assign(1)
    state = tuple([variable.value for variable in group] for group in groups)
    step = jax.jit(model.train_step)
    lowered = step.lower(state, batch)
    # Traced once; refused if anything in it has no form on these platforms, or none that is kept.
    elsewhere = jax.export.export(step, platforms=("tpu", "cuda"))(state, batch)

    def take():
        logs, moved = lowered.compile()(state, batch)
        for group, values in zip(groups, moved, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)
        return {key: float(value) for key, value in logs.items()}

    return {"cpu": lowered.as_text(), "tpu and cuda": elsewhere.mlir_module()}, take
