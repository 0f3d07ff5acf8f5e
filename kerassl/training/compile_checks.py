"""What `SSLModel.compile` and `SSLModel.fit` refuse before anything is made."""

from collections.abc import Mapping
from typing import Any

import keras

from kerassl.arguments import PositiveInt, check_value


def check_compile(
    model: Any,
    optimizer: keras.optimizers.Optimizer,
    chunk_size: int | None,
    nonfinite: str,
    others: Mapping[str, Any],
) -> None:
    """Raises for what a method cannot be compiled with.

    Args:
        model: an `SSLModel`.
        optimizer: that it is to be trained with.
        chunk_size: examples that a device encodes at a time, or `None`.
        nonfinite: what to do about a loss that is not finite.
        others: further arguments of `compile`.

    Raises:
        ValueError: with what is not possible, why, and what to do instead.
    """
    name = type(model).__name__
    if nonfinite not in ("raise", "skip"):
        raise ValueError(f'nonfinite must be "raise" or "skip", got {nonfinite!r}.')
    for given in ("loss", "metrics", "loss_weights", "weighted_metrics"):
        if others.get(given) is not None:
            raise ValueError(
                f"compile({given}=...) does not apply to {name}: the loss is the method's own. Choose its "
                f"terms "
                "by the constructor's arguments; follow the run with the online probe (`num_classes=`) and "
                "kerassl.callbacks."
            )
    check_value("chunk_size", chunk_size, PositiveInt | None)
    if chunk_size and not model.supports_chunks:
        raise ValueError(
            f"chunk_size={chunk_size} is not for {name}, which encodes parts of its inputs: the optimizer's "
            "gradient_accumulation_steps save memory there, too."
        )
    if not model.supports_gradient_accumulation and inner_optimizer(optimizer).gradient_accumulation_steps:
        raise ValueError(
            f"{name} needs an update with every batch; take an optimizer without "
            "gradient_accumulation_steps; compile(chunk_size=) fits a large batch into memory, too."
        )
    if model.uses_virtual_steps and nonfinite == "skip":
        raise ValueError(
            f'nonfinite="skip" is not for {name}: it could not leave out what virtual steps have done. Take '
            '"raise".'
        )


def check_weights(model: Any, options: Mapping[str, Any]) -> None:
    """Raises for weights of examples where the method's loss has no place for them.

    Args:
        model: an `SSLModel`.
        options: further arguments of `fit`.

    Raises:
        ValueError: names the argument.
    """
    for name in ("sample_weight", "class_weight"):
        if options.get(name) is not None:
            refuse_weights(model, f"{name}=")
    validation = options.get("validation_data")
    if isinstance(validation, (tuple, list)) and len(validation) == 3 and validation[2] is not None:
        refuse_weights(model, "the third entry of validation_data")


def refuse_weights(model: Any, what: str) -> None:
    """Raises a ValueError unless a model can weigh each example's loss.

    Args:
        model: an `SSLModel`.
        what: has the weights.
    """
    if not model.supports_sample_weight:
        raise ValueError(
            f"{type(model).__name__} has no loss of each example that a weight could multiply: leave out "
            f"{what}. kerassl.classifiers.Classifier takes weights."
        )


def inner_optimizer(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """The optimizer that a loss scaler wraps, or the optimizer itself."""
    return getattr(optimizer, "inner_optimizer", optimizer)
