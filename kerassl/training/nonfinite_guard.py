"""Ends a run whose loss is no longer a number."""

import math

import keras


class NonfiniteGuard(keras.callbacks.Callback):
    """Ends `fit` with a `FloatingPointError` when the loss is not finite; `SSLModel.fit` adds it always.

    It looks at the running mean of the loss that Keras brings to the host after each batch anyway, and
    asks the model what went wrong first only then. With `compile(nonfinite="skip")` the loss stays finite;
    the guard then prints, after an epoch, how many updates were left out.

    Example:
        >>> from kerassl.callbacks import NonfiniteGuard
        >>> NonfiniteGuard().broken
        False
    """

    # Keras may call `on_train_batch_end` in another thread, so it only notes what it sees.
    async_safe = True

    def __init__(self) -> None:
        super().__init__()
        self.broken = False
        self.told = 0

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Forgets an earlier run."""
        self.broken = False
        self.told = int(keras.ops.convert_to_numpy(self.model.skipped_updates))

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Raises if the loss was not finite."""
        if self.broken:
            self.fail()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Looks at the loss."""
        self.broken = self.broken or not math.isfinite((logs or {}).get("loss", 0.0))

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Checks the epoch's loss, and reports updates that were left out."""
        if self.broken or not math.isfinite((logs or {}).get("loss", 0.0)):
            self.fail()
        skipped = int((logs or {}).get("skipped_updates", 0))
        if skipped > self.told:
            self.told = skipped
            first = self.model.nonfinite_record.error(brief=True)
            print(f"\n{skipped} updates left out after epoch {epoch + 1}. The first: {first}")

    def fail(self) -> None:
        """Raises what the model noted."""
        error = self.model.nonfinite_record.error()
        raise error or FloatingPointError(
            "The loss's mean over the epoch is not finite, though every batch's loss was: it is too large "
            "to be summed. See docs/resume.md."
        )
