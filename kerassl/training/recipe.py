"""How a method is trained: the optimizer of its paper, and what suits a short run.

A paper's rate is that for a batch of 256, and grows with the batch. A short run has fewer than 10,000
updates: LARS and the papers' rates for ViTs hardly move a network in so few. It takes AdamW, a rate that was
tried on small images, and a tenth of the run as warm-up; heads and queues are smaller, to fit the narrow
networks and few images of such runs, and teachers faster.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import keras

from kerassl import schedules
from kerassl.arguments import (
    NonNegativeFloat,
    PositiveInt,
    check_value,
)
from kerassl.data import num_batches
from kerassl.optimizers import LARS, SGD, AdamW

# Updates below which a run is a short one.
SHORT_RUN = 10_000
# A paper's optimizer on a method of another paper; SGD is as in SimSiam, arXiv 2011.10566 section 3.
GENERAL = {
    "adamw": {"learning_rate": 5e-4, "weight_decay": 0.05, "warmup_epochs": 10},
    "lars": {"learning_rate": 0.2, "weight_decay": 1e-6, "warmup_epochs": 10},
    "sgd": {"learning_rate": 0.05, "weight_decay": 1e-4, "warmup_epochs": 10},
}
OPTIMIZERS = ("default", *GENERAL)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a launcher knows of a method.

    Attributes:
        paper: `optimizer` ("adamw", "lars" or "sgd"), `learning_rate` at a batch of 256, `weight_decay`,
            `final_weight_decay` where it changes by a cosine, `warmup_epochs`; `batch_power`, the power of
            the batch with which the rate grows, if not 1; `options`, further arguments of the optimizer.
        short: rate and decay of AdamW in a short run.
        arguments: of the class, where they are not its defaults.
        short_arguments: further arguments in a short run.
        by_updates: what depends on the length of the run: for each number of updates, in rising order, the
            entries of `paper` and the further `arguments` of runs below it.
        backbone: name of the backbone that the method was made for.
        backbone_args: of a ResNet, where the method needs another than the usual one.
        views: name of a preset of `kerassl.views`, or "default" for the class's own.
        digits_views: the preset for digits, which must not be mirrored, or "default".
        constant_rate: the part of the method whose learning rate stays at its peak under the paper's
            optimizer, or `None`.
    """

    paper: Mapping[str, Any]
    short: Mapping[str, float] = dataclasses.field(
        default_factory=lambda: {"learning_rate": 2e-3, "weight_decay": 1e-4}
    )
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    short_arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    by_updates: Mapping[float, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    backbone: str = "resnet18"
    backbone_args: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    views: str = "default"
    digits_views: str = "digits"
    constant_rate: str | None = None

    def for_length(self, num_updates: int) -> "Recipe":
        """The recipe of a run of so many updates."""
        changes = next((dict(entry) for limit, entry in self.by_updates.items() if num_updates < limit), {})
        arguments = {**self.arguments, **changes.pop("arguments", {})}
        if num_updates < SHORT_RUN:
            arguments |= self.short_arguments
        return dataclasses.replace(self, paper={**self.paper, **changes}, arguments=arguments)


def optimizer_settings(
    recipe: Recipe,
    *,
    epochs: int,
    steps_per_epoch: int,
    batch_size: int,
    optimizer: str = "default",
    learning_rate: float | None = None,
    weight_decay: float | None = None,
    final_weight_decay: float | None = None,
    warmup_epochs: float | None = None,
) -> dict:
    """What is left open by the arguments, filled in.

    Args:
        recipe: of the method.
        epochs: passes over the data.
        steps_per_epoch: batches per pass.
        batch_size: examples per step over all devices.
        optimizer: "default" (the paper's, or AdamW for a short run), "adamw", "lars" or "sgd".
        learning_rate: peak rate, used as it is.
        weight_decay: used as it is, without a schedule.
        final_weight_decay: to which AdamW's decay goes by a cosine.
        warmup_epochs: epochs of linear warm-up.

    Returns:
        `{"optimizer", "learning_rate", "weight_decay", "final_weight_decay", "warmup_epochs"}`.

    Raises:
        ValueError: for an unknown optimizer, a number out of its bounds, or a warm-up that leaves nothing of
            the run.

    Example:
        >>> import kerassl
        >>> from kerassl.training import optimizer_settings
        >>> recipe = kerassl.methods.BYOL.recipes["byol"]
        >>> settings = optimizer_settings(recipe, epochs=300, steps_per_epoch=5000, batch_size=512)
        >>> settings["optimizer"], settings["learning_rate"], settings["warmup_epochs"]
        ('lars', 0.4, 10)
    """
    check_value("optimizer", optimizer, Literal[OPTIMIZERS])
    check_value("learning_rate", learning_rate, NonNegativeFloat | None)
    check_value("weight_decay", weight_decay, NonNegativeFloat | None)
    check_value("final_weight_decay", final_weight_decay, NonNegativeFloat | None)
    num_updates = epochs * steps_per_epoch
    paper = recipe.for_length(num_updates).paper
    if num_updates < SHORT_RUN and optimizer in ("default", "adamw"):
        base: dict[str, Any] = {"optimizer": "adamw", **recipe.short}
    else:
        chosen = paper["optimizer"] if optimizer == "default" else optimizer
        base = dict(paper if chosen == paper["optimizer"] else {"optimizer": chosen, **GENERAL[chosen]})
        base["learning_rate"] *= (batch_size / 256) ** base.get("batch_power", 1)
    warmup = min(0.1 * epochs, base.get("warmup_epochs", 10)) if warmup_epochs is None else warmup_epochs
    if not 0 <= warmup < epochs:
        raise ValueError(f"warmup_epochs must be in [0, epochs), and epochs is {epochs}; got {warmup}.")
    decay = base["weight_decay"] if weight_decay is None else weight_decay
    final = base.get("final_weight_decay", decay) if weight_decay is None else weight_decay
    return {
        "optimizer": base["optimizer"],
        "learning_rate": base["learning_rate"] if learning_rate is None else learning_rate,
        "weight_decay": decay,
        "final_weight_decay": final if final_weight_decay is None else final_weight_decay,
        "warmup_epochs": warmup,
    }


def make_optimizer(
    recipe: Recipe,
    *,
    optimizer: str,
    learning_rate: float,
    weight_decay: float,
    final_weight_decay: float,
    warmup_epochs: float,
    epochs: int,
    steps_per_epoch: int,
    rate_factors: dict[str, float] | None = None,
    model: keras.Model | None = None,
) -> keras.optimizers.Optimizer:
    """The optimizer with a linear warm-up and a cosine decay to 0.

    Args:
        recipe: of the method, whose options are taken where the optimizer is the paper's.
        optimizer: "adamw", "lars" or "sgd".
        learning_rate: at the end of the warm-up.
        weight_decay: at the first step.
        final_weight_decay: at the last step, reached by a cosine; AdamW only.
        warmup_epochs: epochs of linear warm-up.
        epochs: passes over the data.
        steps_per_epoch: batches per pass.
        rate_factors: as of `kerassl.optimizers.layerwise_factors`.
        model: whose part that keeps its rate is looked up: the predictor of SimSiam.
    """
    total = epochs * steps_per_epoch
    warmup = min(round(warmup_epochs * steps_per_epoch), total - 1)
    rate = schedules.WarmupCosine(learning_rate, total, warmup_steps=warmup)
    options: dict[str, Any] = {"rate_factors": rate_factors}
    if optimizer == recipe.paper["optimizer"]:
        options |= recipe.paper.get("options", {})
        if model is not None and recipe.constant_rate:
            part = getattr(model, recipe.constant_rate)
            options["constant_rates"] = {v.path: learning_rate for v in part.trainable_variables}
    if optimizer == "lars":
        return LARS(rate, weight_decay=weight_decay, **options)
    if optimizer == "sgd":
        return SGD(rate, weight_decay=weight_decay, **options)
    if final_weight_decay != weight_decay:
        weight_decay = schedules.Cosine(weight_decay, final_weight_decay, total)
    return AdamW(rate, weight_decay=weight_decay, **options)


def recipe_optimizer(
    model: keras.Model,
    *,
    epochs: PositiveInt,
    data: Any,
    recipe: str | None = None,
    batch_size: PositiveInt | None = None,
    rate_factors: dict[str, float] | None = None,
    **changes,
) -> keras.optimizers.Optimizer:
    """The optimizer that a launcher would take for a method.

    Args:
        model: an `SSLModel`.
        epochs: passes over the data.
        data: what `fit` will get.
        recipe: name of one of the class's `recipes`; the first by default.
        batch_size: examples per step over all devices, where the data does not have a `batch_size`.
        rate_factors: as of `kerassl.optimizers.layerwise_factors`.
        **changes: what to take in place of the recipe's: `optimizer`, `learning_rate`, `weight_decay`,
            `final_weight_decay` or `warmup_epochs`, as of `optimizer_settings`.

    Raises:
        ValueError: for a recipe that the class does not have, or data that does not tell its batch size or
            length.
    """
    check_value("epochs", epochs, PositiveInt)
    known = type(model).recipes or {"general": Recipe(paper={"optimizer": "adamw", **GENERAL["adamw"]})}
    if recipe is not None and recipe not in known:
        raise ValueError(f"{type(model).__name__} has no recipe {recipe!r}; it has {', '.join(known)}.")
    batch_size = getattr(data, "batch_size", None) if batch_size is None else batch_size
    if not isinstance(batch_size, int):
        raise ValueError(f"A {type(data).__name__} does not tell its batch size; pass batch_size=.")
    steps = num_batches(data, batch_size)
    if steps is None:
        raise ValueError(
            f"A {type(data).__name__} does not tell how many batches it has, which the schedule needs: use "
            "tf.data.experimental.assert_cardinality, or a kerassl.data.ImageDataset."
        )
    chosen = known[recipe or next(iter(known))]
    settings = optimizer_settings(
        chosen, epochs=epochs, steps_per_epoch=steps, batch_size=batch_size, **changes
    )
    return make_optimizer(
        chosen, **settings, epochs=epochs, steps_per_epoch=steps, rate_factors=rate_factors, model=model
    )
