"""The counters of a run, from which everything that changes over it is computed inside the step."""

import keras
import numpy as np
from keras import KerasTensor, ops

from kerassl import engine, schedules


class Clock:
    """Counts the steps of a model, and says how far the run is.

    Args:
        model: the model, whose weights the counters are.
        seed: Python integer that keys all randomness of the run.

    Attributes:
        step: int32 variable, batches trained on so far.
        total_steps: int32 variable, batches of the whole run as `fit` announced it; 0 if unknown.
        steps_per_epoch: int32 variable, batches per epoch; 0 if unknown.
        batches_per_update: batches whose gradients the optimizer accumulates.
    """

    def __init__(self, model: keras.Model, seed: int) -> None:
        def counter(name: str):
            return model.add_weight(name=name, shape=(), dtype="int32", initializer="zeros", trainable=False)

        self.step = counter("step")
        self.total_steps = counter("total_steps")
        self.steps_per_epoch = counter("steps_per_epoch")
        self.batches_per_update = 1
        self.key = seed

    @property
    def update(self) -> KerasTensor:
        """Optimizer updates done so far, an int32 scalar."""
        return self.step // self.batches_per_update

    @property
    def total_updates(self) -> KerasTensor:
        """Optimizer updates of the whole run, an int32 scalar; endless if unknown."""
        updates = self.total_steps // self.batches_per_update
        return ops.where(updates > 0, updates, np.iinfo("int32").max)

    @property
    def epoch(self) -> int:
        """Whole epochs trained so far, of the length that `fit` announced; outside of the step."""
        step, length = (int(ops.convert_to_numpy(v)) for v in (self.step, self.steps_per_epoch))
        return step // max(length, 1)

    def before_epoch(self, epoch: float) -> KerasTensor:
        """Whether an epoch, counted from 0, is still to begin; a boolean scalar."""
        return self.step < epoch * self.steps_per_epoch

    def ramp(self, start: float, end: float, epochs: float) -> float | KerasTensor:
        """Linear ramp from `start` to `end` over the first `epochs` epochs, then constant."""
        if not epochs:
            return end
        return schedules.linear(start, end, self.step, ops.maximum(epochs * self.steps_per_epoch, 1))

    def cosine(self, start: float, end: float) -> KerasTensor:
        """Half a cosine from `start` to `end` over the updates of the whole run."""
        return schedules.cosine(start, end, self.update, self.total_updates)

    def seed(self, purpose: str, training: bool) -> keras.random.SeedGenerator:
        """Random numbers of this step for a purpose, the same on all replicas and in every evaluation."""
        return engine.StepSeed(f"{self.key}/{purpose}", self.step if training else -1)
