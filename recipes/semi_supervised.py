"""Learns a classifier from all images and a few labels: SimCLR v2 in one workdir.

    python -m recipes.semi_supervised --dataset=digits --label_fraction=0.1 --workdir=runs/few

1. `pretrain`: SimCLR v2 on all images, as by `recipes.pretrain --method=simclr_v2`.
2. `finetune`: a classifier on the first layer of the head, from the labeled images alone.
3. `distill`: a student learns on all images what that classifier says of them; a network of another shape
   from random weights, or, if none is named, the classifier itself.

Each step has a folder in the workdir like that of `recipes.pretrain`. The same command again goes on with an
interrupted run in the step and at the checkpoint where it stood. The table at the end has the held-out
accuracy after each step, of a linear probe on the labeled images after the first.
"""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Annotated

import keras
import numpy as np

import kerassl
from kerassl.arguments import NonNegativeFloat, PositiveInt
from kerassl.training import make_optimizer, optimizer_settings

from . import build, command_line, pretrain, scores, train
from .bounds import Path, Share, one_of
from .devices import devices
from .labels import few_labels
from .names import BACKBONES, METHODS, VIEWS, check_arguments
from .saved import load_run
from .training_flags import RunFlags
from .workdir import Workdir

FINETUNED, DISTILLED = METHODS["finetuned_classifier"], METHODS["distilled_classifier"]


@command_line.Launcher
def run(
    workdir: Path,
    dataset: str = "digits",
    label_fraction: Share = 0.1,
    backbone: Annotated[str, one_of(BACKBONES)] = "resnet18",
    width: PositiveInt | None = None,
    backbone_args: dict | None = None,
    method_args: dict | None = None,
    views: Annotated[str, one_of(VIEWS)] = "default",
    weak_views: Annotated[str, one_of(VIEWS)] = "default",
    head_layers: PositiveInt = 1,
    student_backbone: Annotated[str, one_of(BACKBONES)] | None = None,
    student_width: PositiveInt | None = None,
    student_backbone_args: dict | None = None,
    distill_args: dict | None = None,
    finetune_epochs: PositiveInt = 60,
    distill_epochs: PositiveInt = 100,
    finetune_batch_size: PositiveInt = 64,
    finetune_learning_rate: NonNegativeFloat | None = None,
    distill_learning_rate: NonNegativeFloat | None = None,
    *,
    training: RunFlags,
) -> dict | None:
    """Pretrains, fine-tunes and distils in a workdir.

    Args:
        workdir: folder of the run; a run that it already holds is continued.
        dataset: digits, folder:DIR, npz:FILE or tfds:NAME, in memory, with labels.
        label_fraction: share of each class whose labels are read; one image at least. Those of the others
            are seen by the measurements of the first step only.
        backbone: of the pretrained network.
        width: as in recipes.pretrain.
        backbone_args: further arguments of the backbone.
        method_args: further arguments of SimCLRv2, such as {"temperature": 0.2}.
        views: of the first step, as in recipes.pretrain.
        weak_views: of the other two, with one view; default: random crop, and flip but for digits.
        head_layers: layers of the head that are fine-tuned with the encoder; 1 in the paper.
        student_backbone: of a student of another shape; if not given, the fine-tuned network is trained on.
        student_width: as width, of that student.
        student_backbone_args: further arguments of its backbone.
        distill_args: further arguments of DistilledClassifier, such as {"temperature": 1.0,
            "distillation_weight": 0.8}.
        finetune_epochs: of the second step, passes over the labeled images; the paper's 60 are for 1 % of
            ImageNet's labels, its 30 for 10 %.
        distill_epochs: of the third step, which has the batch size of the first.
        finetune_batch_size: of the second step.
        finetune_learning_rate: of the second step.
        distill_learning_rate: of the third step.
        training: of the first step; data, measurements and checkpoints are those of all three.

    Returns:
        The rows of the table, or `None` if the run was stopped before its end.

    Raises:
        ValueError: for an unknown name, data or settings that do not fit, or a workdir of another run.
    """
    everything, test, info = training.load(dataset)
    few, all_images = few_labels(everything, info, label_fraction, finetune_batch_size, training.seed)
    config = {
        "dataset": dataset,
        "label_fraction": label_fraction,
        "backbone": backbone,
        "width": width,
        "backbone_args": backbone_args or {},
        "method_args": method_args or {},
        "views": views,
        "weak_views": weak_views,
        "head_layers": head_layers,
        "student_backbone": student_backbone,
        "student_width": student_width,
        "student_backbone_args": student_backbone_args or {},
        "distill_args": distill_args or {},
        "finetune_epochs": finetune_epochs,
        "distill_epochs": distill_epochs,
        "finetune_batch_size": finetune_batch_size,
        "finetune_learning_rate": finetune_learning_rate,
        "distill_learning_rate": distill_learning_rate,
        **training.settings("epochs", "batch_size", "learning_rate", "precision", "seed", "eval_images"),
        **training.settings("image_size", "limit_train", "limit_test", "data_dir"),
        "about": {**train.about(info, len(all_images)), "num_labels": few.num_examples},
    }
    place = Workdir(workdir, config)
    if place.finished:
        return train.show_finished(place)
    done = pretrain.run(
        workdir=str(place.path / "pretrain"),
        method="simclr_v2",
        dataset=dataset,
        backbone=backbone,
        width=width,
        backbone_args=backbone_args,
        method_args=method_args,
        views=views,
        **dataclasses.asdict(training),
    )
    if done is None:
        return None
    view = build.make_views(FINETUNED, weak_views, dataset, info.image_shape)
    with devices(precision=training.precision):
        # What a step trains is part of the model before it, which is measured first.
        pretrained, rows = load_run(place.path / "pretrain"), {}
        features = [kerassl.embed(pretrained, part)[0] for part in (few, test)]
        rows["1 pretrained, linear"] = kerassl.evaluation.linear_probe(
            features[0], few.labels, features[1], test.labels
        )

        def classifier() -> kerassl.SSLModel:
            encoder = pretrained.encoder_with_head(head_layers)
            return finetuned_classifier(encoder, view, info.num_classes, training.seed)

        finetuned = train_step(
            place.path / "finetune",
            FINETUNED.recipe,
            classifier,
            few,
            test,
            training,
            epochs=finetune_epochs,
            learning_rate=finetune_learning_rate,
            initial_row_name="pretrained encoder",
        )
        if finetuned is None:
            return None
        rows["2 fine-tuned"] = accuracy(finetuned, test)

        def student() -> kerassl.SSLModel:
            start = finetuned
            if student_backbone is not None:
                args = student_backbone_args or {}
                start = build.make_encoder(student_backbone, info.image_shape, student_width, args)
            args = DISTILLED.renamed(distill_args or {})
            check_arguments("distill_args", args, "DistilledClassifier", DISTILLED.cls)
            return DISTILLED.cls(finetuned, start, views=view, seed=training.seed, **args)

        distilled = train_step(
            place.path / "distill",
            DISTILLED.recipe,
            student,
            all_images,
            test,
            training,
            epochs=distill_epochs,
            learning_rate=distill_learning_rate,
            initial_row_name="random encoder" if student_backbone else "fine-tuned encoder",
        )
        if distilled is None:
            return None
        rows["3 distilled"] = accuracy(distilled, test)
    rows = {name: {"accuracy": value} for name, value in rows.items()}
    place.finish(scores.to_json(rows))
    labels = f"{few.num_examples} labels of {all_images.num_examples} images"
    print(f"\nAccuracy on {test.num_examples} held-out images, learned from {labels}")
    print(kerassl.evaluation.table(rows))
    return rows


def finetuned_classifier(
    encoder: keras.Model, view: keras.layers.Layer, num_classes: int, seed: int
) -> kerassl.classifiers.Classifier:
    """A classifier whose last layer starts at zero, and which LARS moves by its gradient as it is.

    As with the official `zero_init_logits_layer` and its exclusion from the adaptation of rates.
    """
    model = FINETUNED.cls(encoder, views=view, num_classes=num_classes, seed=seed)
    model.classifier.kernel.assign(keras.ops.zeros_like(model.classifier.kernel))
    kerassl.engine.mark(model.classifier.kernel, "is_decayed", False)
    return model


def train_step(
    folder: pathlib.Path,
    recipe: kerassl.Recipe,
    make: Callable[[], kerassl.SSLModel],
    data: kerassl.data.ImageDataset,
    test: kerassl.data.ImageDataset,
    training: RunFlags,
    *,
    epochs: int,
    learning_rate: float | None,
    initial_row_name: str,
) -> kerassl.SSLModel | None:
    """The model of a step as it is when the step is done, or `None` if it was stopped before.

    Args:
        folder: of the step, named like it.
        recipe: how it is trained.
        make: gives the untrained model.
        data: what it is trained on.
        test: held-out images.
        training: of the run, whose seed keys the weights that the model gets anew.
        epochs: passes over the data.
        learning_rate: after the warm-up; `None` for the usual one.
        initial_row_name: the table's name for the model's first weights.
    """
    length = {"epochs": epochs, "steps_per_epoch": kerassl.data.num_batches(data)}
    settings = optimizer_settings(recipe, **length, batch_size=data.batch_size, learning_rate=learning_rate)
    config = {"epochs": epochs, "batch_size": data.batch_size, **settings, "seed": training.seed}
    place = Workdir(folder, config)
    if not place.finished:
        keras.utils.set_random_seed(training.seed)
        model = make()
        model.compile(make_optimizer(recipe, **settings, **length))
        print(f"\n{folder.name}: {data.num_examples} images, {epochs} epochs, {settings}", flush=True)
        options = training.settings("eval_images", "stop_after", "save_every_steps", "keep_checkpoints")
        options |= training.settings("saved_model", "verbose")
        options |= {"epochs": epochs, "initial_row_name": initial_row_name}
        if train.train_in(place, model, data, test, **options) is None:
            return None
    # From the file in any case, so that a run that was interrupted here is like one that was not.
    return load_run(place.path)


def accuracy(model: kerassl.classifiers.Classifier, test: kerassl.data.ImageDataset) -> float:
    """The share of held-out images that a classifier gets right."""
    return float(np.mean(model.classify(test.images).argmax(axis=1) == test.labels))


if __name__ == "__main__":
    command_line.launch(run)
