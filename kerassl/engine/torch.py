"""The train and test step on PyTorch."""

import torch

from kerassl.engine.collectives import num_replicas
from kerassl.engine.step import WholeStep


class Step(WholeStep):
    """Runs `forward_pass`, the gradients, the optimizer and `finish_update` of an `SSLModel`."""

    def train_step(self, data: tuple) -> dict:
        """One optimizer step on one batch; returns the logs."""
        variables = self.trainable_variables
        for variable in variables:
            variable.value.grad = None
        loss, record = self.forward_pass(data, training=True)
        replicas = num_replicas()
        self.optimizer.scale_loss(loss / replicas).backward()
        gradients = [torch.zeros_like(v.value) if v.value.grad is None else v.value.grad for v in variables]
        with torch.no_grad():
            if replicas > 1:
                for gradient in gradients:
                    torch.distributed.all_reduce(gradient)
            self.optimizer.apply(gradients, variables)
            self.finish_update(record)
            return self.logs(record, training=True)

    def test_step(self, data: tuple) -> dict:
        """Loss terms and probe accuracy on one batch; returns the logs."""
        with torch.no_grad():
            _, record = self.forward_pass(data, training=False)
            return self.logs(record, training=False)
