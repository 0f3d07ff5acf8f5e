"""What a method does between epochs, outside of the compiled step."""

import keras


class EpochStart(keras.callbacks.Callback):
    """Calls `model.start_epoch(data, verbose)` before each epoch; `SSLModel.fit` adds it where it is needed.

    A run that resumes in the middle of an epoch has already started that epoch.

    Args:
        data: what is trained on.
        first_step: the model's step counter at the start of the epoch in which `fit` begins.
        length: batches per epoch, or `None` if unknown.
        verbose: as in `keras.Model.fit`.

    Example:
        >>> from kerassl.callbacks import EpochStart
        >>> EpochStart(None, first_step=8, length=4).is_due(12)
        True
    """

    def __init__(
        self, data: object, first_step: int = 0, length: int | None = None, verbose: str | int = 0
    ) -> None:
        super().__init__()
        self.data, self.first_step, self.length, self.verbose = data, first_step, length, verbose

    def is_due(self, step: int) -> bool:
        """Whether an epoch starts at this step."""
        return not self.length or (step - self.first_step) % self.length == 0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Calls the model, unless it is in the middle of an epoch."""
        if self.is_due(int(keras.ops.convert_to_numpy(self.model.clock.step))):
            self.model.start_epoch(self.data, self.verbose)
