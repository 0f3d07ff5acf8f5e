"""The optimizer of a run: that of the method's paper for long runs, one that learns quickly for short ones.

Where they come from stands in `recipes.methods`; SGD on other methods is as in SimSiam, arXiv 2011.10566
section 3.
"""

import keras

import kerassl

from .methods import byol_settings, recipe_of
from .names import OPTIMIZERS, check_name

# Updates below which a run is a short one.
SHORT_RUN = 10_000
GENERAL = {
    "adamw": {"learning_rate": 5e-4, "weight_decay": 0.05, "warmup_epochs": 10},
    "lars": {"learning_rate": 0.2, "weight_decay": 1e-6, "warmup_epochs": 10},
    "sgd": {"learning_rate": 0.05, "weight_decay": 1e-4, "warmup_epochs": 10},
}


def optimizer_settings(
    method: str,
    optimizer: str,
    epochs: int,
    steps_per_epoch: int,
    batch_size: int,
    learning_rate: float | None = None,
    weight_decay: float | None = None,
    warmup_epochs: float | None = None,
) -> dict:
    """What is left open by the arguments, filled in.

    Args:
        method: name of a method, of a way to distil or to fine-tune, or of a classifier.
        optimizer: "default", "adamw", "lars" or "sgd".
        epochs: passes over the data.
        steps_per_epoch: batches per pass.
        batch_size: images per step over all devices.
        learning_rate: peak rate, used as it is.
        weight_decay: used as it is, without a schedule.
        warmup_epochs: epochs of linear warm-up.

    Returns:
        `{"optimizer", "learning_rate", "weight_decay", "final_weight_decay", "warmup_epochs"}`.

    Raises:
        ValueError: for an unknown optimizer or a warm-up that leaves nothing of the run.

    Example:
        >>> from recipes.optimizers import optimizer_settings
        >>> settings = optimizer_settings("byol", "default", 300, 5000, batch_size=512)
        >>> settings["optimizer"], settings["learning_rate"], settings["warmup_epochs"]
        ('lars', 0.4, 10)
    """
    check_name("optimizer", optimizer, OPTIMIZERS)
    short = epochs * steps_per_epoch < SHORT_RUN
    recipe = recipe_of(method)
    paper = recipe.paper
    if method == "byol":
        _, rate, decay = byol_settings(epochs * steps_per_epoch)
        paper = {**paper, "learning_rate": rate, "weight_decay": decay}
    if short and optimizer in ("default", "adamw"):
        base = {"optimizer": "adamw", **recipe.short}
    else:
        chosen = paper["optimizer"] if optimizer == "default" else optimizer
        base = dict(paper if chosen == paper["optimizer"] else {"optimizer": chosen, **GENERAL[chosen]})
        base["learning_rate"] *= (batch_size / 256) ** base.get("batch_power", 1)
    warmup = min(0.1 * epochs, base.get("warmup_epochs", 10)) if warmup_epochs is None else warmup_epochs
    if not 0 <= warmup < epochs:
        raise ValueError(f"--warmup_epochs={warmup} must lie in [0, epochs), and epochs is {epochs}.")
    if weight_decay is not None:
        base.update(weight_decay=weight_decay, final_weight_decay=weight_decay)
    return {
        "optimizer": base["optimizer"],
        "learning_rate": base["learning_rate"] if learning_rate is None else learning_rate,
        "weight_decay": base["weight_decay"],
        "final_weight_decay": base.get("final_weight_decay", base["weight_decay"]),
        "warmup_epochs": warmup,
    }


def make_optimizer(
    method: str,
    optimizer: str,
    learning_rate: float,
    weight_decay: float,
    final_weight_decay: float,
    warmup_epochs: float,
    epochs: int,
    steps_per_epoch: int,
    rate_factors: dict[str, float] | None = None,
    model: kerassl.SSLModel | None = None,
) -> keras.optimizers.Optimizer:
    """The optimizer with a linear warm-up and a cosine decay to 0.

    Args:
        method: a method's name, whose paper's options are taken where the optimizer is the paper's.
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
    rate = kerassl.schedules.WarmupCosine(learning_rate, total, warmup_steps=warmup)
    recipe = recipe_of(method)
    options = {"rate_factors": rate_factors}
    if optimizer == recipe.paper["optimizer"]:
        options.update(recipe.paper.get("options", {}))
        if model is not None and recipe.constant_rate:
            part = getattr(model, recipe.constant_rate)
            options["constant_rates"] = {v.path: learning_rate for v in part.trainable_variables}
    if optimizer == "lars":
        return kerassl.optimizers.LARS(rate, weight_decay=weight_decay, **options)
    if optimizer == "sgd":
        return kerassl.optimizers.SGD(rate, weight_decay=weight_decay, **options)
    if final_weight_decay != weight_decay:
        weight_decay = kerassl.schedules.Cosine(weight_decay, final_weight_decay, total)
    return kerassl.optimizers.AdamW(rate, weight_decay=weight_decay, **options)
