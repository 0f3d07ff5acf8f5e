"""The train and test step on TensorFlow."""

import tensorflow as tf

from kerassl.engine.collectives import num_replicas


class Step:
    """Runs `forward_pass`, the gradients, the optimizer and `finish_update` of an `SSLModel`."""

    def train_step(self, data):
        """One optimizer step on one batch; returns the logs."""
        if self.jit_compile:
            return self._train(data)
        # Without XLA, a dataset of unknown length makes Keras run ops that do not depend on the batch
        # once more at its end; the step counter must not move then.
        with tf.control_dependencies([t for t in tf.nest.flatten(data) if t is not None]):
            return self._train(data)

    def _train(self, data):
        with tf.GradientTape() as tape:
            loss, record = self.forward_pass(data, training=True)
            # The optimizer sums gradients over replicas, and every replica holds the loss of the global batch.
            scaled = self.optimizer.scale_loss(loss / num_replicas())
        variables = self.trainable_variables
        gradients = tape.gradient(scaled, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        self.optimizer.apply(gradients, variables)
        self.finish_update(record)
        return self.logs(record, training=True)

    def test_step(self, data):
        """Loss terms and probe accuracy on one batch; returns the logs."""
        _, record = self.forward_pass(data, training=False)
        return self.logs(record, training=False)
