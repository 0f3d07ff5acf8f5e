"""Pretrains an encoder without labels and measures it.

    python -m recipes.pretrain --dataset=digits --epochs=60 --batch_size=128 --workdir=runs/digits
    python -m recipes.pretrain --method=byol --dataset=tfds:cifar10 --epochs=100 --workdir=runs/byol

The first command trains for some 50 seconds of processor time (TensorFlow, plus start and table). With
one label per class it then gets 0.764 of the held-out digits right (0.759, 0.777, 0.756 for the seeds 0,
1, 2), where the same network with random weights gets 0.387 and raw pixels 0.655.

The same command again continues an interrupted run from its last checkpoint, to the same weights, bit for
bit; SIGTERM saves one and exits with status 0. The workdir receives config.json, metrics.jsonl,
checkpoints/, result.json, views.png, curves.png, tensorboard/, encoder.keras, encoder/ (SavedModel),
encoder.md (its model card) and preprocessing.json (how its images were prepared).
"""

from typing import Annotated

import kerassl
from kerassl.arguments import PositiveInt

from . import build, command_line, scores, train
from .bounds import Path, one_of
from .names import BACKBONES, PRETRAINING, VIEWS
from .training_flags import TrainingFlags


@command_line.Launcher
def run(
    workdir: Path,
    method: Annotated[str, one_of(PRETRAINING)] = "simclr",
    dataset: str = "digits",
    backbone: Annotated[str, one_of(("default", *BACKBONES))] = "default",
    width: PositiveInt | None = None,
    backbone_args: dict | None = None,
    method_args: dict | None = None,
    views: Annotated[str, one_of(VIEWS)] = "default",
    eval_dataset: str | None = None,
    *,
    training: TrainingFlags,
) -> dict | None:
    """Pretrains an encoder in a workdir.

    Args:
        workdir: folder of the run; a run that it already holds is continued.
        method: `kerassl methods` says what each is.
        dataset: digits, folder:DIR, npz:FILE or tfds:NAME.
        backbone: default: what the method was made for, resnet18 unless `kerassl methods` names another.
        width: channels of a ResNet's first stage (64, or 16 for images up to 16 pixels), of a ScatNet's
            last (128), or width of a ViT's tokens.
        backbone_args: further arguments of the backbone.
        method_args: further arguments of the method, such as {"temperature": 0.2}.
        views: default: digits for the digits, else the method's own.
        eval_dataset: a labeled data set on which the table and the accuracies are measured, such as for a
            dataset without labels; that of training if not given.
        training: the flags that launchers share, of `recipes.training_flags.TrainingFlags`.

    Returns:
        The rows of the printed table, or `None` if the run was stopped before its end.

    Raises:
        ValueError: for an unknown name, data or settings that do not fit, or a workdir of another run.
    """
    chosen = PRETRAINING[method]
    backbone = chosen.recipe.backbone if backbone == "default" else backbone
    train_data, test_data, info = training.load(dataset)
    chosen.check_labels(dataset, info.num_classes)
    steps = kerassl.data.num_batches(train_data)
    views = build.default_views(chosen, dataset) if views == "default" else views
    method_args = chosen.arguments(training.epochs * steps, info.num_train, method_args)
    backbone_args = backbone_args or {}
    if backbone.startswith("resnet"):
        width = width or build.default_width(info.image_shape[0])
        backbone_args = {**chosen.recipe.backbone_args, **backbone_args}
    config = {
        "method": method,
        "dataset": dataset,
        "backbone": backbone,
        "width": width,
        "backbone_args": backbone_args,
        "method_args": method_args,
        "views": views,
        **({"eval_dataset": eval_dataset} if eval_dataset else {}),
        **training.config(chosen.recipe, steps),
        "about": train.about(info, steps),
    }
    options = {}
    if eval_dataset:
        options["eval_data"] = scores.load_labeled(eval_dataset, info, training.batch_size, training.data_dir)
    with training.devices() as device_count:
        encoder = build.make_encoder(backbone, info.image_shape, width, backbone_args)
        model = build.make_method(chosen, [encoder], views, dataset, info, method_args, training.seed)
        return training.train(
            workdir, config, chosen.recipe, model, train_data, test_data, device_count, **options
        )


if __name__ == "__main__":
    command_line.launch(run)
