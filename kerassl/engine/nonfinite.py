"""Handling of non-finite numbers in a step: it records the first, or undoes its update."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import KerasTensor, ops

from kerassl.engine.collectives import gather, replica_mean

# In place of infinity, which `tf.debugging.enable_check_numerics()` takes for a fault wherever it stands.
LARGEST = float(np.finfo("float32").max)


class BatchStatistics(NamedTuple):
    """Statistics of a batch's values: scalars, or `(replicas,)` of each."""

    minimum: KerasTensor
    maximum: KerasTensor
    mean: KerasTensor
    variance: KerasTensor
    nonfinite: KerasTensor


class StepReport(NamedTuple):
    """A replica's report of its step: `(replicas,)` of each, `(replicas, n)` flags."""

    bad: KerasTensor
    loss: KerasTensor
    statistics: BatchStatistics
    flags: KerasTensor

    @classmethod
    def gathered(
        cls, bad: KerasTensor, loss: KerasTensor, statistics: KerasTensor, flags: KerasTensor
    ) -> "StepReport":
        """The reports of all replicas, from this one's scalars, `(5,)` statistics and `(n,)` flags."""
        # One message for all, so that every replica notes the same.
        row = ops.concatenate([ops.stack([bad, loss]), statistics, flags])
        rows = gather(ops.reshape(row, (1, -1)))
        bad, loss, *statistics = (rows[:, i] for i in range(2 + len(BatchStatistics._fields)))
        return cls(bad, loss, BatchStatistics(*statistics), rows[:, 2 + len(statistics) :])

    def combined(self) -> tuple[KerasTensor, BatchStatistics]:
        """The loss and the statistics of the replicas that went wrong, whose shares have one size."""
        bad = self.bad > 0
        count = ops.maximum(ops.sum(self.bad), 1.0)

        def total(values: KerasTensor):
            return ops.sum(ops.where(bad, values, 0.0))

        of = self.statistics
        mean = total(of.mean) / count
        return total(self.loss) / count, BatchStatistics(
            minimum=ops.min(ops.where(bad, of.minimum, LARGEST)),
            maximum=ops.max(ops.where(bad, of.maximum, -LARGEST)),
            mean=mean,
            variance=total(of.variance) / count + total(ops.square(of.mean - mean)) / count,
            nonfinite=total(of.nonfinite),
        )


class NonfiniteRecord:
    """The first step of a run whose loss was not finite: its terms, and statistics of its batch.

    It lives in two small weights of the model, written inside the compiled step from scalars alone; the
    batch is looked at only in a step that went wrong.

    Args:
        model: the `SSLModel` whose weights it adds.
        terms: names of the loss terms.
        modality: the plural noun for inputs in messages, such as "images" or "signals".

    Example:
        >>> import keras
        >>> from kerassl.engine import NonfiniteRecord, batch_statistics
        >>> record = NonfiniteRecord(keras.layers.Layer(), ("mine",))
        >>> batch = keras.ops.zeros((2, 4, 4, 1))
        >>> record.note(7, float("nan"), [float("nan")], lambda: batch_statistics(batch))
        >>> print(record.error(brief=True))
        Step 7: the loss term 'mine' became nan.
    """

    def __init__(self, model: keras.layers.Layer, terms: tuple[str, ...], modality: str = "inputs") -> None:
        self.terms = terms
        self.modality = modality
        self._origin, self._steps_per_epoch = 0, None

        def weight(name: str, size: int, dtype: str):
            return model.add_weight(
                name=name,
                shape=(size,),
                dtype=dtype,
                initializer="zeros",
                trainable=False,
                aggregation="only_first_replica",
            )

        # The step plus one (0 for none), then a flag for each term, for a penalty and for the gradients.
        self.where = weight("nonfinite_where", len(terms) + 3, "int32")
        # The loss, then the `BatchStatistics`.
        self.statistics = weight("nonfinite_statistics", 1 + len(BatchStatistics._fields), "float32")

    @property
    def variables(self) -> list:
        """The variables of the record."""
        return [self.where, self.statistics]

    def begin(self, origin: int, steps_per_epoch: int | None) -> None:
        """Forgets an earlier run.

        Args:
            origin: the step at which the run's epoch 0 began.
            steps_per_epoch: batches per epoch, to name epoch and batch of a step; `None` if unknown.
        """
        self._origin, self._steps_per_epoch = origin, steps_per_epoch
        for variable in self.variables:
            variable.assign(np.zeros(variable.shape, variable.dtype))

    def note(
        self,
        step: int | KerasTensor,
        loss: KerasTensor,
        terms: list,
        statistics: Callable[[], dict],
        gradients_finite: bool | KerasTensor = True,
    ) -> None:
        """Notes a step whose loss or gradients are not finite, if it is the first; called inside the step.

        Args:
            step: the step counter.
            loss: scalar, the terms and the penalties together.
            terms: scalars, one for each name.
            statistics: function without arguments that returns scalars of the batch by name, as
                `batch_statistics` does: `minimum`, `maximum`, `mean`, `variance` and `nonfinite`.
            gradients_finite: whether the gradients are finite, if checked.
        """
        of_terms = [ops.cast(ops.logical_not(ops.isfinite(t)), "float32") for t in terms]
        of_loss = ops.cast(ops.logical_not(ops.isfinite(loss)), "float32")
        of_penalty = of_loss
        for of_term in of_terms:
            of_penalty = of_penalty * (1.0 - of_term)
        of_gradients = (1.0 - ops.cast(gradients_finite, "float32")) * (1.0 - of_loss)
        flags = ops.stack([*of_terms, of_penalty, of_gradients])
        bad = ops.max(flags)
        loss = ops.where(bad > 0, ops.cast(loss, "float32"), 0.0)
        reports = StepReport.gathered(bad, loss, _where_bad(bad, statistics), flags)
        loss, of_batch = reports.combined()
        flags = ops.max(reports.flags, axis=0)
        first = ops.logical_and(ops.max(flags) > 0, ops.equal(self.where[0], 0))
        where = ops.concatenate(
            [ops.reshape(ops.cast(step, "int32") + 1, (1,)), ops.cast(flags > 0, "int32")]
        )
        self.where.assign(ops.where(first, where, self.where.value))
        self.statistics.assign(ops.where(first, ops.stack([loss, *of_batch]), self.statistics.value))

    def error(self, brief: bool = False) -> FloatingPointError | None:
        """The first fault, with statistics of the batch and advice, or `None`.

        Args:
            brief: whether to leave out statistics and advice.
        """
        where = ops.convert_to_numpy(self.where)
        if not where[0]:
            return None
        loss, *values = (float(x) for x in ops.convert_to_numpy(self.statistics))
        of_batch = BatchStatistics(*values)
        step = int(where[0]) - 1
        place = f"Step {step}"
        if self._steps_per_epoch:
            epoch, batch = divmod(step - self._origin, self._steps_per_epoch)
            place += f" (epoch {epoch + 1}, batch {batch + 1} of {self._steps_per_epoch})"
        names = [f"{name!r}" for name, flag in zip(self.terms, where[1:], strict=False) if flag]
        if names:
            what = f"the loss term {names[0]}" if len(names) == 1 else f"the loss terms {', '.join(names)}"
            what += f" became {loss:g}"
        elif where[-2]:
            what = (
                f"a penalty of the encoder (a regularizer or add_loss) became {loss:g}; all terms are finite"
            )
        else:
            what = f"the gradients are not finite, though the loss is {loss:.6g}"
        if brief:
            return FloatingPointError(f"{place}: {what}.")
        batch = (
            f"The batch's values: min {of_batch.minimum:g}, max {of_batch.maximum:g}, mean "
            f"{of_batch.mean:.6g}, standard deviation {of_batch.variance**0.5:.6g}, "
            f"{of_batch.nonfinite:.0f} not finite."
        )
        if of_batch.nonfinite:
            advice = f"Mend the {self.modality}, e.g. with np.nan_to_num, or leave them out."
        else:
            advice = (
                f"The {self.modality} are finite, so the weights or the loss overflowed: try a lower "
                "learning rate, a longer warm-up, clipping (global_clipnorm of the optimizer), a higher "
                'temperature, or float32 instead of float16; compile(nonfinite="skip") leaves such updates '
                "out and goes on."
            )
        return FloatingPointError(f"{place}: {what}. {batch} {advice} See docs/resume.md.")


class NonfiniteUpdates:
    """The part of an `SSLModel` that leaves an update out whose numbers are not finite."""

    def values_to_keep(self, values: list | None = None) -> list | None:
        """The state that `nonfinite="skip"` restores for a skipped update; `None` unless it is on.

        Args:
            values: the values of the non-trainable and metric variables, by default a copy of them.

        Returns:
            `[(variable, value)]`, without the optimizer and its trained variables.
        """
        if self.nonfinite != "skip":
            return None
        variables = self.non_trainable_variables + self.metrics_variables
        counting = {id(v) for v in (self.clock.step, self.skipped_updates, *self.nonfinite_record.variables)}
        kept = [index for index, variable in enumerate(variables) if id(variable) not in counting]
        if values is None:
            return [(variables[i], ops.copy(variables[i].value)) for i in kept]
        return [(variables[i], values[i]) for i in kept]

    @property
    def looks_at_gradients(self) -> bool:
        """Whether the step looks for gradients that are not finite.

        On a CPU, XLA's maximum, and so relu, turns NaN into a number: the loss of a network with NaN
        weights may stay finite there, and only the gradients tell.
        """
        compiled = self.jit_compile or getattr(self, "compiles_parts", False)
        return self.nonfinite == "skip" or bool(compiled and not self._scales_loss)

    def update_is_finite(self, loss: KerasTensor, gradients: list) -> KerasTensor:
        """Whether loss and gradients are finite on every replica; a loss scaler sees to its own gradients."""
        return all_finite([loss] if self._scales_loss else [loss, *gradients])

    @property
    def _scales_loss(self) -> bool:
        return isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)

    def _leave_out_if_not_finite(self, record: Any) -> None:
        variables, before = zip(*record.before, strict=True)
        keep_where(record.finite, variables, before)
        self.skipped_updates.assign_add(1 - ops.cast(record.finite, "int32"))


def batch_statistics(inputs: object) -> dict[str, KerasTensor]:
    """Statistics of a batch for the report of a NaN; runs inside the compiled step.

    Args:
        inputs: a tensor, or a dict or tuple of tensors: float, integer or boolean.

    Returns:
        Float32 scalars: `minimum`, `maximum`, `mean` and `variance` of the finite values of all tensors
        together, and `nonfinite`, the number of the others. Where no value is finite the minimum is the
        largest float32 and the maximum its opposite.

    Example:
        >>> import numpy as np
        >>> from kerassl.engine import batch_statistics
        >>> batch = {"signal": np.array([1.0, np.nan, 3.0]), "age": np.array([8])}
        >>> {name: float(value) for name, value in batch_statistics(batch).items()}
        {'minimum': 1.0, 'maximum': 8.0, 'mean': 4.0, 'variance': 8.666666984558105, 'nonfinite': 1.0}
    """
    tensors = [ops.cast(tensor, "float32") for tensor in keras.tree.flatten(inputs)]
    finite = [ops.isfinite(tensor) for tensor in tensors]

    def total(values: list):
        return sum(ops.sum(ops.where(known, x, 0.0)) for known, x in zip(finite, values, strict=True))

    count = ops.maximum(sum(ops.sum(ops.cast(known, "float32")) for known in finite), 1.0)
    mean = total(tensors) / count
    low = [ops.min(ops.where(known, x, LARGEST)) for known, x in zip(finite, tensors, strict=True)]
    high = [ops.max(ops.where(known, x, -LARGEST)) for known, x in zip(finite, tensors, strict=True)]
    return BatchStatistics(
        minimum=ops.min(ops.stack(low)),
        maximum=ops.max(ops.stack(high)),
        mean=mean,
        variance=total([ops.square(x - mean) for x in tensors]) / count,
        nonfinite=sum(ops.sum(1.0 - ops.cast(known, "float32")) for known in finite),
    )._asdict()


def _where_bad(bad: KerasTensor, statistics: Callable[[], dict]) -> KerasTensor:
    """`(5,)` statistics of a batch that went wrong, zeros for any other."""

    def computed():
        found = statistics()
        return ops.stack([ops.cast(found[name], "float32") for name in BatchStatistics._fields])

    return ops.cond(bad > 0, computed, lambda: ops.zeros((len(BatchStatistics._fields),), "float32"))


def loss_or_nan(loss: KerasTensor, finite: KerasTensor) -> KerasTensor:
    """The loss, or infinity or NaN where the gradients are not finite.

    It holds no constant NaN, which `tf.debugging.enable_check_numerics()` takes for a fault.

    Args:
        loss: scalar.
        finite: boolean scalar, whether loss and gradients are finite.

    Example:
        >>> from kerassl.engine import loss_or_nan
        >>> float(loss_or_nan(2.5, True)), float(loss_or_nan(0.0, False))
        (2.5, nan)
    """
    return loss / ops.cast(finite, "float32")


def all_finite(tensors: list) -> KerasTensor:
    """Whether every number of every tensor is finite on every replica, a boolean scalar."""
    here = ops.all(ops.stack([ops.all(ops.isfinite(tensor)) for tensor in tensors]))
    return ops.equal(replica_mean(1.0 - ops.cast(here, "float32")), 0.0)


def keep_where(condition: KerasTensor, variables: list, before: list) -> None:
    """Restores the previous values where `condition`, a boolean scalar of the step, is false."""
    for variable, old in zip(variables, before, strict=True):
        variable.assign(ops.where(condition, variable.value, old))
