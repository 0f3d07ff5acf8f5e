"""A callback that times a training run."""

import statistics
import time

import keras


class Clock(keras.callbacks.Callback):
    """Seconds to the first step, and of each epoch without the work of other callbacks at its end."""

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.start = time.perf_counter()
        self.first_step, self.epochs = None, []

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.epoch_start = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if self.first_step is None:
            self.first_step = time.perf_counter() - self.start

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.epochs.append(time.perf_counter() - self.epoch_start)

    @property
    def median_epoch(self) -> float:
        """The median of the epochs, robust against compilation and pauses of the machine."""
        return statistics.median(self.epochs)
