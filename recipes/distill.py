"""Distills a trained encoder into a smaller one, or a classifier into itself.

    python -m recipes.distill --teacher=runs/digits --width=16 --dataset=digits --workdir=runs/small
    python -m recipes.distill --method=sla --dataset=tfds:cifar10 --epochs=200 --workdir=runs/sla

Images may be labeled, unlabeled, or both. The table gets a row for the teacher, where there is one. What
learns from labels gets its accuracy in it, and classifier.keras in the workdir, which else is as that of
`recipes.pretrain`; the same command continues an interrupted run.
"""

import pathlib
from typing import Annotated

import keras
import numpy as np

import kerassl
from kerassl.arguments import PositiveInt, parameters

from . import build, command_line, train
from .bounds import Path, Paths, one_of
from .names import BACKBONES, DISTILLATION, VIEWS
from .saved import load_encoder, load_run
from .training_flags import TrainingFlags


@command_line.Launcher
def run(
    workdir: Path,
    teacher: Paths | None = None,
    method: Annotated[str, one_of(DISTILLATION)] = "ssld",
    dataset: str = "digits",
    extra_dataset: str | None = None,
    backbone: Annotated[str, one_of(BACKBONES)] = "resnet18",
    width: PositiveInt | None = None,
    backbone_args: dict | None = None,
    init: Path | None = None,
    method_args: dict | None = None,
    views: Annotated[str, one_of(VIEWS)] = "default",
    *,
    training: TrainingFlags,
) -> dict | None:
    """Distils a teacher into a student in a workdir.

    Args:
        workdir: folder of the run; a run that it already holds is continued.
        teacher: the workdir of a finished run, its encoder.keras, or the .keras file of a classifier that
            takes the images as the student's views normalize them. For nkd, distilled_classifier and meal_v2
            the workdir or such a file of a classifier; for the last two several separated by commas.
        method: `kerassl methods` says what each is. Those that distill a network into itself, such as sla,
            take no teacher; distilled_classifier and meal_v2 take several; fst and mean_teacher also learn
            from images without labels.
        dataset: digits, folder:DIR, npz:FILE or tfds:NAME, whose labels serve the table only, but with those
            methods that learn from them.
        extra_dataset: further images, their labels unused: names as for dataset, separated by commas.
        backbone: the student.
        width: channels of a ResNet's first stage (64, or 16 for images up to 16 pixels) or width of a
            ViT's tokens.
        backbone_args: further arguments of the backbone.
        init: where the student's weights come from: the workdir of a finished run, or its encoder.keras, of
            the same backbone; the table's random encoder is then that one. Random if not given. Where a
            method goes on with a whole model, a classifier or a mae, it takes all of the run's.
        method_args: further arguments of the method, such as {"temperature": 1.0} of ssld.
        views: with one view (fst and mean_teacher: a strong and a weak one);
            default: random crop, and flip but for digits.
        training: the flags that launchers share, of `recipes.training_flags.TrainingFlags`.

    Returns:
        The rows of the printed table, or `None` if the run was stopped before its end.

    Raises:
        ValueError: for an unknown name, data or settings that do not fit, or a workdir of another run.
    """
    chosen = DISTILLATION[method]
    if (teacher is None) != chosen.learns_from_itself:
        need = "learns from itself: leave --teacher out" if teacher else "needs a teacher: --teacher=WORKDIR"
        raise ValueError(f"--method={method} {need}.")
    labeled, test_data, info = training.load(dataset)
    chosen.check_labels(dataset, info.num_classes)
    train_data = with_unlabeled(labeled, extra_dataset, info, training.limit_train)
    steps = kerassl.data.num_batches(train_data)
    method_args = chosen.arguments(training.epochs * steps, train_data.num_examples, method_args)
    if width is None and backbone.startswith("resnet"):
        width = build.default_width(info.image_shape[0])
    config = {
        "teacher": teacher,
        "method": method,
        "dataset": dataset,
        "extra_dataset": extra_dataset,
        "backbone": backbone,
        "width": width,
        "backbone_args": backbone_args or {},
        "init": init,
        "method_args": method_args,
        "views": views,
        **training.config(chosen.recipe, steps),
        "about": {**train.about(info, steps), "num_images": train_data.num_examples},
    }
    with training.devices() as device_count:
        knowing = load_teachers(chosen.cls, method, teacher)
        student = build.make_encoder(backbone, info.image_shape, width, backbone_args or {})
        if init is not None:
            student = start_of(chosen.cls, student, pathlib.Path(init))
        networks, parts = with_teachers(chosen.cls, list(knowing.values()), student)
        model = build.make_method(chosen, networks, views, dataset, info, method_args, training.seed, **parts)
        return training.train(
            workdir,
            config,
            chosen.recipe,
            model,
            train_data,
            test_data,
            device_count,
            references={name: each for name, each in knowing.items() if takes_raw_images(each)},
        )


def with_unlabeled(train, names: str | None, info, limit: int | None) -> kerassl.data.ImageDataset:  # noqa: ANN001
    """The training images and those of further data sets, whose labels become -1.

    Raises:
        ValueError: for images of another number of channels, or data that does not fit in memory.
    """
    images, labels = [], []
    for name in (names or "").split(","):
        if name:
            extra, _, _ = kerassl.data.load(
                name, image_size=info.image_shape[:2], limit_train=limit, test_fraction=0.0
            )
            if extra.images.shape[1:] != info.image_shape:
                raise ValueError(
                    f"The images of {name} have shape {extra.images.shape[1:]}, those of {info.name} "
                    f"{info.image_shape}."
                )
            images.append(extra.images)
            labels.append(np.full(len(extra.images), -1, "int32"))
    if not images:
        return train
    own = np.full(len(train.images), -1, "int32") if train.labels is None else train.labels
    return kerassl.data.ImageDataset(
        kerassl.data.join_images([train.images, *images]),
        None if info.num_classes is None else np.concatenate([own, *labels]),
        batch_size=train.batch_size,
        drop_remainder=train.drop_remainder,
        shuffle=True,
        seed=train.seed,
        num_classes=info.num_classes,
    )


def load_teachers(cls: type[kerassl.SSLModel], method: str, paths: str | None) -> dict[str, keras.Model]:
    """The networks in workdirs or files separated by commas, by the names of their rows in the table.

    Args:
        cls: what learns from them.
        method: its launch name.
        paths: of the flag.

    Raises:
        ValueError: for several where the method takes one, or what is not there.
    """
    if paths is None:
        return {}
    several = [pathlib.Path(path) for path in paths.split(",")]
    if len(several) > 1 and not learns_from_classifiers(cls):
        raise ValueError(f"--teacher={paths} names {len(several)} teachers, but {method} learns from one.")
    # What classifies learns from logits.
    by_logits = issubclass(cls, kerassl.classifiers.Classifier)
    names = ["teacher"] if len(several) == 1 else [f"teacher {i}" for i in range(1, len(several) + 1)]
    # Of a run, logits are those of the model itself.
    load = [load_run if by_logits and path.is_dir() else load_encoder for path in several]
    return {name: find(path) for name, find, path in zip(names, load, several, strict=True)}


def learns_from_classifiers(cls: type[kerassl.SSLModel]) -> bool:
    """Whether a method takes the logits of any number of classifiers."""
    return issubclass(cls, kerassl.distillation.DistilledClassifier)


def start_of(cls: type[kerassl.SSLModel], student: keras.Model, path: pathlib.Path) -> keras.Model:
    """The student as a finished run left it: the encoder's weights, or all of it if a method takes that.

    Raises:
        ValueError: for an encoder of another architecture.
    """
    whole = kerassl.classifiers.Classifier if learns_from_classifiers(cls) else None
    if issubclass(cls, kerassl.methods.MAE):
        whole = kerassl.methods.MAE
    if whole and path.is_dir():
        run = load_run(path)
        if isinstance(run, whole):
            return run
    start_from(student, path)
    return student


def start_from(student: keras.Model, path: pathlib.Path) -> None:
    """Gives a network the weights of an exported encoder.

    Raises:
        ValueError: for one of another architecture.
    """
    encoder = kerassl.export.inner_encoder(load_encoder(path))
    if [w.shape for w in encoder.weights] != [w.shape for w in student.weights]:
        raise ValueError(
            f"--init={path} holds a {encoder.name} of {encoder.count_params()} weights, which are not those "
            f"of the student, a {student.name} of {student.count_params()}: repeat its --backbone, --width "
            "and --backbone_args."
        )
    student.set_weights(encoder.get_weights())


def takes_raw_images(model: keras.Model) -> bool:
    """Whether a model is an exported encoder or a `kerassl` one, which resize and normalize by themselves."""
    return isinstance(model, kerassl.SSLModel) or is_exported(model)


def is_exported(model: keras.Model) -> bool:
    """Whether a model is an exported encoder."""
    return not isinstance(model, kerassl.SSLModel) and kerassl.export.preprocessing_of(model) is not None


def with_teachers(
    cls: type[kerassl.SSLModel], teachers: list[keras.Model], student: keras.Model
) -> tuple[list, dict]:
    """The networks that a method takes, and its arguments for a teacher that is an exported encoder.

    The preprocessing of such a teacher is its own, others have none.
    """
    if learns_from_classifiers(cls):
        return [teachers, student], {}
    if not teachers or not is_exported(teachers[0]):
        return [*teachers, student], {}
    (teacher,) = teachers
    parts = {"teacher_preprocess": kerassl.export.preprocessing_of(teacher)}
    if "standardize" in parameters(cls):
        parts["standardize"] = True
    return [kerassl.export.inner_encoder(teacher), student], parts


if __name__ == "__main__":
    command_line.launch(run)
