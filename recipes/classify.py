"""Trains a classifier on labeled images, from a pretrained encoder or from random weights.

    python -m recipes.classify --method=prototypical_network --dataset=digits --epochs=30 --workdir=runs/few
    python -m recipes.classify --encoder=runs/byol --dataset=tfds:cifar10 --epochs=30 --workdir=runs/classes

The workdir is as that of `recipes.pretrain`, and the same command continues an interrupted run. It receives
classifier.keras, from raw images to probabilities, whose held-out accuracy is in the table, and of a
classifier with prototypes their pictures, prototypes.png, and why a held-out image is taken for its class,
explanation.png.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Annotated

import keras

import kerassl
from kerassl.arguments import PositiveInt
from kerassl.optimizers import layerwise_factors

from . import build, command_line, train
from .bounds import Path, Share, one_of
from .labels import few_labels, label_share
from .names import BACKBONES, CLASSIFIERS, VIEWS
from .saved import load_encoder
from .training_flags import TrainingFlags


@command_line.Launcher
def run(
    workdir: Path,
    method: Annotated[str, one_of(CLASSIFIERS)] = "classifier",
    dataset: str = "digits",
    encoder: Path | None = None,
    backbone: Annotated[str, one_of(BACKBONES)] = "resnet18",
    width: PositiveInt | None = None,
    backbone_args: dict | None = None,
    method_args: dict | None = None,
    labels: str = "all",
    layer_decay: Share = 1.0,
    views: Annotated[str, one_of(VIEWS)] = "default",
    *,
    training: TrainingFlags,
) -> dict | None:
    """Trains a classifier in a workdir.

    Args:
        workdir: folder of the run; a run that it already holds is continued.
        method: what learns the classes.
        dataset: digits, folder:DIR, npz:FILE or tfds:NAME, with labels.
        encoder: what to start from: the workdir of a finished run or its encoder.keras; random weights if not
            given.
        backbone: of a network without a pretrained encoder.
        width: channels of a ResNet's first stage (64, or 16 for images up to 16 pixels) or width of a
            ViT's tokens.
        backbone_args: further arguments of the backbone.
        method_args: further arguments of the method, such as {"shots": 1}.
        labels: all, or the share of each class's training labels that is read, such as 1% or 10%, chosen by
            the seed; one image a class at least. Other training images are not seen. A batch that is larger
            than all of them is cut to a quarter of them.
        layer_decay: by which the rate falls from block to block of a ViT, from stage to stage of a ResNet;
            see recipes.fine_tune.
        views: default: the method's own, for digits one that mirrors nothing.
        training: the flags that launchers share, of `recipes.training_flags.TrainingFlags`.

    Returns:
        The rows of the printed table, or `None` if the run was stopped before its end.

    Raises:
        ValueError: for an unknown name, data or settings that do not fit, or a workdir of another run.
    """
    train_data, test_data, info = training.load(dataset)
    chosen = CLASSIFIERS[method]
    chosen.check_labels(dataset, info.num_classes)
    share = label_share(labels)
    if share < 1:
        everything = train_data
        train_data, _ = few_labels(everything, info, share, training.batch_size, training.seed)
        if train_data.num_examples < training.batch_size:
            batch_size = max(2, train_data.num_examples // 4)
            print(f"Batches of {batch_size} in place of {training.batch_size}: few images have labels.")
            training = dataclasses.replace(training, batch_size=batch_size)
            train_data, _ = few_labels(everything, info, share, batch_size, training.seed)
    steps = kerassl.data.num_batches(train_data)
    updates = f"{steps} updates an epoch, {steps * training.epochs} in all"
    print(f"{updates}: batches of {training.batch_size}.")
    method_args = chosen.arguments(steps * training.epochs, train_data.num_examples, method_args)
    if backbone.startswith("resnet"):
        width = width or build.default_width(info.image_shape[0])
        backbone_args = {**chosen.recipe.backbone_args, **(backbone_args or {})}
    config = {
        "method": method,
        "dataset": dataset,
        "encoder": encoder,
        "backbone": backbone,
        "width": width,
        "backbone_args": backbone_args or {},
        "method_args": method_args,
        "labels": labels,
        "layer_decay": layer_decay,
        "views": views,
        **training.config(chosen.recipe, steps),
        "about": train.about(info, steps),
    }
    with training.devices() as device_count:
        if encoder is None:
            network = build.make_encoder(backbone, info.image_shape, width, backbone_args or {})
        else:
            network = pretrained(pathlib.Path(encoder), chosen.recipe.backbone_args)
        model = build.make_method(chosen, [network], views, dataset, info, method_args, training.seed)
        rows = training.train(
            workdir,
            config,
            chosen.recipe,
            model,
            train_data,
            test_data,
            device_count,
            rate_factors=layerwise_factors(network, layer_decay) if layer_decay != 1 else None,
            initial_row_name="random encoder" if encoder is None else "pretrained encoder",
        )
        # A run that was finished before has its pictures, and a model here that was not trained.
        if rows is not None and model.clock.epoch and kerassl.engine.is_chief():
            data = train_data if test_data is None else test_data
            draw(model, data, pathlib.Path(workdir).expanduser(), info.class_names)
        return rows


def pretrained(path: pathlib.Path, backbone_args: Mapping) -> keras.Model:
    """The network in an exported encoder, without its preprocessing; its feature map where that is needed.

    Args:
        path: as of `recipes.saved.load_encoder`.
        backbone_args: `{"pool": None}` for a method that needs the feature map.

    Raises:
        ValueError: if there is no encoder.
    """
    network = kerassl.export.inner_encoder(load_encoder(path))
    settings = network.get_config()
    if all(settings.get(name, value) == value for name, value in backbone_args.items()):
        return network
    unpooled = type(network).from_config({**settings, **backbone_args})
    unpooled.set_weights(network.get_weights())
    return unpooled


def draw(
    model: kerassl.SSLModel,
    data,  # noqa: ANN001
    folder: pathlib.Path,
    class_names: tuple[str, ...] | None = None,
) -> None:
    """Writes the prototypes of a classifier that has some, and why it takes the first image for its class."""
    if not isinstance(model, kerassl.classifiers.PrototypeClassifier):
        return
    try:
        model.save_pictures(folder / "prototypes.png", class_names=class_names)
        images, labels = next(kerassl.data.labeled_batches(data, batch_size=1))
        explanation = model.explain(images[0])
        explanation.save(folder / "explanation.png", class_names=class_names, label=int(labels[0]))
    except ImportError as error:
        print(f"Left out: {error}")
        return
    name = class_names[explanation.predicted] if class_names else f"class {explanation.predicted}"
    print(f"explanation.png: taken for {name}; most like {explanation.summary(class_names)}")


if __name__ == "__main__":
    command_line.launch(run)
