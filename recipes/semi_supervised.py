"""Learns a classifier from all images and the labels of a few: SimCLR v2's three steps in one workdir.

    python -m recipes.semi_supervised --dataset=digits --label_fraction=0.1 --workdir=runs/few

1. `pretrain`: SimCLR v2 on all images, as by `recipes.pretrain --method=simclr_v2`.
2. `finetune`: a classifier on the first layer of the head, from the labelled images alone.
3. `distill`: a student learns on all images what that classifier says of them; a network of another shape
   from random weights, or, if none is named, the classifier itself.

Each step has a folder in the workdir like that of `recipes.pretrain`. The same command again goes on with an
interrupted run in the step and at the checkpoint where it stood. The table at the end has the held-out
accuracy after each step, of a linear probe on the labelled images after the first.
"""

import pathlib
from collections.abc import Callable

import keras
import numpy as np

import kerassl
from recipes import build, command_line, pretrain, scores, train
from recipes.devices import devices
from recipes.export import load_run
from recipes.labels import few_labels
from recipes.names import BACKBONES, check_name
from recipes.optimizers import make_optimizer, optimizer_settings
from recipes.workdir import Workdir

# What recipes.methods calls the steps after the first.
RECIPES = {"finetune": "finetuned_classifier", "distill": "distilled_classifier"}


def run(
    workdir: str,
    dataset: str = "digits",
    label_fraction: float = 0.1,
    backbone: str = "resnet18",
    width: int | None = None,
    backbone_args: dict | None = None,
    method_args: dict | None = None,
    views: str = "default",
    weak_views: str = "default",
    head_layers: int = 1,
    student_backbone: str | None = None,
    student_width: int | None = None,
    student_backbone_args: dict | None = None,
    distill_args: dict | None = None,
    image_size: int | None = None,
    epochs: int = 100,
    finetune_epochs: int = 60,
    distill_epochs: int = 100,
    batch_size: int = 256,
    finetune_batch_size: int = 64,
    learning_rate: float | None = None,
    finetune_learning_rate: float | None = None,
    distill_learning_rate: float | None = None,
    precision: str = "float32",
    seed: int = 0,
    data_dir: str | None = None,
    limit_train: int | None = None,
    limit_test: int | None = None,
    eval_images: int = 10_000,
    stop_after: int | None = None,
    save_every_steps: int | None = None,
    keep_checkpoints: int = 3,
    saved_model: bool = True,
    verbose: int = 1,
) -> dict | None:
    """Pretrains, fine-tunes and distils in a workdir.

    Args:
        workdir: folder of the run; a run that it already holds is continued.
        dataset: digits, folder:DIR, npz:FILE or tfds:NAME, in memory, with labels.
        label_fraction: share of each class whose labels are read, in (0, 1]; one image at least. Those of
            the others are seen by the measurements of the first step only.
        backbone: resnet18, resnet34, resnet50, scatnet, vit_tiny, vit_small or vit_base.
        width: as in recipes.pretrain.
        backbone_args: further arguments of the backbone.
        method_args: further arguments of SimCLRv2, such as {"temperature": 0.2}.
        views: of the first step, as in recipes.pretrain.
        weak_views: of the other two, a recipe of kerassl.views with one view; default: random crop, and flip
            but for digits.
        head_layers: layers of the head that are fine-tuned with the encoder; 1 in the paper.
        student_backbone: of a student of another shape, as for backbone; if not given, the fine-tuned
            network is trained on.
        student_width: as width, of that student.
        student_backbone_args: further arguments of its backbone.
        distill_args: further arguments of DistilledClassifier, such as {"temperature": 1.0,
            "distillation_weight": 0.8}.
        image_size: side in pixels to which images are resized; as they come if not given.
        epochs: of the first step.
        finetune_epochs: of the second, passes over the labelled images; the paper's 60 are for 1 % of
            ImageNet's labels, its 30 for 10 %.
        distill_epochs: of the third.
        batch_size: images per step of the first and third step.
        finetune_batch_size: of the second.
        learning_rate: of the first step, after the warm-up; if not given, the usual one.
        finetune_learning_rate: of the second.
        distill_learning_rate: of the third.
        precision: float32, mixed_bfloat16 or mixed_float16.
        seed: keys all randomness of the run, and which labels are read.
        data_dir: where TFDS keeps its data.
        limit_train: use the first so many training images only.
        limit_test: use the first so many test images only.
        eval_images: images that the measurements look at, at most.
        stop_after: epochs of a step after which to stop, to be continued by the same command.
        save_every_steps: batches between two checkpoints within an epoch; at the ends of epochs only, if
            not given.
        keep_checkpoints: newest checkpoints to keep of each step.
        saved_model: write SavedModels of the encoders besides encoder.keras.
        verbose: 0 for no progress, 1 for bars, 2 for a line per epoch.

    Returns:
        The rows of the table, or `None` if the run was stopped before its end.

    Raises:
        ValueError: for an unknown name, data or settings that do not fit, or a workdir of another run.
    """
    check_name("backbone", backbone, BACKBONES)
    check_name("backbone", student_backbone or backbone, BACKBONES)
    data = {
        "image_size": image_size,
        "limit_train": limit_train,
        "limit_test": limit_test,
        "data_dir": data_dir,
    }
    everything, test, info = kerassl.data.load(dataset, batch_size=batch_size, seed=seed, **data)
    few, all_images = few_labels(everything, info, label_fraction, finetune_batch_size, seed)
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
        "epochs": epochs,
        "finetune_epochs": finetune_epochs,
        "distill_epochs": distill_epochs,
        "batch_size": batch_size,
        "finetune_batch_size": finetune_batch_size,
        "learning_rate": learning_rate,
        "finetune_learning_rate": finetune_learning_rate,
        "distill_learning_rate": distill_learning_rate,
        "precision": precision,
        "seed": seed,
        **data,
        "eval_images": eval_images,
        "about": {**train.about(info, len(all_images)), "num_labels": few.num_examples},
    }
    place = Workdir(workdir, config)
    if place.finished:
        return train.show_finished(place)
    measuring = {
        "eval_images": eval_images,
        "stop_after": stop_after,
        "save_every_steps": save_every_steps,
        "keep_checkpoints": keep_checkpoints,
        "saved_model": saved_model,
        "verbose": verbose,
    }
    done = pretrain.run(
        workdir=str(place.path / "pretrain"),
        method="simclr_v2",
        dataset=dataset,
        backbone=backbone,
        width=width,
        backbone_args=backbone_args,
        method_args=method_args,
        views=views,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        precision=precision,
        seed=seed,
        **data,
        **measuring,
    )
    if done is None:
        return None
    view = build.weak_view(weak_views, dataset, info)
    with devices(precision=precision):
        # What a step trains is part of the model before it, which is measured first.
        pretrained, rows = load_run(place.path / "pretrain"), {}
        features = [kerassl.embed(pretrained, part)[0] for part in (few, test)]
        rows["1 pretrained, linear"] = kerassl.evaluation.linear_probe(
            features[0], few.labels, features[1], test.labels
        )

        def classifier() -> kerassl.SSLModel:
            encoder = pretrained.encoder_with_head(head_layers)
            return finetuned_classifier(encoder, view, info.num_classes, seed)

        common = {"folder": place.path, "test": test, "seed": seed, **measuring}
        finetuned = train_step(
            "finetune",
            classifier,
            few,
            finetune_epochs,
            finetune_learning_rate,
            initial_row_name="pretrained encoder",
            **common,
        )
        if finetuned is None:
            return None
        rows["2 fine-tuned"] = accuracy(finetuned, test)

        def student() -> kerassl.SSLModel:
            start = finetuned
            if student_backbone is not None:
                args = student_backbone_args or {}
                start = build.make_encoder(student_backbone, info.image_shape, student_width, args)
            return kerassl.distillation.DistilledClassifier(
                finetuned, start, view, seed=seed, **(distill_args or {})
            )

        distilled = train_step(
            "distill",
            student,
            all_images,
            distill_epochs,
            distill_learning_rate,
            initial_row_name="random encoder" if student_backbone else "fine-tuned encoder",
            **common,
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
    model = kerassl.classifiers.Classifier(encoder, view, num_classes, seed=seed)
    model.classifier.kernel.assign(keras.ops.zeros_like(model.classifier.kernel))
    model.classifier.kernel.is_decayed = False
    return model


def train_step(
    name: str,
    make: Callable[[], kerassl.SSLModel],
    data: kerassl.data.ImageDataset,
    epochs: int,
    learning_rate: float | None,
    *,
    folder: pathlib.Path,
    test: kerassl.data.ImageDataset,
    seed: int,
    **options,
) -> kerassl.SSLModel | None:
    """The model of a step as it is when the step is done, or `None` if it was stopped before.

    Args:
        name: of the step, its folder and its recipe.
        make: gives the untrained model.
        data: what it is trained on.
        epochs: passes over the data.
        learning_rate: after the warm-up; `None` for the usual one.
        folder: the workdir of the run.
        test: held-out images.
        seed: keys the weights that the model gets anew.
        **options: further arguments of `recipes.train.train_in`.
    """
    recipe, steps = RECIPES[name], kerassl.data.num_batches(data)
    settings = optimizer_settings(
        recipe, "default", epochs, steps, data.batch_size, learning_rate=learning_rate
    )
    config = {"epochs": epochs, "batch_size": data.batch_size, **settings, "seed": seed}
    place = Workdir(folder / name, config)
    if not place.finished:
        keras.utils.set_random_seed(seed)
        model = make()
        model.compile(make_optimizer(recipe, **settings, epochs=epochs, steps_per_epoch=steps))
        print(f"\n{name}: {data.num_examples} images, {epochs} epochs, {settings}", flush=True)
        if train.train_in(place, model, data, test, epochs=epochs, **options) is None:
            return None
    # From the file in any case, so that a run that was interrupted here is like one that was not.
    return load_run(place.path)


def accuracy(model: kerassl.classifiers.Classifier, test: kerassl.data.ImageDataset) -> float:
    """The share of held-out images that a classifier gets right."""
    return float(np.mean(model.classify(test.images).argmax(axis=1) == test.labels))


if __name__ == "__main__":
    command_line.launch(run)
