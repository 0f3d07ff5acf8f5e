"""A method in one line."""

from typing import Any

import keras

from kerassl.arguments import parameters

# What the line says in other words, or not at all.
_LEFT_OUT = ("encoder", "student", "views", "views_options", "name", "seed")


def describe(model: Any) -> str:
    """What a method holds: its encoder, its views, and the arguments that are not its defaults.

    Args:
        model: an `SSLModel`, whose constructor has run.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.ResNet((16, 16, 3), depths=(1,), width=4, stem="small", name="net")
        >>> kerassl.methods.SimCLR(encoder, projection_dim=8)
        SimCLR(encoder=net of 444 parameters and 4 features, views=TwoViews, projection_dim=8)
    """
    views = model.views if model.views is None else type(model.views).__name__
    encoder, kept = model.encoder, vars(model.arguments)
    parts = [
        f"encoder={encoder.name} of {encoder.count_params():,} parameters and {model.feature_dim} features",
        f"views={views}",
    ]
    for name, parameter in parameters(type(model)).items():
        if name in _LEFT_OUT or name not in kept:
            continue
        value = kept[name]
        if isinstance(value, keras.layers.Layer):
            parts.append(f"{name}={value.name}")
        elif value is not parameter.default and value != parameter.default:
            parts.append(f"{name}={getattr(value, '__name__', repr(value))}")
    return f"{type(model).__name__}({', '.join(parts)})"
