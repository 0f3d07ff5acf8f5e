"""A SavedModel as an encoder: for networks trained elsewhere, or kept only as an export."""

import os
import pathlib

import keras

_SIGNATURE = "serving_default"


def is_saved_model(path: str | os.PathLike) -> bool:
    """Whether a path is the folder of a SavedModel."""
    return pathlib.Path(path, "saved_model.pb").expanduser().exists()


def load_saved_model(path: str | os.PathLike) -> keras.Model:
    """Returns a frozen `keras.Model` that computes what the signature `serving_default` of a SavedModel does.

    Any SavedModel from one batch of inputs to one batch of features will do, with the preprocessing in
    it: `kerassl.embed` and all protocols of `kerassl.evaluation` take it. Keras runs it on TensorFlow alone.

    Args:
        path: the folder.

    Raises:
        ImportError: without TensorFlow.
        ValueError: for a folder that holds none, a signature that is missing or takes or gives something
            else, or a backend that cannot run it.

    Example:
        >>> import tempfile, keras, numpy as np
        >>> from kerassl.export import load_saved_model
        >>> network = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten()])
        >>> with tempfile.TemporaryDirectory() as folder:  # doctest: +SKIP
        ...     network.export(folder, verbose=False)
        ...     load_saved_model(folder).predict(np.ones((3, 2, 2, 1), "float32"), verbose=0).shape
        (3, 4)
    """
    path = pathlib.Path(path).expanduser()
    if not is_saved_model(path):
        raise ValueError(f"There is no SavedModel in {path}: a folder with a saved_model.pb is needed.")
    try:
        import tensorflow as tf
    except ImportError as error:
        raise ImportError('A SavedModel needs tensorflow: pip install "kerassl[tensorflow]"') from error
    signatures = tf.saved_model.load(str(path)).signatures
    if _SIGNATURE not in signatures:
        raise ValueError(f"The SavedModel in {path} has no signature {_SIGNATURE!r}, but {list(signatures)}.")
    given = signatures[_SIGNATURE].structured_input_signature[1]
    made = signatures[_SIGNATURE].structured_outputs
    if len(given) != 1 or len(made) != 1 or len(next(iter(made.values())).shape) < 2:
        raise ValueError(
            f"The SavedModel in {path} takes {_described(given)} and gives {_described(made)}; one batch of "
            "inputs and one of features, (batch, ..., dim), are needed."
        )
    ((name, images),) = given.items()
    try:
        layer = keras.layers.TFSMLayer(str(path), call_endpoint=_SIGNATURE, trainable=False)
    except NotImplementedError as error:
        raise ValueError(f"{error} Set KERAS_BACKEND=tensorflow, or load a .keras file.") from error
    inputs = keras.Input(images.shape[1:], dtype=images.dtype.name, name=name)
    (outputs,) = layer(inputs).values()
    return keras.Model(inputs, outputs, name=pathlib.Path(path).resolve().name)


def _described(tensors: dict):
    return ", ".join(f"{name} of shape {tuple(spec.shape)}" for name, spec in tensors.items()) or "nothing"
