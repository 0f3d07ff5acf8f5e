"""Functions of the step: momenta and temperatures of methods, learning rates and weight decays of optimizers.

All are evaluated inside the compiled step, in float32, with the total number of steps given once. Keras
counts calls of `optimizer.apply` for a schedule, so with `gradient_accumulation_steps` a step here is one
batch, not one update.
"""

import difflib
import math
import numbers

import keras
from keras import KerasTensor, ops

from kerassl.arguments import NonNegativeInt, PositiveInt, checked

__all__ = ["Cosine", "InfiniteLearningRate", "Linear", "WarmupCosine", "cosine", "linear"]


def linear(
    start: float | KerasTensor,
    end: float | KerasTensor,
    step: int | KerasTensor,
    total_steps: int | KerasTensor,
) -> KerasTensor:
    """Linear ramp from `start` at step 0 to `end` at `total_steps`, constant after.

    Args:
        start: number or scalar tensor.
        end: number or scalar tensor.
        step: number or scalar tensor, in steps.
        total_steps: positive number of steps.

    Returns:
        A float32 scalar.

    Raises:
        ValueError: if `total_steps` is not positive.

    Example:
        >>> from kerassl import schedules
        >>> float(schedules.linear(2.0, 4.0, step=5, total_steps=10))
        3.0
    """
    return _between(start, end, _progress(step, total_steps))


def cosine(
    start: float | KerasTensor,
    end: float | KerasTensor,
    step: int | KerasTensor,
    total_steps: int | KerasTensor,
) -> KerasTensor:
    """Half cosine, `start + (end - start) (1 - cos(pi step / total_steps)) / 2`, constant after.

    The momentum schedule of BYOL (arXiv 2006.07733, section 3.2) and the decay of most learning rates.

    Args:
        start: number or scalar tensor, the value at step 0.
        end: number or scalar tensor, the value at `total_steps`.
        step: number or scalar tensor, in steps.
        total_steps: positive number of steps.

    Returns:
        A float32 scalar.

    Raises:
        ValueError: if `total_steps` is not positive.

    Example:
        >>> from kerassl import schedules
        >>> [float(schedules.cosine(0.0, 1.0, step, total_steps=4)) for step in (0, 4, 9)]
        [0.0, 1.0, 1.0]
    """
    return _between(start, end, (1.0 - ops.cos(math.pi * _progress(step, total_steps))) / 2.0)


@keras.saving.register_keras_serializable("kerassl")
class Linear(keras.optimizers.schedules.LearningRateSchedule):
    """Linear ramp from `start` to `end` over `total_steps`, constant after.

    Args:
        start: value at step 0.
        end: value from `total_steps` on.
        total_steps: positive number of steps.

    Raises:
        ValueError: if `total_steps` is not positive.

    Example:
        >>> from kerassl.schedules import Linear
        >>> float(Linear(1.0, 0.0, total_steps=4)(1))
        0.75
    """

    @checked
    def __init__(self, start: float, end: float, total_steps: PositiveInt) -> None:
        super().__init__()
        _check_steps(total_steps)
        self.start, self.end, self.total_steps = start, end, total_steps

    def __call__(self, step: int | KerasTensor) -> KerasTensor:
        """Returns the float32 value at `step`."""
        return linear(self.start, self.end, step, self.total_steps)

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        return {"start": self.start, "end": self.end, "total_steps": self.total_steps}


@keras.saving.register_keras_serializable("kerassl")
class Cosine(keras.optimizers.schedules.LearningRateSchedule):
    """Half cosine from `start` to `end` over `total_steps`, constant after; DINO's weight decay, for one.

    Args:
        start: value at step 0.
        end: value from `total_steps` on.
        total_steps: positive number of steps.

    Raises:
        ValueError: if `total_steps` is not positive.

    Example:
        >>> from kerassl.schedules import Cosine
        >>> print(f"{float(Cosine(0.04, 0.4, total_steps=10)(5)):.2f}")
        0.22
    """

    @checked
    def __init__(self, start: float, end: float, total_steps: PositiveInt) -> None:
        super().__init__()
        _check_steps(total_steps)
        self.start, self.end, self.total_steps = start, end, total_steps

    def __call__(self, step: int | KerasTensor) -> KerasTensor:
        """Returns the float32 value at `step`."""
        return cosine(self.start, self.end, step, self.total_steps)

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        return {"start": self.start, "end": self.end, "total_steps": self.total_steps}


@keras.saving.register_keras_serializable("kerassl")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up from `initial` to `peak`, then a half cosine to `final`, then constant.

    Args:
        peak: value at step `warmup_steps`, reached exactly.
        total_steps: step at which `final` is reached, warm-up included.
        warmup_steps: length of the warm-up in steps; 0 starts at `peak`.
        final: value from `total_steps` on.
        initial: value at step 0 when there is a warm-up.

    Raises:
        ValueError: if `total_steps` is not positive or `warmup_steps` not in [0, total_steps).

    Example:
        >>> from kerassl.schedules import WarmupCosine
        >>> rate = WarmupCosine(peak=1.0, total_steps=30, warmup_steps=10)
        >>> [float(rate(step)) for step in (0, 5, 10, 30)]
        [0.0, 0.5, 1.0, 0.0]
    """

    @checked
    def __init__(
        self,
        peak: float,
        total_steps: PositiveInt,
        warmup_steps: NonNegativeInt = 0,
        final: float = 0.0,
        initial: float = 0.0,
    ) -> None:
        super().__init__()
        _check_steps(total_steps)
        if not 0 <= warmup_steps < total_steps:
            raise ValueError(
                f"warmup_steps={warmup_steps} must be at least 0 and below total_steps={total_steps}, which "
                "includes the warm-up; train longer or warm up for fewer steps."
            )
        self.peak, self.total_steps, self.warmup_steps = peak, total_steps, warmup_steps
        self.final, self.initial = final, initial

    def __call__(self, step: int | KerasTensor) -> KerasTensor:
        """Returns the float32 value at `step`."""
        step = ops.cast(step, "float32")
        decayed = cosine(
            self.peak, self.final, step - self.warmup_steps, self.total_steps - self.warmup_steps
        )
        if not self.warmup_steps:
            return decayed
        return ops.where(
            step < self.warmup_steps, linear(self.initial, self.peak, step, self.warmup_steps), decayed
        )

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        names = ("peak", "total_steps", "warmup_steps", "final", "initial")
        return {name: getattr(self, name) for name in names}


@keras.saving.register_keras_serializable("kerassl")
class InfiniteLearningRate(keras.optimizers.schedules.LearningRateSchedule):
    """Warm-up, cool-down to a constant rate, and an annealing that is skipped to continue on new data.

    With N total steps and boundaries as fractions of N: linear 0 to `peak`; cool-down `peak` to
    `constant`; `constant`; then `constant (final / constant)^u`, with u from 0 to 1 over the annealing.
    To continue, restore the checkpoint from before the annealing and train with `first_task=False`,
    which holds `constant` from its first step until `constant_end`.

    Paper: Beyond Cosine Decay: On the effectiveness of Infinite Learning Rate Schedule for Continual
    Pre-training, arXiv 2503.02844.

    Args:
        peak: eta_max, at the end of the warm-up.
        constant: eta_const, from the end of the cool-down to the annealing.
        final: eta_min, from `total_steps` on; positive.
        total_steps: steps of this task.
        warmup_end: end of the warm-up as a fraction of `total_steps`.
        cooldown_end: end of the cool-down, likewise; a boundary, not a duration.
        constant_end: start of the annealing, likewise.
        cooldown: `"cosine"`, `"inverse_sqrt"` or `"linear"`.
        first_task: whether the task has a warm-up and a cool-down.
        start_step: step of the optimizer at which this task begins, if one optimizer serves several tasks.

    Raises:
        ValueError: for rates <= 0, boundaries that do not increase within (0, 1), an unknown cool-down.

    Example:
        >>> from kerassl.schedules import InfiniteLearningRate
        >>> rate = InfiniteLearningRate(peak=1e-3, constant=1e-4, final=1e-5, total_steps=100)
        >>> [f"{float(rate(step)):.2e}" for step in (0, 5, 10, 50, 90, 100)]
        ['0.00e+00', '1.00e-03', '5.50e-04', '1.00e-04', '3.16e-05', '1.00e-05']
    """

    @checked
    def __init__(
        self,
        peak: float,
        constant: float,
        final: float,
        total_steps: PositiveInt,
        warmup_end: float = 0.05,
        cooldown_end: float = 0.15,
        constant_end: float = 0.80,
        cooldown: str = "cosine",
        first_task: bool = True,
        start_step: NonNegativeInt = 0,
    ) -> None:
        super().__init__()
        _check_steps(total_steps)
        if not min(peak, constant, final) > 0:
            raise ValueError(f"peak={peak}, constant={constant} and final={final} must all be positive.")
        if not 0 < warmup_end < cooldown_end < constant_end < 1:
            raise ValueError(
                f"warmup_end={warmup_end}, cooldown_end={cooldown_end}, constant_end={constant_end} must "
                "increase strictly between 0 and 1: they are boundaries as fractions of total_steps."
            )
        if cooldown not in _COOLDOWNS:
            near = difflib.get_close_matches(str(cooldown), _COOLDOWNS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"cooldown={cooldown!r} is unknown; use one of {tuple(_COOLDOWNS)}.{hint}")
        self.peak, self.constant, self.final, self.total_steps = peak, constant, final, total_steps
        self.warmup_end, self.cooldown_end, self.constant_end = warmup_end, cooldown_end, constant_end
        self.cooldown, self.first_task, self.start_step = cooldown, first_task, start_step

    def __call__(self, step: int | KerasTensor) -> KerasTensor:
        """Returns the float32 value at `step`."""
        done = _progress(ops.cast(step, "float32") - self.start_step, self.total_steps)
        annealed = _phase(done, self.constant_end, 1.0)
        rate = self.constant * ops.exp(annealed * math.log(self.final / self.constant))
        if not self.first_task:
            return rate
        cooled = _COOLDOWNS[self.cooldown](_phase(done, self.warmup_end, self.cooldown_end))
        rate = ops.where(done < self.cooldown_end, _between(self.peak, self.constant, cooled), rate)
        warmed = _between(0.0, self.peak, _phase(done, 0.0, self.warmup_end))
        return ops.where(done < self.warmup_end, warmed, rate)

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        names = ("peak", "constant", "final", "total_steps", "warmup_end", "cooldown_end", "constant_end")
        return {name: getattr(self, name) for name in (*names, "cooldown", "first_task", "start_step")}


def _progress(step: int | KerasTensor, total_steps: int | KerasTensor):
    _check_steps(total_steps)
    return ops.clip(ops.cast(step, "float32") / ops.cast(total_steps, "float32"), 0.0, 1.0)


def _phase(done: KerasTensor, start: float | KerasTensor, end: float | KerasTensor):
    return ops.clip((done - start) / (end - start), 0.0, 1.0)


def _between(start: float | KerasTensor, end: float | KerasTensor, fraction: KerasTensor):
    # Not start + (end - start) * fraction, which may miss `end` by a rounding: a momentum of 1 stays 1.
    return ops.cast(start, "float32") * (1.0 - fraction) + ops.cast(end, "float32") * fraction


def _check_steps(total_steps: int | KerasTensor):
    if isinstance(total_steps, numbers.Real) and not total_steps > 0:
        raise ValueError(f"total_steps={total_steps} must be positive: epochs times batches per epoch.")


_COOLDOWNS = {
    "cosine": lambda u: (1.0 - ops.cos(math.pi * u)) / 2.0,
    "inverse_sqrt": lambda u: (ops.rsqrt(1.0 + 10.0 * u) - 1.0) / (1.0 / math.sqrt(11.0) - 1.0),
    "linear": lambda u: u,
}


def __dir__() -> list[str]:
    return sorted(__all__)
