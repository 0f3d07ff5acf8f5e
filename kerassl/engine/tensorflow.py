"""The train and test step on TensorFlow."""

import contextlib
import math
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework import op_callbacks

from kerassl.engine.collectives import num_replicas
from kerassl.engine.feeding import feed
from kerassl.engine.fusion import fused, fusing
from kerassl.engine.keras_internals import NoSymbolicBuild, layers_of, strategy_of
from kerassl.engine.normalization import is_synchronized
from kerassl.engine.step import WholeStep

# Weights from which on an update in one pass over memory saves more than its compilation takes: a twentieth
# of a second of processor time a step for 25 million, and a second once.
MANY_WEIGHTS = 10_000_000


class Step(NoSymbolicBuild, WholeStep):
    """Runs `forward_pass`, the gradients, the optimizer and `finish_update` of an `SSLModel`.

    Under a `tf.distribute` strategy on GPUs or processors XLA cannot wrap the step, since it cannot hold the
    collectives. With `jit_compile=True` the views and every encoder without synchronised batch norm are then
    compiled separately, forward and backward, and the collectives stay outside. A TPU compiles the whole step
    automatically.
    """

    compiles_parts = False
    fuses = False

    @property
    def num_devices(self) -> int:
        """Devices among which each global batch is cut."""
        return self.distribute_strategy.num_replicas_in_sync

    def device_scope(self) -> contextlib.AbstractContextManager:
        """The scope in which the variables of the model and its optimizer are made."""
        return self.distribute_strategy.scope() if self._is_distributed else contextlib.nullcontext()

    @property
    def _is_distributed(self):
        # Keras notes the strategy under which a model was made, also one of a single device.
        return strategy_of(self) is not None

    def check_compile(
        self, optimizer: keras.optimizers.Optimizer, jit_compile: bool | str, steps_per_execution: int
    ) -> tuple[keras.optimizers.Optimizer, bool | str]:
        """The optimizer and `jit_compile` that Keras is to use; raises for a combination that cannot run."""
        self.fuses = jit_compile == "auto" and not self._is_distributed
        if not self._is_distributed:
            return optimizer, jit_compile
        strategy = self.distribute_strategy
        name = type(strategy).__name__
        if steps_per_execution > 1:
            raise ValueError(
                f"steps_per_execution={steps_per_execution} does not run under {name} in Keras 3; use 1, "
                f"or the "
                "JAX backend with kerassl.distribute('data_parallel')."
            )
        if optimizer.gradient_accumulation_steps:
            raise ValueError(
                f"gradient_accumulation_steps={optimizer.gradient_accumulation_steps} does not run under "
                f"{name} in Keras 3; use the JAX backend with kerassl.distribute('data_parallel'), or "
                "compile(chunk_size=) to fit a large batch into memory."
            )
        if not isinstance(optimizer.variables[0].value, tf.distribute.DistributedValues):
            # Made outside the scope, its step counter lies on one device only.
            optimizer = type(optimizer).from_config(optimizer.get_config())
        on_tpu = isinstance(strategy, tf.distribute.TPUStrategy)
        self.compiles_parts = jit_compile is True and not on_tpu
        return optimizer, False

    def check_chunks(self, encoder: keras.Model, chunk_size: int | None) -> None:
        """Raises for an encoder that several devices cannot run in chunks."""
        if chunk_size and any(is_synchronized(layer) for layer in layers_of(encoder)):
            raise ValueError(
                f"chunk_size={chunk_size} under {type(self.distribute_strategy).__name__} needs an encoder "
                "without batch norm, such as a ViT: TensorFlow's devices cannot exchange statistics within a "
                "loop. The JAX backend with kerassl.distribute('data_parallel') can."
            )

    def compile_part(self, function: Callable) -> Callable:
        """A part of the step, compiled separately if the whole step is not."""
        return tf.function(function, jit_compile=True) if self.compiles_parts else function

    def fit(self, x: object = None, y: object = None, **kwargs) -> keras.callbacks.History:
        """As `keras.Model.fit`."""
        if not kwargs.get("validation_split"):
            x, y, kwargs = feed(x, y, kwargs, "steps_per_epoch", shuffle=True)
        return super().fit(x, y, **kwargs)

    def evaluate(self, x: object = None, y: object = None, **kwargs) -> dict | list:
        """As `keras.Model.evaluate`."""
        x, y, kwargs = feed(x, y, kwargs, "steps", shuffle=False)
        return super().evaluate(x, y, **kwargs)

    def predict(self, x: object, **kwargs) -> np.ndarray:
        """As `keras.Model.predict`."""
        x, _, kwargs = feed(x, None, kwargs, "steps", shuffle=False)
        return super().predict(x, **kwargs)

    def train_step(self, data: tuple) -> dict:
        """One optimizer step on one batch; returns the logs."""
        before = self.values_to_keep()
        # XLA has no kernel for the checks of `tf.debugging.enable_check_numerics()`.
        checked = op_callbacks.should_invoke_op_callbacks()
        fuses = self.fuses and not (self.jit_compile or self.run_eagerly or checked)
        with fusing() if fuses else contextlib.nullcontext():
            if self.uses_virtual_steps:
                with self._once_for_a_batch(tf.nest.flatten(data)[0]):
                    self.run_virtual_steps(data)
            with tf.GradientTape() as tape:
                loss, record = self.forward_pass(data, training=True)
                # The optimizer sums gradients over replicas, and each replica holds the loss of the global
                # batch.
                scaled = self.optimizer.scale_loss(loss / num_replicas())
            variables = self.trainable_variables
            gradients = tape.gradient(scaled, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            with self._once_for_a_batch(loss):
                if self.looks_at_gradients:
                    record = record._replace(finite=self.update_is_finite(loss, gradients))
                if before is None:
                    self._apply(gradients, variables)
                else:
                    record = record._replace(before=before)
                    self._apply_if(record.finite, gradients, variables)
                record = self.finish_update(record)
                return self._reducible(self.logs(record, training=True))

    def virtual_step(self, data: tuple, number: int) -> None:
        """A gradient step on a batch that moves nothing but the weights and the optimizer."""
        variables = self.trainable_variables
        with tf.GradientTape() as tape:
            scaled = self.virtual_loss(data, number)
        gradients = tape.gradient(scaled, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        self._apply(gradients, variables)

    def _once_for_a_batch(self, of_batch: tf.Tensor) -> contextlib.AbstractContextManager:
        """Within it variables move only where there was a batch, of which `of_batch` is.

        Without XLA, a dataset of unknown length makes Keras run the step once more at its end, and with it
        everything that does not depend on the batch, such as counters.
        """
        return contextlib.nullcontext() if self.jit_compile else tf.control_dependencies([of_batch])

    def _apply(self, gradients: list, variables: list) -> None:
        many = sum(math.prod(variable.shape) for variable in variables) >= MANY_WEIGHTS
        conditional = self._scales_loss or self.clock.batches_per_update > 1
        if many and not conditional:
            fused(lambda *gradients: self.optimizer.apply(list(gradients), variables), *gradients)
        else:
            self.optimizer.apply(gradients, variables)

    def _apply_if(self, finite: tf.Tensor, gradients: list, variables: list) -> None:
        """The optimizer's update where `finite` holds, the same on all replicas."""

        def apply(gradients: list):
            self.optimizer.apply(gradients, variables)

        if not tf.distribute.has_strategy():
            keras.ops.cond(finite, lambda: apply(gradients), lambda: None)
            return

        # A condition around a collective operation must itself be outside the replicas.
        def outside(strategy: tf.distribute.Strategy, finite: tf.Tensor, gradients: list):
            keras.ops.cond(
                strategy.experimental_local_results(finite)[0],
                lambda: strategy.extended.call_for_each_replica(apply, args=(gradients,)),
                lambda: None,
            )

        tf.distribute.get_replica_context().merge_call(outside, args=(finite, gradients))

    def test_step(self, data: tuple) -> dict:
        """Loss terms and probe accuracy on one batch; returns the logs."""
        loss, record = self.forward_pass(data, training=False)
        with self._once_for_a_batch(loss):
            return self._reducible(self.logs(record, training=False))

    def _reducible(self, logs: dict):
        # Keras averages the workers' logs over an axis that scalars do not have.
        if isinstance(self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
            return {name: tf.reshape(value, (1,)) for name, value in logs.items()}
        return logs
