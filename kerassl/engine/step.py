"""What the steps of the backends share: by default one process runs them, and XLA wraps the whole step."""

import contextlib
from collections.abc import Callable

import keras
import numpy as np


class WholeStep:
    """A step that XLA compiles whole, or not at all; a backend overrides what it cannot do."""

    @property
    def num_devices(self) -> int:
        """Devices among which each global batch is cut."""
        return 1

    def device_scope(self) -> contextlib.AbstractContextManager:
        """The scope in which the model's variables, and those of its optimizer, are made."""
        return contextlib.nullcontext()

    def check_compile(
        self, optimizer: keras.optimizers.Optimizer, jit_compile: bool | str, steps_per_execution: int
    ) -> tuple[keras.optimizers.Optimizer, bool | str]:
        """The optimizer and `jit_compile` that Keras is to use; raises for a combination that cannot run."""
        return optimizer, jit_compile

    def check_chunks(self, encoder: keras.Model, chunk_size: int | None) -> None:
        """Raises for an encoder that several devices cannot run in chunks."""

    def compile_part(self, function: Callable) -> Callable:
        """A part of the step, compiled by itself where the whole step is not."""
        return function

    def align_processes(self) -> None:
        """Makes every process start from the same weights; called before training."""

    def replica_means(self, logs: dict) -> dict:
        """Means of scalars over the replicas, where each has its own; Keras averages those of strategies."""
        return logs

    def run_here(self, function: Callable, images: np.ndarray) -> np.ndarray:
        """What a function of images and of the model's weights gives, by this process on its first device."""
        return keras.ops.convert_to_numpy(function(images))
