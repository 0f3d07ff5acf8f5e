"""The train and test step on JAX: the same step with every variable passed in and out."""

from collections.abc import Callable

import jax
import keras
import numpy as np

from kerassl.engine.step import WholeStep


def _scope(variables: list, values: list):
    return keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True)))


def _values(scope: keras.StatelessScope, variables: list, before: list):
    """The value of each variable at the end of a scope."""
    after = [scope.get_current_value(v) for v in variables]
    return [old if new is None else new for new, old in zip(after, before, strict=True)]


def _where(condition: jax.Array, new: list, old: list):
    return [keras.ops.where(condition, a, b) for a, b in zip(new, old, strict=True)]


def _whole(value: jax.Array):
    """A weight that is sharded over this process's devices, or replicated on devices of several processes."""
    return np.asarray(value if value.is_fully_addressable else value.addressable_data(0))


class Step(WholeStep):
    """Runs `forward_pass`, the gradients, the optimizer and `finish_update` of an `SSLModel`."""

    @property
    def num_devices(self) -> int:
        """Devices among which each global batch is cut."""
        distribution = keras.distribution.distribution()
        return 1 if distribution is None else distribution.num_model_replicas

    def align_processes(self) -> None:
        """Refuses a model that was made before its distribution; JAX' own message names neither."""
        distribution = keras.distribution.distribution()
        if distribution is None:
            return
        devices = {str(device) for device in distribution.device_mesh.backend_mesh.devices.flat}
        for variable in self.variables:
            if {str(device) for device in variable.value.devices()} != devices:
                raise ValueError(
                    f"The weight {variable.path} lies on {len(variable.value.devices())} of the "
                    f"{len(devices)} "
                    "devices of the distribution: the model was made outside it. Make, compile and fit "
                    "the "
                    "model within kerassl.distribute(...)."
                )

    def call_locally(self, function: Callable, images: np.ndarray) -> np.ndarray:
        """The result of a function of images and the model's weights, by this process on its first device."""
        variables = self.trainable_variables + self.non_trainable_variables
        before = keras.distribution.distribution()
        keras.distribution.set_distribution(None)
        try:
            values = [_whole(variable.value) for variable in variables]
            with _scope(variables, values):
                return np.asarray(function(images))
        finally:
            keras.distribution.set_distribution(before)

    def train_step(self, state: tuple, data: tuple) -> tuple[dict, tuple]:
        """One optimizer step on one batch; returns the logs and the new state."""
        trainable, non_trainable, optimizer, metrics = state
        if self.uses_virtual_steps:
            variables = self.trainable_variables + self.non_trainable_variables + self.optimizer.variables
            with _scope(variables, [*trainable, *non_trainable, *optimizer]) as scope:
                self.run_virtual_steps(data)
            non_trainable = _values(scope, self.non_trainable_variables, non_trainable)

        def loss_and_state(trainable: list, non_trainable: list):
            variables = self.trainable_variables + self.non_trainable_variables + self.optimizer.variables
            with _scope(variables, [*trainable, *non_trainable, *optimizer]) as scope:
                loss, record = self.forward_pass(data, training=True)
                scaled = self.optimizer.scale_loss(loss)
            return scaled, (record, _values(scope, self.non_trainable_variables, non_trainable))

        gradient = jax.value_and_grad(loss_and_state, has_aux=True)
        (_, (record, non_trainable)), gradients = gradient(trainable, non_trainable)
        trainable, optimizer = self.optimizer.stateless_apply(optimizer, gradients, trainable)
        if self.looks_at_gradients:
            record = record._replace(finite=self.update_is_finite(record.loss, gradients))
        if self.nonfinite == "skip":
            trainable = _where(record.finite, trainable, state[0])
            optimizer = _where(record.finite, optimizer, state[2])
            record = record._replace(before=self.values_to_keep([*state[1], *metrics]))

        groups = (
            self.trainable_variables,
            self.non_trainable_variables,
            self.optimizer.variables,
            self.metrics_variables,
        )
        before = (trainable, non_trainable, optimizer, metrics)
        with _scope(sum(groups, []), [*trainable, *non_trainable, *optimizer, *metrics]) as scope:
            record = self.finish_update(record)
            logs = self.logs(record, training=True)
        return logs, tuple(_values(scope, v, b) for v, b in zip(groups, before, strict=True))

    def virtual_step(self, data: tuple, number: int) -> None:
        """A gradient step on a batch that moves nothing but the weights and the optimizer."""
        variables = self.trainable_variables, self.optimizer.variables
        weights, slots = ([variable.value for variable in group] for group in variables)
        gradients = jax.grad(lambda weights: self.virtual_loss(data, number, weights))(weights)
        moved = self.optimizer.stateless_apply(slots, gradients, weights)
        for group, values in zip(variables, moved, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)

    def test_step(self, state: tuple, data: tuple) -> tuple[dict, tuple]:
        """Loss terms and probe accuracy on one batch; returns the logs and the new state."""
        groups = (self.trainable_variables, self.non_trainable_variables, self.metrics_variables)
        with _scope(sum(groups, []), [value for values in state for value in values]) as scope:
            _, record = self.forward_pass(data, training=False)
            logs = self.logs(record, training=False)
        return logs, tuple(_values(scope, v, b) for v, b in zip(groups, state, strict=True))
