"""What `SSLModel.compile` refuses before anything is made."""

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


def inner_optimizer(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """The optimizer that a loss scaler wraps, or the optimizer itself."""
    return getattr(optimizer, "inner_optimizer", optimizer)
