"""The only file that touches private names of Keras: one function each, with its failure if Keras changes.

Everything here was tried with the version in `TESTED`. `tests/engine/test_keras_internals.py` fails by name
where another version differs, and silent faults raise at first use.
"""

import functools
import inspect
import types
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras import KerasTensor

TESTED = "3.15.1"
# What a layer may say of one of its variables: `False` for a weight that decay leaves alone; `True` for one
# whose gradients are zero in the first steps.
MARKS = ("is_decayed", "starts_late")


def _changed(name: str, effect: str) -> RuntimeError:
    """The error for a private name that this version of Keras lacks or no longer uses."""
    return RuntimeError(
        f"Keras {keras.__version__} has changed {name}, which kerassl relies on: {effect}. "
        f"Install the version that kerassl was tested with: pip install keras=={TESTED}"
    )


def _private(owner: object, name: str, effect: str) -> Any:
    """`owner.name`, or an error that names the version of Keras.

    Args:
        owner: an object or a class of Keras.
        name: private attribute.
        effect: the feature that depends on it.

    Raises:
        RuntimeError: if there is no such attribute.
    """
    try:
        return getattr(owner, name)
    except AttributeError:
        kind = owner if isinstance(owner, type) else type(owner)
        raise _changed(f"{kind.__name__}.{name}", effect) from None


@functools.cache
def assert_hook(owner: type, name: str, effect: str) -> None:
    """Checks that a class of Keras has a method and calls it, so that replacing it changes something.

    An override of a method that Keras no longer calls would do nothing, in silence.

    Args:
        owner: class of Keras.
        name: method that a subclass overrides or an instance replaces.
        effect: the fault without it.

    Raises:
        RuntimeError: if the method is gone, or no method of Keras mentions it.
    """
    _private(owner, name, effect)
    methods = [
        method
        for base in owner.__mro__
        if base.__module__.split(".")[0] == "keras"
        for key, method in vars(base).items()
        if key != name and inspect.isfunction(inspect.unwrap(method))
    ]
    if not any(name in _names(inspect.unwrap(method).__code__) for method in methods):
        raise _changed(f"{owner.__name__}.{name}", effect)


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def layers_of(model: keras.Layer, include_self: bool = True) -> list[keras.Layer]:
    """All layers of a model or layer, at any depth.

    Why: `Model.layers` holds only the first floor. If Keras changes it: loud, in `compile` and in each step.

    Example:
        >>> import keras
        >>> from kerassl.engine import layers_of
        >>> inner = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
        >>> [type(layer).__name__ for layer in layers_of(keras.Sequential([inner]))]
        ['Sequential', 'Sequential', 'Dense', 'InputLayer']
    """
    flatten = _private(model, "_flatten_layers", "the layers inside a model cannot be listed")
    return flatten(include_self=include_self)


def own_trainable_variables(layer: keras.Layer) -> list[keras.Variable]:
    """The trainable variables that a layer itself has made, without its sublayers' variables.

    Why: `trainable_variables` includes all sublayers'. If Keras changes it: loud, in int8 export.
    """
    return list(_private(layer, "_trainable_variables", "int8 export cannot tell which layers hold weights"))


def untrack_variable(layer: keras.Layer, variable: keras.Variable) -> None:
    """Removes a variable from those that a layer saves and lists.

    Why: a layer can add weights, and has no public way to give one up. If Keras changes it: loud, in
    `attach`.
    """
    _private(layer, "_untrack_variable", "attach() cannot replace a weight of the model")(variable)


def loss_tracker(model: keras.Model) -> keras.metrics.Mean:
    """The metric `loss` that a compiled model resets at the start of each epoch.

    Why: a second metric of that name would be saved and shown next to it. If Keras changes it: loud, in each
    step.
    """
    tracker = _private(model, "_loss_tracker", "the loss of a step cannot be logged")
    if tracker is None:
        raise _changed("Trainer._loss_tracker", "a compiled model has no metric for the loss")
    return tracker


def model_of(callback: keras.callbacks.Callback) -> keras.Model:
    """The model of a callback, as it is in the midst of an epoch.

    Why: on JAX `callback.model` copies the whole state out of the running epoch. If Keras changes it: loud,
    after the first batch of a run with a `Checkpoint`.
    """
    return _private(callback, "_model", "a callback cannot look at its model without copying it")


def replace_moments(
    layer: keras.layers.BatchNormalization, moments: Callable[..., tuple[KerasTensor, KerasTensor]]
) -> None:
    """Makes batch norm take its statistics from `moments(layer, local_moments, inputs, mask)`.

    Why: Keras' own `synchronized=True` exists on TensorFlow only. If Keras changes it: without the check
    here replicas would normalize with the statistics of their own share, in silence.

    Args:
        layer: the layer, built or not.
        moments: function that returns mean and variance, `(channels,)` each, of the layer's inputs;
            `local_moments(inputs, mask)` is Keras' own.

    Raises:
        RuntimeError: if Keras' batch norm does not call `_moments`.
    """
    effect = "batch norm would take its statistics from each device alone"
    assert_hook(keras.layers.BatchNormalization, "_moments", effect)
    layer._moments = functools.partial(moments, layer, layer._moments)


def has_replaced_moments(layer: keras.Layer) -> bool:
    """Whether `replace_moments` has changed a layer."""
    return isinstance(getattr(layer, "_moments", None), functools.partial)


def reduction_axes(layer: keras.layers.BatchNormalization) -> list[int]:
    """The axes over which a built batch norm takes its statistics.

    Why: the layer publishes the axis that it keeps, which may be negative. If Keras changes it: loud, in the
    first step on several devices.
    """
    axes = _private(layer, "_reduction_axes", "batch norm cannot take statistics of the global batch")
    if axes is None:
        raise _changed("BatchNormalization._reduction_axes", "a built layer does not know its axes")
    return axes


def data_adapter(x: object, y: object, **options) -> object:
    """Keras' wrapper of the data given to `fit`, `evaluate` or `predict`.

    Why: it makes the `tf.data` pipeline whose tuning slows epochs down. If Keras changes it: loud, in the
    first `fit` on TensorFlow.

    Args:
        x: the data.
        y: labels, or `None`.
        **options: `sample_weight`, `batch_size`, `steps_per_epoch`, `shuffle` and `class_weight`.
    """
    try:
        from keras.src.trainers.data_adapters import get_data_adapter
    except ImportError:
        raise _changed("get_data_adapter", "TensorFlow's pipelines cannot be made") from None
    return get_data_adapter(x, y, **options)


def is_validation_within_fit(options: dict) -> bool:
    """Whether `fit` itself calls `evaluate`, with data that it has prepared before.

    Why: such data must not be prepared again. If Keras changes it: slower validation, and nothing else.
    """
    return bool(options.get("_use_cached_eval_dataset"))


def strategy_of(model: keras.Model) -> object | None:
    """The `tf.distribute` strategy under which a model was made, or `None`.

    Why: `Model.distribute_strategy` gives TensorFlow's default strategy instead of `None`, and that is no
    scope to enter within another. If Keras changes it: loud, in the constructor of a method.
    """
    return _private(model, "_distribute_strategy", "a model's strategy is unknown")


class NoSymbolicBuild:
    """A part of a model that `fit` does not build from its first batch: the constructor and `compile` do.

    Why: Keras' own build fails for several workers. If Keras changes it: loud, in `fit` with several workers.
    """

    def _maybe_symbolic_build(self, iterator: object = None, data_batch: object = None) -> None:
        """Builds nothing."""


class StatelessSeedGenerator(keras.random.SeedGenerator):
    """A seed generator without a variable; a subclass writes `next`.

    Why: `keras.random` takes nothing but a `SeedGenerator`, whose constructor makes a variable, which cannot
    be made inside a compiled step. If Keras reads more of a generator than `next` and, on torch,
    `_initial_seed`: loud, in the first random number.

    Args:
        seed: anything but `None`, which torch's dropout takes for unseeded.
    """

    def __init__(self, seed: object) -> None:
        self._initial_seed = seed

    @property
    def seed(self) -> object:
        """The seed of the constructor."""
        return self._initial_seed


def mark(variable: keras.Variable, name: str, value: bool) -> None:
    """Says something of a variable to the optimizers of kerassl.

    Why: an optimizer sees variables alone, and Keras has no place for a layer's knowledge of them. If Keras
    made variables anew, marks would be lost; the test trains with a loaded model to see that it does not.

    Args:
        variable: weight of a layer.
        name: `"is_decayed"`, `False` for a weight that weight decay leaves alone; or `"starts_late"`, `True`
            for one whose gradients are zero in the first steps, as those of frozen prototypes.
        value: the value of the mark.

    Raises:
        ValueError: for another name.
        RuntimeError: if the variable does not keep it.

    Example:
        >>> import keras
        >>> from kerassl.engine import mark, marked
        >>> prototypes = keras.Variable([[1.0]])
        >>> mark(prototypes, "is_decayed", False)
        >>> marked(prototypes, "is_decayed", default=True)
        False
    """
    _check_mark(name)
    effect = f"{name}={value} of {variable.path} cannot be kept, and its weight decay would be another"
    try:
        setattr(variable, name, value)
    except AttributeError:
        raise _changed("Variable, which refuses attributes", effect) from None
    if marked(variable, name, default=not value) != value:
        raise _changed("Variable, which loses attributes", effect)


def marked(variable: keras.Variable, name: str, default: bool) -> bool:
    """The value that `mark` set for a variable, or `default`."""
    _check_mark(name)
    return getattr(variable, name, default)


def _check_mark(name: str) -> None:
    if name not in MARKS:
        raise ValueError(f"The mark {name!r} is unknown; use one of {', '.join(MARKS)}.")


def variable_key(optimizer: keras.optimizers.Optimizer, variable: object) -> object:
    """The key of a variable in an optimizer.

    Why: on TensorFlow `update_step` receives the backend's variables, not Keras'. If Keras changes it: loud,
    when the optimizer is built.
    """
    return _private(optimizer, "_var_key", "an optimizer cannot tell its variables apart")(variable)


def variable_index(optimizer: keras.optimizers.Optimizer, variable: object) -> int:
    """The place of a variable among those that an optimizer was built with.

    Why: the slots of an optimizer are lists in that order. If Keras changes it: loud, in the first update.
    """
    effect = "an optimizer cannot find the momentum of a variable"
    return _private(optimizer, "_get_variable_index", effect)(variable)


def batches_seen(optimizer: keras.optimizers.Optimizer) -> keras.Variable:
    """The counter of an optimizer's batches, int32; with gradient accumulation more than its updates.

    Why: `optimizer.iterations` counts updates, and Keras calls the schedule of the learning rate with
    batches. If Keras changes it: loud, in the first step with a schedule of the weight decay.
    """
    return _private(optimizer, "_iterations", "the weight decay's schedule has no clock")


class DecayHooks(keras.optimizers.Optimizer):
    """Public names of the weight-decay hooks of Keras' optimizers; a subclass overrides them.

    Why: which variables decay, and by how much, is private to Keras. If Keras changes it: without the check
    in the constructor the wrong variables would decay, in silence.

    Raises:
        RuntimeError: if Keras' optimizers do not ask.
    """

    def __init__(self, *args, **kwargs) -> None:
        effect = "weight decay would move the wrong variables"
        assert_hook(keras.optimizers.Optimizer, "_apply_weight_decay", effect)
        assert_hook(keras.optimizers.Optimizer, "_use_weight_decay", effect)
        super().__init__(*args, **kwargs)

    def decays(self, variable: object) -> bool:
        """Whether decay moves a variable: of Keras or, on TensorFlow, of the backend."""
        return super()._use_weight_decay(variable)

    def decay(self, variables: list[keras.Variable]) -> None:
        """Decays the variables of a step that `decays` names."""
        super()._apply_weight_decay(variables)

    def _use_weight_decay(self, variable: object) -> bool:
        return self.decays(variable)

    def _apply_weight_decay(self, variables: list[keras.Variable]) -> None:
        self.decay(variables)
