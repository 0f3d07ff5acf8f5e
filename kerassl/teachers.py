"""Teachers: copies of a student that follow it by an exponential moving average (EMA)."""

import keras
from keras import KerasTensor, ops


def make_teacher(student: keras.layers.Layer, name: str = "teacher") -> keras.layers.Layer:
    """Copies a model or a layer: same architecture, same weights, no trainable variable, own variable paths.

    The copy still runs batch norm on batch statistics when called with `training=True`, as the
    teachers of BYOL and DINO do: its variables are frozen one by one, since `layer.trainable = False`
    would switch batch norm to inference. Stochastic depth (`drop_path`) is turned off in the copy.

    Args:
        student: a built model or layer that has `get_config`.
        name: prefix of the copy's variable paths.

    Returns:
        One that shares no variable with `student` and gives the same output.

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
    # Values, not variables: JAX refuses to donate one buffer twice.
    teacher.set_weights(student.get_weights())
    for variable in teacher.variables:
        variable.trainable = False
    return teacher


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
