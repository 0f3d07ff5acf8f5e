"""The train and test step on TensorFlow."""

from collections.abc import Callable

import tensorflow as tf

from kerassl.engine.collectives import num_replicas
from kerassl.engine.step import WholeStep


class Step(WholeStep):
    """Runs `forward_pass`, the gradients, the optimizer and `finish_update` of an `SSLModel`.

    Under a `tf.distribute` strategy XLA cannot wrap the step, since it cannot hold the collectives. With
    `jit_compile=True` the views and every encoder without synchronised batch norm are then compiled
    by themselves, forward and backward, and the collectives stay outside.
    """

    compiles_parts = False

    def resolve_jit(self, jit_compile: bool | str, steps_per_execution: int) -> bool | str:
        """The `jit_compile` that Keras is to use for the step; raises for a combination that cannot run."""
        self.compiles_parts = jit_compile is True and tf.distribute.has_strategy()
        if tf.distribute.has_strategy() and steps_per_execution > 1:
            raise ValueError(
                f"steps_per_execution={steps_per_execution} does not run under a tf.distribute strategy in "
                "Keras 3; use 1, or the JAX backend with keras.distribution.DataParallel."
            )
        return False if self.compiles_parts else jit_compile

    def compile_part(self, function: Callable) -> Callable:
        """A part of the step, compiled by itself where the whole step is not."""
        return tf.function(function, jit_compile=True) if self.compiles_parts else function

    def train_step(self, data: tuple) -> dict:
        """One optimizer step on one batch; returns the logs."""
        if self.jit_compile:
            return self._train(data)
        # Without XLA, a dataset of unknown length makes Keras run ops that do not depend on the batch
        # once more at its end; the step counter must not move then.
        with tf.control_dependencies([t for t in tf.nest.flatten(data) if t is not None]):
            return self._train(data)

    def _train(self, data: tuple):
        with tf.GradientTape() as tape:
            loss, record = self.forward_pass(data, training=True)
            # The optimizer sums gradients over replicas, and each replica holds the loss of the global batch.
            scaled = self.optimizer.scale_loss(loss / num_replicas())
        variables = self.trainable_variables
        gradients = tape.gradient(scaled, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        self.optimizer.apply(gradients, variables)
        self.finish_update(record)
        return self.logs(record, training=True)

    def test_step(self, data: tuple) -> dict:
        """Loss terms and probe accuracy on one batch; returns the logs."""
        _, record = self.forward_pass(data, training=False)
        return self.logs(record, training=False)
