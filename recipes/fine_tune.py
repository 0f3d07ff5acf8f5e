"""Fine-tunes a pretrained encoder on labels: what the encoder is worth as a start.

    python -m recipes.fine_tune --encoder=runs/mae --workdir=runs/mae_tuned
    python -m recipes.fine_tune --encoder=runs/byol --labels=1% --layer_decay=1 --workdir=runs/byol_1

The whole encoder and a new linear layer learn by AdamW, whose rate falls from the head to the images by
`layer_decay` a block, as BEiT and MAE do it; by another `--optimizer` as well. Workdir, table and continuing
are those of `recipes.classify`.
"""

import dataclasses
import pathlib
from typing import Annotated

from kerassl.arguments import Bound

from . import classify, command_line
from .bounds import Path, Share, one_of
from .names import VIEWS
from .saved import data_settings, read_run
from .training_flags import TrainingFlags


@command_line.Launcher
def run(
    encoder: Path,
    workdir: Path,
    dataset: str | None = None,
    labels: str = "all",
    layer_decay: Share = 0.75,
    label_smoothing: Annotated[float, Bound(0, 1, open_high=True)] = 0.1,
    views: Annotated[str, one_of(VIEWS)] = "default",
    *,
    training: TrainingFlags,
) -> dict | None:
    """Fine-tunes an encoder in a workdir.

    Args:
        encoder: the workdir of a finished run or its encoder.keras.
        workdir: folder of this run; a run that it already holds is continued.
        dataset: digits, folder:DIR, npz:FILE or tfds:NAME, with labels; for a workdir, by default the run's
            own.
        labels: all, or the share of each class's training labels that is read, such as 1% or 10%, chosen by
            the seed; one image a class at least. Other training images are not seen. A batch that is larger
            than all of them is cut to a quarter of them.
        layer_decay: by which the rate falls from block to block of a ViT, from stage to stage of a ResNet; 1
            for the same rate everywhere.
        label_smoothing: share of the uniform distribution in the targets.
        views: by default random crop and flip, for digits without mirroring.
        training: the flags that launchers share, of `recipes.training_flags.TrainingFlags`.

    Returns:
        The rows of the table, in which "classifier" is the held-out accuracy; `None` if the run was stopped
        before its end.

    Raises:
        ValueError: for data or settings that do not fit, or a workdir of another run.
    """
    path, shared = pathlib.Path(encoder), dataclasses.asdict(training)
    dataset, settings = data_settings(
        read_run(path) if path.is_dir() else None,
        dataset,
        **{name: shared[name] for name in ("image_size", "data_dir", "limit_train", "limit_test")},
    )
    if training.optimizer == "default":
        shared["optimizer"] = "adamw"
    return classify.run(
        workdir=workdir,
        method="classifier",
        encoder=encoder,
        dataset=dataset,
        method_args={"label_smoothing": label_smoothing},
        labels=labels,
        layer_decay=layer_decay,
        views=views,
        **{**shared, **settings},
    )


if __name__ == "__main__":
    command_line.launch(run)
