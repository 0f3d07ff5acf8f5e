"""The train and test step on JAX: the same step with every variable passed in and out."""

import jax
import keras

from kerassl.engine.step import WholeStep


def _scope(variables: list, values: list):
    return keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True)))


def _values(scope: keras.StatelessScope, variables: list, before: list):
    """What each variable holds at the end of a scope."""
    after = [scope.get_current_value(v) for v in variables]
    return [old if new is None else new for new, old in zip(after, before, strict=True)]


class Step(WholeStep):
    """Runs `forward_pass`, the gradients, the optimizer and `finish_update` of an `SSLModel`."""

    def train_step(self, state: tuple, data: tuple) -> tuple[dict, tuple]:
        """One optimizer step on one batch; returns the logs and the new state."""
        trainable, non_trainable, optimizer, metrics = state

        def loss_and_state(trainable: list, non_trainable: list):
            variables = self.trainable_variables + self.non_trainable_variables + self.optimizer.variables
            with _scope(variables, [*trainable, *non_trainable, *optimizer]) as scope:
                loss, record = self.forward_pass(data, training=True)
                scaled = self.optimizer.scale_loss(loss)
            return scaled, (record, _values(scope, self.non_trainable_variables, non_trainable))

        gradient = jax.value_and_grad(loss_and_state, has_aux=True)
        (_, (record, non_trainable)), gradients = gradient(trainable, non_trainable)
        trainable, optimizer = self.optimizer.stateless_apply(optimizer, gradients, trainable)

        groups = (
            self.trainable_variables,
            self.non_trainable_variables,
            self.optimizer.variables,
            self.metrics_variables,
        )
        before = (trainable, non_trainable, optimizer, metrics)
        with _scope(sum(groups, []), [*trainable, *non_trainable, *optimizer, *metrics]) as scope:
            self.finish_update(record)
            logs = self.logs(record, training=True)
        return logs, tuple(_values(scope, v, b) for v, b in zip(groups, before, strict=True))

    def test_step(self, state: tuple, data: tuple) -> tuple[dict, tuple]:
        """Loss terms and probe accuracy on one batch; returns the logs and the new state."""
        groups = (self.trainable_variables, self.non_trainable_variables, self.metrics_variables)
        with _scope(sum(groups, []), [value for values in state for value in values]) as scope:
            _, record = self.forward_pass(data, training=False)
            logs = self.logs(record, training=False)
        return logs, tuple(_values(scope, v, b) for v, b in zip(groups, state, strict=True))
