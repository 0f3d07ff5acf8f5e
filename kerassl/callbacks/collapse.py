"""Stops a run whose embedding has collapsed, or warns of it."""

import math
import warnings

import keras

from kerassl.callbacks.advice import what_to_try
from kerassl.metrics.checks import check_count, check_number


class CollapseGuard(keras.callbacks.Callback):
    """Stops training with a plain sentence when the embedding has collapsed, or warns of it.

    It reads what `fit` logs after each epoch: `feature_std`, the mean over dimensions of the standard
    deviation of L2-normalized features times sqrt(dim) (1 for isotropic features, 0 when every image
    gets the same one), and `effective_rank`, the participation ratio of their covariance spectrum.

    Args:
        min_std: smallest healthy `feature_std`.
        min_rank: smallest healthy `effective_rank`.
        patience: epochs in a row that must look collapsed; an untrained encoder may look so at first.
        stop: whether training stops. Otherwise it continues after one warning; `fit` adds such a guard where
            there is none.

    Example:
        >>> from kerassl.callbacks import CollapseGuard
        >>> guard = CollapseGuard(patience=1)
        >>> guard.diagnose({"loss": 1.0, "feature_std": 0.001, "effective_rank": 5.0})
        'every image gets nearly the same embedding: feature_std is 0.001, below 0.01'
    """

    def __init__(
        self, min_std: float = 0.01, min_rank: float = 1.1, patience: int = 2, stop: bool = True
    ) -> None:
        super().__init__()
        check_number("min_std", min_std, least=0)
        check_number("min_rank", min_rank, least=0)
        check_count("patience", patience)
        self.min_std, self.min_rank, self.patience, self.stop = min_std, min_rank, patience, stop
        self.bad_epochs = 0
        self.reason: str | None = None

    def diagnose(self, logs: dict) -> str | None:
        """The fault in an epoch's logs, or `None`."""
        std, rank = float(logs.get("feature_std", 1.0)), float(logs.get("effective_rank", math.inf))
        # Written so that NaN is not healthy.
        if not std >= self.min_std:
            what = "every image gets nearly the same embedding"
            return f"{what}: feature_std is {std:.3g}, below {self.min_std:g}"
        if not rank >= self.min_rank:
            return f"the embeddings lie on a line: effective_rank is {rank:.3g}, below {self.min_rank:g}"
        return None

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Forgets an earlier run."""
        self.bad_epochs, self.reason = 0, None

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Stops the run or warns when the diagnosis has stood for `patience` epochs."""
        problem = self.diagnose(logs or {})
        self.bad_epochs = self.bad_epochs + 1 if problem else 0
        if not problem or self.bad_epochs < self.patience or self.reason:
            return
        advice = what_to_try("dimensional" if "lie on a line" in problem else "complete", self.model)
        if self.stop:
            self.reason = f"Training stopped after epoch {epoch + 1}: {problem}. {advice}"
            print(f"\n{self.reason}")
            self.model.stop_training = True
        else:
            self.reason = f"The embedding has collapsed after epoch {epoch + 1}: {problem}. {advice}"
            warnings.warn(self.reason, stacklevel=2)
