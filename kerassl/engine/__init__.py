"""The only folder that names a backend: train steps, collectives and step-keyed randomness."""

import keras

from kerassl.engine.assign_if import assign_if
from kerassl.engine.attention import attention
from kerassl.engine.chunks import encode_in_chunks
from kerassl.engine.collectives import gather, num_replicas, replica_id, replica_mean, replica_sum
from kerassl.engine.fusion import fused
from kerassl.engine.keras_internals import layers_of, mark, marked, untrack_variable
from kerassl.engine.nonfinite import NonfiniteRecord, NonfiniteUpdates, batch_statistics, loss_or_nan
from kerassl.engine.normalization import batch_norm, is_synchronized, synchronize_batch_norm
from kerassl.engine.processes import gather_from_processes, is_chief, process_index_and_count, process_share
from kerassl.engine.random import StepSeed
from kerassl.engine.step import VirtualSteps
from kerassl.engine.strategies import STRATEGIES, distribute

if keras.backend.backend() == "tensorflow":
    from kerassl.engine.tensorflow import Step
elif keras.backend.backend() == "jax":
    from kerassl.engine.jax import Step
elif keras.backend.backend() == "torch":
    from kerassl.engine.torch import Step
else:
    raise ImportError(
        f"kerassl trains on the backends tensorflow, jax and torch, not {keras.backend.backend()!r}. "
        "Set KERAS_BACKEND before Python starts, or edit ~/.keras/keras.json."
    )

__all__ = [
    "NonfiniteRecord",
    "NonfiniteUpdates",
    "STRATEGIES",
    "Step",
    "StepSeed",
    "VirtualSteps",
    "assign_if",
    "attention",
    "batch_norm",
    "batch_statistics",
    "distribute",
    "encode_in_chunks",
    "fused",
    "gather",
    "gather_from_processes",
    "is_chief",
    "is_synchronized",
    "layers_of",
    "loss_or_nan",
    "mark",
    "marked",
    "num_replicas",
    "process_index_and_count",
    "process_share",
    "replica_id",
    "replica_mean",
    "replica_sum",
    "synchronize_batch_norm",
    "untrack_variable",
]


def __dir__() -> list[str]:
    return sorted(__all__)
