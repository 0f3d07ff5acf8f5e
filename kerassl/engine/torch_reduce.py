"""A sum over the processes of `torch.distributed` through which gradients flow."""

import torch
import torch.distributed


class AllReduce(torch.autograd.Function):
    """Sum over processes whose gradient is summed, too: each process holds a part of the loss."""

    @staticmethod
    def forward(context, tensor):  # noqa: ANN001, ANN205
        """The sum over processes."""
        total = tensor.detach().clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(context, gradient):  # noqa: ANN001, ANN205
        """The sum of the processes' gradients."""
        total = gradient.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(total)
        return total
