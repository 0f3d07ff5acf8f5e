"""`Encoding`: how a method encodes its views, and sees the rows of all devices."""

from typing import Any

import keras
from keras import KerasTensor, ops

from kerassl import engine
from kerassl.backbones.feature_maps import average_pool
from kerassl.views.multiview import same_size_batches


class Encoding:
    """What a method's `loss_terms` calls: passes through encoders, and the global batch."""

    def gather(self, tensor: KerasTensor) -> KerasTensor:
        """The tensor of the global batch: all replicas' rows, with gradients. Identity on one device."""
        return engine.gather(tensor)

    def global_batch(self, *tensors: KerasTensor) -> dict[str, Any]:
        """The whole batch beside this replica's rows, as a loss takes it: `candidates` and `first_row`.

        `candidates` are all replicas' rows of the tensors, and `first_row` is that at which this replica's
        own begin there; `None` and 0 where the tensors hold the whole batch: on one device and on JAX.
        """
        if engine.num_replicas() == 1:
            return {"candidates": None, "first_row": 0}
        candidates = tuple(self.gather(tensor) for tensor in tensors)
        return {"candidates": candidates, "first_row": self.row_offset(ops.shape(tensors[0])[0])}

    def row_offset(self, rows: int | KerasTensor) -> int | KerasTensor:
        """The row of the global batch at which this replica's `rows` rows begin."""
        return engine.replica_id() * rows

    def mean_over_replicas(self, loss: KerasTensor) -> KerasTensor:
        """The loss of the global batch from those of the replicas' equal shares, with gradients."""
        return engine.replica_sum(loss) / engine.num_replicas()

    @property
    def num_replicas(self) -> int:
        """Number of replicas that run this step, each on its share of the batch; 1 on JAX."""
        return engine.num_replicas()

    def encode(self, encoder: keras.Model, inputs: KerasTensor, training: bool) -> KerasTensor:
        """Features `(batch, dim)` of preprocessed inputs; a feature map or tokens are average-pooled."""
        return average_pool(self.encode_unpooled(encoder, inputs, training))

    def encode_views(self, encoder: keras.Model, views: tuple, training: bool) -> KerasTensor:
        """Features `(num_views * batch, dim)` of one view after the other; those of one size go together."""
        return ops.concatenate([self.encode(encoder, crops, training) for crops in same_size_batches(views)])

    def encode_unpooled(self, encoder: keras.Model, inputs: KerasTensor, training: bool) -> KerasTensor:
        """What an encoder gives of preprocessed inputs: `(batch, dim)` or `(batch, ..., dim)`."""
        if training and self.chunk_size:
            # On JAX the step holds the batch of all devices, elsewhere that of one.
            here = self.num_devices // engine.num_replicas()
            return engine.encode_in_chunks(encoder, inputs, self.chunk_size * here)
        if any(engine.is_synchronized(layer) for layer in engine.layers_of(encoder)):
            # XLA cannot hold what replicas tell each other.
            return encoder(inputs, training=training)
        return self.compile_part(lambda batch: encoder(batch, training=training))(inputs)
