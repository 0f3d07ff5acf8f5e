"""Communication between replicas inside a step. On one device, and on JAX, every function is the identity.

JAX compiles the step over the global batch, so its tensors are global already. Under a
`tf.distribute` strategy and under `torch.distributed` each replica runs the step on its share.
"""

import keras
from keras import KerasTensor


def _context():
    """The replica context of a running `tf.distribute` strategy or `torch.distributed`, else None."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        context = tf.distribute.get_replica_context()
        return context if context is not None and context.num_replicas_in_sync > 1 else None
    if backend == "torch":
        import torch.distributed

        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return torch.distributed if torch.distributed.get_world_size() > 1 else None
    return None


def num_replicas() -> int:
    """Number of replicas that run this step, each on its share of the global batch."""
    context = _context()
    if context is None:
        return 1
    if keras.backend.backend() == "torch":
        return context.get_world_size()
    return context.num_replicas_in_sync


def replica_id() -> int | KerasTensor:
    """Index of this replica, in 0..num_replicas()-1."""
    context = _context()
    if context is None:
        return 0
    if keras.backend.backend() == "torch":
        return context.get_rank()
    return context.replica_id_in_sync_group


def gather(tensor: KerasTensor) -> KerasTensor:
    """Concatenates a tensor of every replica along the batch axis; gradients sum back to their owner.

    Args:
        tensor: `(local batch, ...)`, of one shape on all replicas.

    Returns:
        `(global batch, ...)`, the same on every replica.

    Example:
        >>> import numpy as np
        >>> from kerassl.engine import gather
        >>> tuple(gather(np.zeros((4, 2))).shape)
        (4, 2)
    """
    context = _context()
    if context is None:
        return tensor
    if keras.backend.backend() == "torch":
        # Own rows in their place, zeros elsewhere: a sum over replicas is then the concatenation.
        rows, rank = tensor.shape[0], context.get_rank()
        before = tensor.new_zeros((rank * rows, *tensor.shape[1:]))
        after = tensor.new_zeros(((context.get_world_size() - rank - 1) * rows, *tensor.shape[1:]))
        return replica_sum(keras.ops.concatenate([before, tensor, after], axis=0))
    everyone = context.all_gather(tensor, axis=0)
    # TensorFlow forgets the widths.
    rows = None if tensor.shape[0] is None else tensor.shape[0] * context.num_replicas_in_sync
    everyone.set_shape((rows, *tensor.shape[1:]))
    return everyone


def replica_sum(tensor: KerasTensor) -> KerasTensor:
    """Sum of a tensor over replicas, through which gradients flow to every owner."""
    context = _context()
    if context is None:
        return tensor
    if keras.backend.backend() == "torch":
        from kerassl.engine.torch_reduce import AllReduce

        return AllReduce.apply(tensor)
    return context.all_reduce("SUM", tensor)


def replica_mean(tensor: KerasTensor) -> KerasTensor:
    """Mean of a tensor over replicas, without gradient; for statistics such as a center."""
    context = _context()
    if context is None:
        return tensor
    if keras.backend.backend() == "torch":
        tensor = tensor.detach().clone()
        context.all_reduce(tensor)
        return tensor / context.get_world_size()
    return keras.ops.stop_gradient(context.all_reduce("MEAN", tensor))
