"""Assignments that hold only if a condition does, within a compiled step."""

from collections.abc import Callable

import keras
from keras import KerasTensor, ops


def assign_if(condition: KerasTensor, variables: list, update: Callable[[], None]) -> None:
    """Runs `update()`, then keeps what it assigned to `variables` only where `condition` holds.

    Args:
        condition: boolean scalar tensor, known only when the step runs.
        variables: all variables that `update` may assign.
        update: function without arguments.
    """
    values = [variable.value for variable in variables]
    with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))) as scope:
        # As the scope holds them: other objects than `values` on some backends.
        before = [scope.get_current_value(variable) for variable in variables]
        update()
    for variable, old in zip(variables, before, strict=True):
        new = scope.get_current_value(variable)
        if new is not old:
            variable.assign(ops.where(condition, new, old))
