"""The callbacks of one run that Keras trains in two calls of `fit`."""

import keras


class OneRun(keras.callbacks.CallbackList):
    """Shows callbacks the rest of an interrupted epoch and the epochs after it as one run.

    Training begins and ends once, and the batches of the interrupted epoch have their own numbers.

    Args:
        callbacks: the callbacks of `fit`.
        offset: batches of the first epoch that were trained before.
        resumed: `[(metric variable, value)]`, what the metrics held after these batches.
        **kwargs: further arguments of `keras.callbacks.CallbackList`.

    Example:
        >>> from kerassl.training.one_run import OneRun
        >>> OneRun([], offset=3).offset
        3
    """

    def __init__(self, callbacks: list, offset: int, resumed: list | tuple = (), **kwargs) -> None:
        super().__init__(callbacks, **kwargs)
        self.offset, self.resumed = offset, resumed
        self._begun, self._whole = False, False
        self._last_logs: dict | None = None

    def next_part(self) -> None:
        """Says that the interrupted epoch is done and whole ones follow, to the end."""
        self.offset, self._whole = 0, True

    def finish(self) -> None:
        """Ends a run of which only the interrupted epoch was left."""
        super().on_train_end(self._last_logs)

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Passed on once."""
        if not self._begun:
            self._begun = True
            super().on_train_begin(logs)

    def on_train_end(self, logs: dict | None = None) -> None:
        """Passed on after the last part."""
        self._last_logs = logs
        if self._whole:
            super().on_train_end(logs)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Brings the metrics of the interrupted epoch back, which Keras has just reset."""
        for variable, value in self.resumed:
            variable.assign(value)
        self.resumed = ()
        super().on_epoch_begin(epoch, logs)

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Passed on with the batch's number in the whole epoch."""
        super().on_train_batch_begin(batch + self.offset, logs)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Passed on with the batch's number in the whole epoch."""
        super().on_train_batch_end(batch + self.offset, logs)
