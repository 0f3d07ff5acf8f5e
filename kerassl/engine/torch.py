"""The train and test step on PyTorch."""

from collections.abc import Callable

import keras
import numpy as np
import torch
import torch.distributed

from kerassl.engine.collectives import num_replicas, replica_mean
from kerassl.engine.step import WholeStep


class Step(WholeStep):
    """Runs `forward_pass`, the gradients, the optimizer and `finish_update` of an `SSLModel`.

    Keras 3 distributes nothing on torch; here every process of `torch.distributed` runs the step on its
    share of the batch, and the gradients are summed.
    """

    compiles_step = False

    @property
    def num_devices(self) -> int:
        """Devices among which each global batch is cut."""
        return num_replicas()

    def check_compile(
        self, optimizer: keras.optimizers.Optimizer, jit_compile: bool | str, steps_per_execution: int
    ) -> tuple[keras.optimizers.Optimizer, bool | str]:
        """The optimizer and `jit_compile` that Keras is to use; raises for a combination that cannot run."""
        if steps_per_execution > 1:
            raise ValueError(
                f"steps_per_execution={steps_per_execution} does not run on torch in Keras 3; use 1, or the "
                "JAX or TensorFlow backend."
            )
        if jit_compile is True:
            raise ValueError(
                "jit_compile=True does not run on torch: torch.compile takes minutes over the layers of "
                'Keras and then fails on convolutions of several shapes. Use jit_compile="auto", which runs '
                "each operation at once, or the JAX or TensorFlow backend, whose steps compile."
            )
        return optimizer, jit_compile

    def compile_config_here(self, config: dict) -> dict:
        """The arguments of `compile` of a saved model, as this backend can take them."""
        return {**config, "jit_compile": "auto"} if config.get("jit_compile") is True else config

    def align_processes(self) -> None:
        """Makes every process start from the same weights; called before training."""
        if num_replicas() > 1:
            for variable in self.variables + self.optimizer.variables:
                torch.distributed.broadcast(variable.value.data, src=0)

    def call_locally(self, function: Callable, images: np.ndarray) -> np.ndarray:
        """The result of a function of images and the model's weights, by this process on its first device."""
        with torch.no_grad():
            return super().call_locally(function, images)

    def train_step(self, data: tuple) -> dict:
        """One optimizer step on one batch; returns the logs."""
        before = self.values_to_keep()
        if self.uses_virtual_steps:
            with torch.no_grad():
                self.run_virtual_steps(data)
        loss, record = self.forward_pass(data, training=True)
        gradients = self._gradients(self.optimizer.scale_loss(loss / num_replicas()))
        with torch.no_grad():
            if self.looks_at_gradients:
                record = record._replace(finite=self.update_is_finite(loss, gradients), before=before)
            if before is None or record.finite:
                self.optimizer.apply(gradients, self.trainable_variables)
            record = self.finish_update(record)
            return self.replica_means(self.logs(record, training=True))

    def virtual_step(self, data: tuple, number: int) -> None:
        """A gradient step on a batch that moves nothing but the weights and the optimizer."""
        with torch.enable_grad():
            gradients = self._gradients(self.virtual_loss(data, number))
        self.optimizer.apply(gradients, self.trainable_variables)

    def _gradients(self, scaled_loss: torch.Tensor):
        variables = self.trainable_variables
        for variable in variables:
            variable.value.grad = None
        scaled_loss.backward()
        gradients = [torch.zeros_like(v.value) if v.value.grad is None else v.value.grad for v in variables]
        if num_replicas() > 1:
            for gradient in gradients:
                torch.distributed.all_reduce(gradient)
        return gradients

    def test_step(self, data: tuple) -> dict:
        """Loss terms and probe accuracy on one batch; returns the logs."""
        with torch.no_grad():
            _, record = self.forward_pass(data, training=False)
            return self.replica_means(self.logs(record, training=False))

    def replica_means(self, logs: dict) -> dict:
        """Means of scalars over the replicas, where each has its own."""
        if num_replicas() == 1:
            return logs
        values = torch.stack([torch.as_tensor(value, dtype=torch.float32) for value in logs.values()])
        return dict(zip(logs, replica_mean(values), strict=True))
