"""The contract of a modality: what a model asks of the layer between raw inputs and encoder."""

from typing import Any

import keras
import numpy as np
from keras import KerasTensor, ops

from kerassl import engine
from kerassl.arguments import check_value


def check_probability(name: str, value: float) -> float:
    """Returns `value` as a float if it lies in [0, 1], and raises `ValueError` otherwise."""
    check_value(name, value, float)
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must lie in [0, 1]; got {value}. 0 turns the transform off.")
    return float(value)


def check_range(
    name: str, value: float | tuple[float, float], low: float = 0.0, high: float = float("inf")
) -> tuple[float, float]:
    """Returns `value` as `(a, b)` if low < a <= b <= high, and raises `ValueError` otherwise."""
    check_value(name, value, float | tuple[float, float])
    pair = tuple(float(v) for v in value) if isinstance(value, (tuple, list)) else (float(value),) * 2
    if len(pair) != 2 or not low < pair[0] <= pair[1] <= high:
        raise ValueError(f"{name} must be a pair (a, b) with {low} < a <= b <= {high}; got {value}.")
    return pair


def uniform(
    seed: keras.random.SeedGenerator, shape: tuple, low: float = 0.0, high: float = 1.0
) -> KerasTensor:
    """Draws float32 numbers uniformly from [low, high)."""
    return keras.random.uniform(shape, low, high, dtype="float32", seed=seed)


def bernoulli(seed: keras.random.SeedGenerator, batch: int | KerasTensor, probability: float) -> KerasTensor:
    """Draws `(batch,)` booleans that are True with `probability`."""
    return uniform(seed, (batch,)) < probability


def batch_size(inputs: Any) -> int | KerasTensor:
    """The length of the first axis of a tensor or of the first tensor of a pytree."""
    return ops.shape(keras.tree.flatten(inputs)[0])[0]


def as_tuple(made: Any) -> tuple:
    """What a layer made as a tuple of views; a layer of single views gives none."""
    return tuple(made) if isinstance(made, (tuple, list)) else (made,)


class RandomLayer(keras.layers.Layer):
    """A layer whose random numbers come from the caller's seed or from a generator of its own.

    It computes in float32, since a bfloat16 policy would round the inputs themselves.

    Args:
        seed: integer seed of the generator that is used when `call` is given no seed.
        generator: the generator itself, such as that of another layer.
        **kwargs: further arguments of `keras.layers.Layer`.
    """

    def __init__(
        self, seed: int | None = None, generator: keras.random.SeedGenerator | None = None, **kwargs
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        check_value("seed", seed, int | None)
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed) if generator is None else generator
        # Such layers have no weights, so nothing waits for a shape.
        self.built = True

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "preprocess":
            # A backend may keep layers outside the instance's dict, where the class's method hides them.
            self.__dict__[name] = value

    def get_config(self) -> dict:
        """Returns the constructor arguments."""
        return {**super().get_config(), "seed": self.seed}


class Modality:
    """What a model asks of a kind of data; the answers here suit any tensors with one first axis.

    Attributes:
        modality: the plural noun that messages use, such as "images" or "signals".
        allows_nan: whether NaN is a value, such as a missing one; infinite values never are.
    """

    modality = "inputs"
    allows_nan = False

    def preprocess(self, inputs: Any) -> Any:
        """Returns what the encoder takes of raw inputs, not at random; exported with the encoder."""
        return inputs

    def check(self, inputs: Any, labels: Any = None) -> None:
        """Raises `ValueError` for raw inputs that cannot be trained on.

        Args:
            inputs: an array or a pytree (dict, tuple) of arrays `(number, ...)`.
            labels: an array `(number, ...)`, or `None`.

        Raises:
            ValueError: for no inputs, first axes that differ, NaN that means nothing, infinite values, or
                labels of another number.
        """
        arrays = {name: to_numpy(array) for name, array in named_arrays(inputs).items()}
        if not arrays:
            raise ValueError(f"No {self.modality} were given: got {inputs!r}.")
        shapes = {name: array.shape for name, array in arrays.items()}
        if any(not shape for shape in shapes.values()) or len({shape[0] for shape in shapes.values()}) != 1:
            raise ValueError(
                f"All parts of the {self.modality} must have one first axis, the number of examples; got "
                f"{_in_words(shapes)}."
            )
        if any(0 in shape for shape in shapes.values()):
            raise ValueError(
                f"The {self.modality} are empty: got {_in_words(shapes)}. At least one is needed."
            )
        for name, array in arrays.items():
            self._check_finite(name, array)
        number = next(iter(shapes.values()))[0]
        if labels is not None and len(labels) != number:
            raise ValueError(
                f"There are {number} {self.modality} but {len(labels)} labels. Give one label for each, "
                "-1 where it is unknown."
            )

    def _check_finite(self, name: str, array: np.ndarray) -> None:
        if array.dtype.kind != "f":
            return
        # A finite sum proves that all values are finite, without a mask of the array's size.
        with np.errstate(all="ignore"):
            if np.isfinite(array.sum(dtype="float64")):
                return
        bad = np.isinf(array) if self.allows_nan else ~np.isfinite(array)
        rows = np.flatnonzero(bad.reshape(len(array), -1).any(axis=1))
        if len(rows):
            where = f" of {name!r}" if name else ""
            raise ValueError(
                f"{len(rows)} of {len(array)} {self.modality} hold "
                f"{'infinite' if self.allows_nan else 'NaN or infinite'} values{where}; the first is number "
                f"{rows[0]}. Remove or mend them, e.g. with np.nan_to_num."
            )

    def describe(self, inputs: Any) -> dict:
        """Returns what inputs are, in plain values: training notes it, evaluation warns of other inputs.

        Args:
            inputs: as in `check`.

        Returns:
            `{"shape": ..., "dtype": ...}` of one example, each a pytree like the inputs.
        """
        return {
            "shape": keras.tree.map_structure(lambda x: list(x.shape[1:]), inputs),
            "dtype": keras.tree.map_structure(lambda x: keras.backend.standardize_dtype(x.dtype), inputs),
        }

    def statistics(self, inputs: Any) -> dict:
        """Returns named float32 scalars of a batch for the report of a NaN; runs inside the compiled step.

        Args:
            inputs: a tensor or a pytree of tensors, float, integer or boolean.

        Returns:
            `minimum`, `maximum`, `mean` and `variance` of the finite values, and `nonfinite`, the number of
            the others.
        """
        return engine.batch_statistics(inputs)

    def raw_input_spec(self, encoder: keras.Model, size: int | tuple[int, ...] | None = None) -> Any:
        """Returns shape and dtype of raw inputs, for export.

        Args:
            encoder: the network that takes them once they are preprocessed.
            size: the length of the axes that `preprocess` resizes; `None` leaves them open. Inputs of this
                modality have none.

        Returns:
            A pytree of `keras.InputSpec`, whose first axis is `None`: here that of the encoder's inputs.
        """
        return keras.tree.map_structure(
            lambda x: keras.InputSpec(x.dtype, x.shape, name=x.name), input_structure(encoder)
        )


@keras.saving.register_keras_serializable("kerassl")
class Views(Modality, RandomLayer):
    """Makes the views of a batch inside the compiled step, and answers for its modality.

    A new modality is a subclass that writes `augment(inputs, seed)`, one random view, or `call`, all of them;
    and `preprocess` where the encoder does not take raw inputs.

    Args:
        seed: integer seed of the generator that is used when `call` is given no seed.
        **kwargs: further arguments of `keras.layers.Layer`.

    Attributes:
        num_views: how many views `call` makes.

    Example:
        >>> import keras, numpy as np
        >>> from kerassl.views import Views
        >>> class NoisySignals(Views):
        ...     modality = "signals"
        ...     def augment(self, inputs, seed):
        ...         return inputs + 0.1 * keras.random.normal(keras.ops.shape(inputs), seed=seed)
        >>> [tuple(view.shape) for view in NoisySignals()(np.zeros((4, 50, 3), "float32"))]
        [(4, 50, 3), (4, 50, 3)]
    """

    num_views = 2

    def call(self, inputs: Any, seed: keras.random.SeedGenerator | None = None) -> tuple:
        """Returns a tuple of views, each a tensor or a pytree of tensors.

        Args:
            inputs: a tensor or a pytree of tensors `(batch, ...)`.
            seed: a `keras.random.SeedGenerator`, such as `kerassl.engine.StepSeed`, that all draws come
                from; `None` takes the layer's own.
        """
        seed = self.generator if seed is None else seed
        return tuple(self.augment(inputs, seed) for _ in range(self.num_views))

    def augment(self, inputs: Any, seed: keras.random.SeedGenerator) -> Any:
        """Returns one random view of each input; all draws come from `seed`."""
        raise NotImplementedError(
            f"{type(self).__name__} must define `augment(inputs, seed)`, one view, or `call(inputs, seed)`, "
            "a tuple of all."
        )


class ViewsOf(Views):
    """Views made of the views of another layer, which answers for the modality.

    Args:
        source: a `Views` layer, or a layer of single views that has a `preprocess`.
        seed: integer seed of the generator that is used when `call` is given no seed.
        **kwargs: further arguments of `keras.layers.Layer`.

    Raises:
        ValueError: for a source that does not say how inputs are preprocessed.
    """

    def __init__(self, source: keras.layers.Layer, seed: int | None = None, **kwargs) -> None:
        super().__init__(seed=seed, **kwargs)
        if not hasattr(source, "preprocess"):
            name = getattr(source, "__name__", type(source).__name__)
            raise ValueError(
                f"{type(self).__name__} needs views that say how their encoder's inputs are preprocessed; "
                f"got {name}. Any Keras layer or function of images becomes such a view by "
                "kerassl.views.BatchAugmentation(layer, size)."
            )
        self.preprocess = source.preprocess
        self.source = source if isinstance(source, Modality) else Modality()

    @property
    def modality(self) -> str:
        """The plural noun that messages use."""
        return self.source.modality

    @property
    def allows_nan(self) -> bool:
        """Whether NaN is a value."""
        return self.source.allows_nan

    def check(self, inputs: Any, labels: Any = None) -> None:
        """Raises `ValueError` for raw inputs that cannot be trained on, as the source says."""
        self.source.check(inputs, labels)

    def describe(self, inputs: Any) -> dict:
        """Returns what inputs are, as the source says."""
        return self.source.describe(inputs)

    def statistics(self, inputs: Any) -> dict:
        """Returns named float32 scalars of a batch, as the source says."""
        return self.source.statistics(inputs)

    def raw_input_spec(self, encoder: keras.Model, size: int | tuple[int, ...] | None = None) -> Any:
        """Returns shape and dtype of raw inputs, as the source says."""
        return self.source.raw_input_spec(encoder, size)


def input_structure(network: keras.Model) -> Any:
    """The symbolic input of a model, or several, nested as it takes them.

    Raises:
        ValueError: for a model that does not say what it takes.
    """
    inputs = getattr(network, "inputs", None)
    if inputs:
        return inputs[0] if len(inputs) == 1 else network.input
    shape = getattr(network, "input_shape", None)
    if isinstance(shape, tuple) and all(side is None or isinstance(side, int) for side in shape):
        return keras.KerasTensor(shape, "float32", name="inputs")
    raise ValueError(
        f"{network.name} does not say what it takes: it is a {type(network).__name__} without inputs. Make "
        "it functional, keras.Model(inputs, outputs), or give it the attribute input_shape."
    )


def named_arrays(inputs: Any) -> dict[str, Any]:
    """The arrays of a pytree by their path, such as "image" or "0"; one array alone has the path ""."""
    return {
        "/".join(str(key) for key in path): array
        for path, array in keras.tree.flatten_with_path(inputs)
        if array is not None
    }


def to_numpy(array: Any) -> np.ndarray:
    """An array or a tensor of any backend as a NumPy array; bfloat16 becomes float32."""
    if not isinstance(array, np.ndarray):
        array = ops.convert_to_numpy(array) if ops.is_tensor(array) else np.asarray(array)
    return array.astype("float32") if array.dtype.name == "bfloat16" else array


def _in_words(shapes: dict[str, tuple]) -> str:
    return ", ".join(f"{name + ' of ' if name else ''}shape {shape}" for name, shape in shapes.items())
