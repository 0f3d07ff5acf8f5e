"""Which variables weight decay moves: chosen by variable, not by a pattern on names."""

import keras

from kerassl.engine.keras_internals import marked


def is_decayed(variable: keras.Variable) -> bool:
    """Whether a variable is a weight matrix or kernel, rather than a bias or the scale of a norm.

    Tensors of one dimension are biases and scales. So are a few of more dimensions in Keras, such as the
    `(heads, dim)` biases of `MultiHeadAttention`, known by the exact name that their layer gives them. A
    layer can say so itself, by `kerassl.engine.mark(variable, "is_decayed", False)`, as `PrototypeHead` does.
    """
    matrix = len(variable.shape) > 1 and variable.name not in ("bias", "beta", "gamma")
    return matrix and marked(variable, "is_decayed", default=True)


def decayed_variables(model_or_variables: keras.Layer | list[keras.Variable]) -> list[keras.Variable]:
    """Returns the trainable variables that LARS and AdamW decay by default, in order.

    Args:
        model_or_variables: a built model or layer, or a list of variables.

    Returns:
        The variables with more than one dimension that are not a bias, beta or gamma.

    Example:
        >>> import keras
        >>> from kerassl.optimizers import decayed_variables
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8)])
        >>> [v.name for v in model.trainable_variables], [v.name for v in decayed_variables(model)]
        (['kernel', 'bias'], ['kernel'])
    """
    variables = getattr(model_or_variables, "trainable_variables", model_or_variables)
    return [v for v in variables if v.trainable and is_decayed(v)]
