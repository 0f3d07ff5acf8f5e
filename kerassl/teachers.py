"""Teachers: copies of a student that follow it by an exponential moving average (EMA)."""

import weakref

import keras
import numpy as np
from keras import KerasTensor, ops

from kerassl.engine import layers_of

# Of each teacher that follows its student until training begins: the student, and a checksum of its weights.
_AS_MADE: weakref.WeakKeyDictionary[keras.layers.Layer, tuple] = weakref.WeakKeyDictionary()


class EMATeachers:
    """The teachers of a method, which follow their students after every update.

    `SSLModel` moves them, by the method's `teacher_momentum()`.

    Example:
        >>> import keras
        >>> from kerassl.teachers import EMATeachers
        >>> student = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> teachers = EMATeachers()
        >>> (teacher,) = teachers.of(student)
        >>> student.set_weights([weight + 1 for weight in student.get_weights()])
        >>> teachers.move(momentum=0.5)
        >>> bool(keras.ops.all(teacher.weights[1] == 0.5))
        True
    """

    def __init__(self) -> None:
        self._students: list[tuple[keras.layers.Layer, keras.layers.Layer]] = []

    def __bool__(self) -> bool:
        return bool(self._students)

    def of(self, *students: keras.layers.Layer) -> tuple[keras.layers.Layer, ...]:
        """A teacher of each student, as `make_teacher` makes it, that follows it from now on."""
        teachers = tuple(make_teacher(student) for student in students)
        self._students += zip(teachers, students, strict=True)
        return teachers

    def move(self, momentum: float | KerasTensor) -> None:
        """Moves every teacher towards its student, as `update_teacher` does."""
        for teacher, student in self._students:
            update_teacher(teacher, student, momentum)


def make_teacher(
    student: keras.layers.Layer, name: str = "teacher", follows: bool = True
) -> keras.layers.Layer:
    """Copies a model or a layer: same architecture, same weights, no trainable variable, own variable paths.

    The copy still runs batch norm on batch statistics when called with `training=True`, as the
    teachers of BYOL and DINO do: its variables are frozen one by one, since `layer.trainable = False`
    would switch batch norm to inference. Stochastic depth (`drop_path`) is turned off in the copy. Low-rank
    adapters (`enable_lora`) are copied, too.

    Args:
        student: a built model or layer that has `get_config`.
        name: prefix of the copy's variable paths.
        follows: whether the copy takes over weights that the student gets before training; see
            `align_teachers`.

    Returns:
        One that shares no variable with `student` and gives the same output.

    Raises:
        ValueError: for a student whose config does not make a network of its weights.

    Example:
        >>> import keras
        >>> from kerassl.teachers import make_teacher
        >>> student = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> teacher = make_teacher(student)
        >>> len(teacher.trainable_variables), len(teacher.weights)
        (0, 2)
    """
    config = student.get_config()
    if "drop_path" in config:
        config["drop_path"] = 0.0
    with keras.name_scope(name):
        teacher = student.__class__.from_config(config)
        if not teacher.built:
            teacher.build_from_config(student.get_build_config())
    _copy_adapters(student, teacher)
    shapes, copied = ([tuple(weight.shape) for weight in layer.weights] for layer in (student, teacher))
    if shapes != copied:
        raise ValueError(
            f"{student.name} has {len(shapes)} weights, but the copy that its config makes has {len(copied)} "
            "or others in shape, so that it can be no teacher: its layers were changed after they were made. "
            "Let get_config() say all that was changed, or change it after the method is made."
        )
    # Values, not variables: JAX refuses to donate one buffer twice.
    teacher.set_weights(student.get_weights())
    for variable in teacher.variables:
        variable.trainable = False
    if follows:
        _AS_MADE[teacher] = weakref.ref(student), _checksum(teacher)
    return teacher


def align_teachers(model: keras.Model) -> None:
    """Gives teachers the weights that their students got since both were made, before the first update.

    So `model.encoder.load_weights(file)` moves the teacher of an untrained method, too. A teacher stays as it
    is where its own weights were loaded or changed, once the model has been trained, and where its student is
    no part of the model.

    Args:
        model: an `SSLModel`.
    """
    if int(ops.convert_to_numpy(model.clock.step)):
        return
    layers = layers_of(model, include_self=False)
    for teacher in layers:
        student, made = _AS_MADE.get(teacher, (lambda: None, None))
        student = student()
        if not any(layer is student for layer in layers) or not np.array_equal(_checksum(teacher), made):
            continue
        if not np.array_equal(_checksum(student), made):
            for target, source in zip(teacher.weights, student.weights, strict=True):
                target.assign(ops.copy(source))


def _checksum(layer: keras.layers.Layer) -> np.ndarray:
    """Two numbers of each weight, computed where the weights are."""
    numbers = [
        ops.stack([ops.sum(wide), ops.sum(ops.abs(wide))])
        for wide in (ops.cast(weight, "float32") for weight in layer.weights)
    ]
    return ops.convert_to_numpy(ops.stack(numbers)) if numbers else np.zeros(0)


def _copy_adapters(student: keras.layers.Layer, teacher: keras.layers.Layer) -> None:
    """Enables in the teacher the low-rank adapters of the student's layers, which few configs know of."""
    adapted = [layer for layer in layers_of(student) if getattr(layer, "lora_enabled", False)]
    if not adapted:
        return
    for theirs, ours in zip(layers_of(student), layers_of(teacher), strict=True):
        if getattr(theirs, "lora_enabled", False) and not ours.lora_enabled:
            ours.enable_lora(theirs.lora_rank, lora_alpha=theirs.lora_alpha)


def update_teacher(
    teacher: keras.layers.Layer, student: keras.layers.Layer, momentum: float | KerasTensor
) -> None:
    """Moves the teacher: `teacher <- momentum * teacher + (1 - momentum) * student`.

    Only what the student learns is averaged. Running batch-norm statistics stay the teacher's own,
    which its forward passes in training mode keep up to date (the policy of the official BYOL).

    Args:
        teacher: the copy made by `make_teacher`.
        student: the model it follows.
        momentum: scalar in [0, 1]; 1 keeps the teacher, 0 copies the student.
    """
    learned = {id(variable) for variable in student.trainable_variables}
    for target, source in zip(teacher.weights, student.weights, strict=True):
        if id(source) in learned:
            rate = ops.cast(momentum, target.dtype)
            target.assign(rate * target + (1 - rate) * ops.cast(source, target.dtype))
