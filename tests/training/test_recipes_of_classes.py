"""Recipes of the classes: those of the launchers' former table, kept in `launchers.json`."""

import json
import pathlib

import keras
import numpy as np
import pytest
from tiny import METHODS, images, make, method_class

import kerassl
from kerassl.arguments import check_arguments
from kerassl.training import Recipe, optimizer_settings

pytestmark = pytest.mark.backends("torch")
LAUNCHERS = json.loads(pathlib.Path(__file__).with_name("launchers.json").read_text())
RUNS = {
    "short": {"epochs": 20, "steps_per_epoch": 50, "batch_size": 128},
    "medium": {"epochs": 100, "steps_per_epoch": 400, "batch_size": 256},
    "long": {"epochs": 300, "steps_per_epoch": 5000, "batch_size": 512},
}
CLASSES = [*map(method_class, METHODS), kerassl.distillation.Distill]
RECIPES = {name: (cls, recipe) for cls in CLASSES for name, recipe in cls.recipes.items()}


def tuples(value):
    """JSON's lists as the tuples that they were."""
    if isinstance(value, dict):
        return {key: tuples(entry) for key, entry in value.items()}
    return tuple(map(tuples, value)) if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_class_is_run_as_the_launchers_ran_it(name):
    cls, recipe = RECIPES[name]
    kept = tuples(LAUNCHERS[name])
    assert cls.__name__ == kept["class"]
    own = recipe.views if recipe.views != "default" else cls.default_views[0]
    assert recipe.backbone == kept["backbone"] and kept["views"] in (recipe.views, own)
    assert tuples(recipe.backbone_args) == kept["backbone_args"]
    assert recipe.constant_rate == kept.get("constant_rate")
    assert tuples(recipe.paper.get("options", {})) == kept["options"]
    for run, length in RUNS.items():
        of_length = recipe.for_length(length["epochs"] * length["steps_per_epoch"])
        former = kept["runs"][run]
        assert tuples(dict(of_length.arguments)) == former["arguments"], run
        assert optimizer_settings(recipe, **length) == pytest.approx(former["settings"]), run
        # The class takes them.
        check_arguments(cls, of_length.arguments)
    assert optimizer_settings(recipe, optimizer="sgd", **RUNS["long"]) == pytest.approx(
        kept["settings_of_sgd"]
    )


def test_recipes_that_are_new_have_all_that_a_launcher_asks():
    for name, (cls, recipe) in RECIPES.items():
        assert {"optimizer", "learning_rate", "weight_decay", "warmup_epochs"} <= set(recipe.paper), name
        for length in RUNS.values():
            check_arguments(cls, recipe.for_length(length["epochs"] * length["steps_per_epoch"]).arguments)
            assert optimizer_settings(recipe, **length)["learning_rate"] > 0


def test_a_method_gives_the_optimizer_of_its_recipe():
    data = kerassl.data.ImageDataset(images(24), batch_size=8)
    model = make("BYOL")
    optimizer = model.recipe_optimizer(epochs=10, data=data)
    settings = optimizer_settings(type(model).recipes["byol"], epochs=10, steps_per_epoch=3, batch_size=8)
    assert type(optimizer) is kerassl.optimizers.AdamW and settings["optimizer"] == "adamw"
    # A tenth of 30 updates is warm-up.
    rate = optimizer._learning_rate
    assert float(rate(3)) == pytest.approx(settings["learning_rate"]) and float(rate(30)) < 1e-6
    changed = model.recipe_optimizer(
        epochs=10, data=data, optimizer="lars", learning_rate=0.3, warmup_epochs=0
    )
    assert type(changed) is kerassl.optimizers.LARS
    assert float(changed._learning_rate(0)) == pytest.approx(0.3)
    model.compile(changed)
    assert np.isfinite(model.fit(data, verbose=0).history["loss"]).all()


def test_what_a_recipe_cannot_know_is_asked_for():
    model, data = make("SimSiam"), kerassl.data.ImageDataset(images(24), batch_size=8)
    with pytest.raises(ValueError, match="SimSiam has no recipe 'byol'; it has simsiam"):
        model.recipe_optimizer(epochs=1, data=data, recipe="byol")
    with pytest.raises(ValueError, match="A ndarray does not tell its batch size; pass batch_size="):
        model.recipe_optimizer(epochs=1, data=images(24))
    assert isinstance(
        model.recipe_optimizer(epochs=1, data=images(24), batch_size=8), keras.optimizers.Optimizer
    )
    with pytest.raises(ValueError, match="epochs must be >= 1, got 0"):
        model.recipe_optimizer(epochs=0, data=data)
    with pytest.raises(ValueError, match="learning_rate must be >= 0.*got -1"):
        model.recipe_optimizer(epochs=1, data=data, learning_rate=-1)
    with pytest.raises(ValueError, match="does not tell how many batches it has"):
        model.recipe_optimizer(epochs=1, data=iter([images(8)]), batch_size=8)


def test_a_part_that_keeps_its_rate_does_so_under_the_papers_optimizer():
    model, data = make("SimSiam"), kerassl.data.ImageDataset(images(24), batch_size=8)
    optimizer = model.recipe_optimizer(epochs=2, data=data, optimizer="sgd", learning_rate=0.05)
    paths = {variable.path for variable in model.predictor.trainable_variables}
    assert set(optimizer.constant_rates) == paths and set(optimizer.constant_rates.values()) == {0.05}


def test_the_length_of_a_run_chooses_by_updates():
    recipe = Recipe(
        paper={"optimizer": "lars", "learning_rate": 1.0, "weight_decay": 0.0, "warmup_epochs": 1},
        arguments={"momentum": 0.9},
        short_arguments={"hidden_dim": 8},
        by_updates={
            20_000: {"learning_rate": 2.0, "arguments": {"momentum": 0.8}},
            50_000: {"learning_rate": 3.0},
        },
    )
    expected = {
        100: (2.0, {"momentum": 0.8, "hidden_dim": 8}),
        10_000: (2.0, {"momentum": 0.8}),
        20_000: (3.0, {"momentum": 0.9}),
        50_000: (1.0, {"momentum": 0.9}),
    }
    for updates, (rate, arguments) in expected.items():
        made = recipe.for_length(updates)
        assert (made.paper["learning_rate"], made.arguments) == (rate, arguments)
