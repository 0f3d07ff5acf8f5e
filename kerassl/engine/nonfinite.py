"""What a step does about numbers that are not finite: it notes the first, or undoes its update."""

from typing import Any

import keras
import numpy as np
from keras import KerasTensor, ops

from kerassl.engine.collectives import gather, replica_mean


class NonfiniteRecord:
    """The first step of a run whose loss was not finite: which terms, and what its batch was like.

    It lives in two small weights of the model, written inside the compiled step from scalars alone; the
    pixels are looked at only in a step that went wrong.

    Args:
        model: the `SSLModel` whose weights it adds.
        terms: names of the loss terms.

    Example:
        >>> import keras
        >>> from kerassl.engine import NonfiniteRecord
        >>> record = NonfiniteRecord(keras.layers.Layer(), ("mine",))
        >>> record.note(7, float("nan"), [float("nan")], keras.ops.zeros((2, 4, 4, 1)))
        >>> print(record.error(brief=True))
        Step 7: the loss term 'mine' became nan.
    """

    def __init__(self, model: keras.layers.Layer, terms: tuple[str, ...]) -> None:
        self.terms = terms
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
        # The loss, then what `batch_statistics` returns.
        self.statistics = weight("nonfinite_statistics", 6, "float32")

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
        images: KerasTensor,
        gradients_finite: bool | KerasTensor = True,
    ) -> None:
        """Notes a step whose loss or gradients are not finite, if it is the first; called inside the step.

        Args:
            step: the step counter.
            loss: scalar, the terms and the penalties together.
            terms: scalars, one for each name.
            images: the batch.
            gradients_finite: whether the gradients are finite, where somebody looked.
        """
        of_terms = [ops.cast(ops.logical_not(ops.isfinite(t)), "float32") for t in terms]
        of_loss = ops.cast(ops.logical_not(ops.isfinite(loss)), "float32")
        of_penalty = of_loss
        for of_term in of_terms:
            of_penalty = of_penalty * (1.0 - of_term)
        of_gradients = (1.0 - ops.cast(gradients_finite, "float32")) * (1.0 - of_loss)
        flags = ops.stack([*of_terms, of_penalty, of_gradients])
        bad = ops.max(flags)
        pixels = ops.cond(bad > 0, lambda: batch_statistics(images), lambda: ops.zeros((5,), "float32"))
        loss = ops.where(bad > 0, ops.cast(loss, "float32"), 0.0)
        # One message for all, so that every replica notes the same.
        message = ops.concatenate([ops.stack([bad, loss]), pixels, flags])
        rows = gather(ops.reshape(message, (1, -1)))
        flags = ops.max(rows[:, 7:], axis=0)
        first = ops.logical_and(ops.max(flags) > 0, ops.equal(self.where[0], 0))
        where = ops.concatenate(
            [ops.reshape(ops.cast(step, "int32") + 1, (1,)), ops.cast(flags > 0, "int32")]
        )
        self.where.assign(ops.where(first, where, self.where.value))
        self.statistics.assign(ops.where(first, over_replicas(rows[:, :7]), self.statistics.value))

    def error(self, brief: bool = False) -> FloatingPointError | None:
        """What went wrong first, with the statistics of the batch and what to try, or `None`.

        Args:
            brief: whether to leave out statistics and advice.
        """
        where = ops.convert_to_numpy(self.where)
        if not where[0]:
            return None
        loss, low, high, mean, variance, broken = (float(x) for x in ops.convert_to_numpy(self.statistics))
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
            f"The batch's pixels: min {low:g}, max {high:g}, mean {mean:.6g}, standard deviation "
            f"{variance**0.5:.6g}, {broken:.0f} not finite."
        )
        if broken:
            advice = "Mend the images, e.g. with np.nan_to_num, or leave them out."
        else:
            advice = (
                "The images are finite, so the weights or the loss overflowed: try a lower learning rate, a "
                "longer warm-up, clipping (global_clipnorm of the optimizer), a higher temperature, or "
                'float32 in place of float16; compile(nonfinite="skip") leaves such updates out and goes on.'
            )
        return FloatingPointError(f"{place}: {what}. {batch} {advice} See docs/resume.md.")


class NonfiniteUpdates:
    """The part of an `SSLModel` that leaves an update out whose numbers are not finite."""

    def values_to_keep(self, values: list | None = None) -> list | None:
        """What `nonfinite="skip"` brings back of an update left out; `None` unless it is on.

        Args:
            values: the values of the non-trainable and metric variables, by default a copy of them.

        Returns:
            `[(variable, value)]`; the optimizer and what it trains are not among them.
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


def batch_statistics(images: KerasTensor) -> KerasTensor:
    """Minimum, maximum, mean and variance of the finite pixels, and the number of the others."""
    images = ops.cast(images, "float32")
    finite = ops.isfinite(images)
    count = ops.maximum(ops.sum(ops.cast(finite, "float32")), 1.0)
    mean = ops.sum(ops.where(finite, images, 0.0)) / count
    variance = ops.sum(ops.where(finite, ops.square(images - mean), 0.0)) / count
    return ops.stack(
        [
            ops.min(ops.where(finite, images, np.inf)),
            ops.max(ops.where(finite, images, -np.inf)),
            mean,
            variance,
            ops.sum(1.0 - ops.cast(finite, "float32")),
        ]
    )


def over_replicas(rows: KerasTensor) -> KerasTensor:
    """The loss and the pixels' statistics of the replicas that went wrong, whose shares have one size.

    Args:
        rows: `(replicas, 7)`: whether the replica went wrong, its loss, its `batch_statistics`.
    """
    bad = rows[:, :1] > 0
    count = ops.maximum(ops.sum(rows[:, 0]), 1.0)
    total = ops.sum(ops.where(bad, rows, 0.0), axis=0)
    mean, variance = total[4] / count, total[5] / count
    variance = variance + ops.sum(ops.where(bad[:, 0], ops.square(rows[:, 4] - mean), 0.0)) / count
    low = ops.min(ops.where(bad[:, 0], rows[:, 2], np.inf))
    high = ops.max(ops.where(bad[:, 0], rows[:, 3], -np.inf))
    return ops.stack([total[1] / count, low, high, mean, variance, total[6]])


def all_finite(tensors: list) -> KerasTensor:
    """Whether every number of every tensor is finite on every replica, a boolean scalar."""
    here = ops.all(ops.stack([ops.all(ops.isfinite(tensor)) for tensor in tensors]))
    return ops.equal(replica_mean(1.0 - ops.cast(here, "float32")), 0.0)


def keep_where(condition: KerasTensor, variables: list, before: list) -> None:
    """Gives each variable its value of before unless `condition` holds; a boolean scalar of the step."""
    for variable, old in zip(variables, before, strict=True):
        variable.assign(ops.where(condition, variable.value, old))
