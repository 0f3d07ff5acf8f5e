"""The common part of the backends' steps: by default one process runs them, and XLA wraps the whole step."""

import contextlib
from collections.abc import Callable

import keras
import numpy as np

from kerassl.engine.collectives import num_replicas


class VirtualSteps:
    """Gradient steps on the batch of a step, taken before it and taken back, for `SSLModel.before_update`.

    They update the trained variables and the optimizer's state. All else that a step moves, such as
    batch-norm statistics, stays.

    Args:
        model: the `SSLModel`, whose state is remembered.
        take: function that takes step number i on the batch.
    """

    def __init__(self, model: keras.Model, take: Callable[[int], None]) -> None:
        self.take = take
        self._variables = model.trainable_variables + model.optimizer.variables
        # Copies: on TensorFlow and torch a variable's value changes with it.
        self._before = [keras.ops.copy(variable.value) for variable in self._variables]

    def restore(self) -> None:
        """Gives weights and optimizer the values that they had, exactly."""
        for variable, value in zip(self._variables, self._before, strict=True):
            variable.assign(value)


class WholeStep:
    """A step that XLA compiles whole or not at all; a backend overrides the parts that it cannot support."""

    # Whether the backend makes a program of the step before the first batch.
    compiles_step = True

    def run_virtual_steps(self, data: tuple) -> None:
        """The method's `before_update`, with steps on this batch."""
        self.before_update(VirtualSteps(self, lambda number: self.virtual_step(data, number)))

    def virtual_loss(self, data: tuple, number: int, weights: list | None = None) -> keras.KerasTensor:
        """The scaled loss of virtual step `number`, whose forward pass moves no variable.

        Args:
            data: the batch.
            number: number of the virtual step.
            weights: values of the trained variables; by default their current ones.
        """
        trained, others = self.trainable_variables, self.non_trainable_variables + self.optimizer.variables
        values = [variable.value for variable in trained] if weights is None else weights
        held = [*zip(trained, values, strict=True), *((variable, variable.value) for variable in others)]
        # In the scope assignments are noted and forgotten; gradients flow to the values that it holds.
        with keras.StatelessScope(held):
            loss, _ = self.forward_pass(data, training=True, virtual=number)
            return self.optimizer.scale_loss(loss / num_replicas())

    @property
    def num_devices(self) -> int:
        """Devices among which each global batch is cut."""
        return 1

    def device_scope(self) -> contextlib.AbstractContextManager:
        """The scope in which the variables of the model and its optimizer are made."""
        return contextlib.nullcontext()

    def check_compile(
        self, optimizer: keras.optimizers.Optimizer, jit_compile: bool | str, steps_per_execution: int
    ) -> tuple[keras.optimizers.Optimizer, bool | str]:
        """The optimizer and `jit_compile` that Keras is to use; raises for a combination that cannot run."""
        return optimizer, jit_compile

    def compile_config_here(self, config: dict) -> dict:
        """The arguments of `compile` of a saved model, as this backend can take them."""
        return config

    def check_chunks(self, encoder: keras.Model, chunk_size: int | None) -> None:
        """Raises for an encoder that several devices cannot run in chunks."""

    def compile_part(self, function: Callable) -> Callable:
        """A part of the step, compiled separately if the whole step is not."""
        return function

    def align_processes(self) -> None:
        """Makes every process start from the same weights; called before training."""

    def replica_means(self, logs: dict) -> dict:
        """Means of scalars over the replicas, if each has its own; Keras averages under strategies."""
        return logs

    def call_locally(self, function: Callable, images: np.ndarray) -> np.ndarray:
        """The result of a function of images and the model's weights, by this process on its first device."""
        return keras.ops.convert_to_numpy(function(images))
