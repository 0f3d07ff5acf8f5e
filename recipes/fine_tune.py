"""Fine-tunes a pretrained encoder on labels: what the encoder is worth as a start.

    python -m recipes.fine_tune --encoder=runs/mae --workdir=runs/mae_tuned
    python -m recipes.fine_tune --encoder=runs/byol --labels=1% --layer_decay=1 --workdir=runs/byol_1

The whole encoder and a new linear layer learn by AdamW, whose rate falls from the head to the images by
`layer_decay` a block, as BEiT and MAE do it. Workdir, table and continuing are those of `recipes.classify`,
whose further flags serve for other optimizers' settings and for several devices.
"""

import pathlib

from recipes import classify, command_line
from recipes.evaluate import data_settings, read_run


def run(
    encoder: str,
    workdir: str,
    dataset: str | None = None,
    labels: str = "all",
    layer_decay: float = 0.75,
    label_smoothing: float = 0.1,
    views: str = "default",
    image_size: int | None = None,
    epochs: int = 100,
    batch_size: int = 256,
    learning_rate: float | None = None,
    weight_decay: float | None = None,
    warmup_epochs: float | None = None,
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
    """Fine-tunes an encoder in a workdir.

    Args:
        encoder: the workdir of a finished run or its encoder.keras.
        workdir: folder of this run; a run that it already holds is continued.
        dataset: digits, folder:DIR, npz:FILE or tfds:NAME, with labels; for a workdir, by default the run's
            own.
        labels: all, or the share of each class's training labels that is read, such as 1% or 10%, chosen by
            the seed; one image a class at least. Other training images are not seen.
        layer_decay: by which the rate falls from block to block of a ViT, from stage to stage of a ResNet; 1
            for the same rate everywhere.
        label_smoothing: share of the uniform distribution in the targets.
        views: a recipe of kerassl.views; by default random crop and flip, for digits without mirroring.
        image_size: side in pixels to which images are resized; as they come if not given.
        epochs: passes over the labelled images.
        batch_size: images per step.
        learning_rate: of the head, after the warm-up; if not given, 5e-4 for batches of 256, or that of short
            runs below 10,000 steps.
        weight_decay: the usual one if not given.
        warmup_epochs: a tenth of the epochs, at most 10, if not given.
        precision: float32, mixed_bfloat16 or mixed_float16.
        seed: keys all randomness of the run, and which labels are read.
        data_dir: where TFDS keeps its data.
        limit_train: use the first so many training images only.
        limit_test: use the first so many test images only.
        eval_images: images that the kNN bank, the linear probe and the tests look at, at most.
        stop_after: epochs after which to stop, to be continued by the same command.
        save_every_steps: batches between two checkpoints within an epoch; at the ends of epochs only, if
            not given.
        keep_checkpoints: newest checkpoints to keep in the workdir.
        saved_model: write a SavedModel of the encoder besides encoder.keras.
        verbose: 0 for no progress, 1 for bars, 2 for a line per epoch.

    Returns:
        The rows of the table, in which "classifier" is the held-out accuracy; `None` if the run was stopped
        before its end.

    Raises:
        ValueError: for data or settings that do not fit, or a workdir of another run.
    """
    path = pathlib.Path(encoder)
    dataset, settings = data_settings(
        read_run(path) if path.is_dir() else None,
        dataset,
        image_size=image_size,
        data_dir=data_dir,
        limit_train=limit_train,
        limit_test=limit_test,
    )
    return classify.run(
        workdir=workdir,
        method="classifier",
        encoder=encoder,
        dataset=dataset,
        **settings,
        method_args={"label_smoothing": label_smoothing},
        labels=labels,
        layer_decay=layer_decay,
        optimizer="adamw",
        views=views,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        warmup_epochs=warmup_epochs,
        precision=precision,
        seed=seed,
        eval_images=eval_images,
        stop_after=stop_after,
        save_every_steps=save_every_steps,
        keep_checkpoints=keep_checkpoints,
        saved_model=saved_model,
        verbose=verbose,
    )


if __name__ == "__main__":
    command_line.launch(run)
