"""SogCLR: contrast with a remembered normalizer per image, so that batches may be small.

"Provable Stochastic Optimization for Global Contrastive Learning: Small Batch Does Not Harm Performance",
arXiv 2202.12387, algorithm 1. Official code: Optimization-AI/SogCLR, `sogclr/builder.py`.

- The remembered value of an image is the mean of its two views' normalizers, as in that code; the class
  SogCLR in iSogCLR's code keeps their sum.
- An image that was never seen takes the normalizer of its batch. The official code does so only if all images
  of a batch are new.
- Normalizers are kept as logarithms, which do not overflow at any temperature.
- Both views share one encoder pass, and so batch norm; the official code encodes them separately.
- An embedding also receives gradients as a negative of anchors on other devices; the official gather drops
  them.
"""

import math

from keras import KerasTensor, Model, ops

from kerassl.arguments import Annotated, Bound, PositiveFloat, PositiveInt
from kerassl.heads import mlp
from kerassl.losses import log_mean_similarities, sogclr
from kerassl.memory import SampleMemory, rows_of
from kerassl.methods.contrastive.simclr import SIMCLR_PAPER
from kerassl.training import Batch, Common, Outputs, Recipe, SSLModel, Unpack

# Logarithm of a normalizer that was never set.
NEVER = -1e30


SOGCLR_PAPER = {**SIMCLR_PAPER, "learning_rate": 1.2, "batch_power": 0.5}


class SogCLR(SSLModel):
    """SogCLR (arXiv 2202.12387).

    The step needs the index of each example. `fit` supplies the indices of arrays and of a
    `kerassl.data.ArrayDataset`; other data yield `{"inputs": inputs, "sample_index": indices}` instead of
    inputs, which may be ready views. An index outside `0..num_examples - 1`, such as -1, means unknown: that
    example takes the normalizer of its batch and is not remembered. Evaluation needs no indices.

    Args:
        num_examples: number of training examples; one number is remembered for each.
        temperature: divides the cosines in the weights of the negatives; > 0. Changing it invalidates the
            remembered normalizers.
        gamma: weight of the batch's normalizer against the remembered one, in (0, 1].
        projection_dim: width of the embedding that the loss sees.
        hidden_dim: width of the projector's hidden layer.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: in training, for data without sample indices.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.SogCLR(encoder, num_examples=50_000)
        >>> tuple(model.memories["log_normalizers"].values.shape)
        (50001,)
    """

    family, default_views = "contrastive", ("simclr_cifar", "sogclr")
    renamed_arguments = {"num_images": "num_examples"}
    needs_sample_index = True
    terms = ("sogclr",)

    # arXiv 2202.12387; Optimization-AI/SogCLR, whose 0.075 times the root of the batch is 1.2 at 256.
    recipes = {"sogclr": Recipe(paper=SOGCLR_PAPER, short_arguments={"temperature": 0.2, "hidden_dim": 512})}

    def __init__(
        self,
        encoder: Model,
        *,
        num_examples: PositiveInt,
        temperature: PositiveFloat = 0.1,
        gamma: Annotated[float, Bound(0, 1, open_low=True)] = 0.9,
        projection_dim: PositiveInt = 128,
        hidden_dim: PositiveInt = 2048,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(encoder, **common)
        self.projector = mlp(
            self.feature_dim, (hidden_dim,), projection_dim, output_batch_norm="plain", name="projector"
        )
        self.memories = {"log_normalizers": SampleMemory(self, "log_normalizers", num_examples, start=NEVER)}

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Contrast with the remembered normalizers, updated toward those of the batch."""
        view1, view2 = views
        rows = rows_of(batch, self.arguments.num_examples, training, type(self).__name__)
        features = self.encode_views(self.encoder, (view1, view2), training)
        z1, z2 = ops.split(self.projector(features, training=training), 2)
        # Each replica compares its own rows with the whole batch.
        global_batch = self.global_batch(z1, z2)
        temperature = self.temperature_of(rows)
        moved = self.moved_normalizers(rows, log_mean_similarities(z1, z2, temperature, **global_batch))
        loss = self.mean_over_replicas(sogclr(z1, z2, moved, temperature, **global_batch))
        memory = self.memory_updates(rows, z1, z2, moved, temperature, global_batch)
        return Outputs(
            {self.terms[0]: loss}, features=ops.split(features, 2), state={"rows": rows, "memory": memory}
        )

    def temperature_of(self, rows: KerasTensor) -> float | KerasTensor:
        """The temperature of all images."""
        return self.arguments.temperature

    def moved_normalizers(self, rows: KerasTensor, own: KerasTensor) -> KerasTensor:
        """Logarithms `(batch, 2)`: gamma of the batch's mean plus 1 - gamma of the remembered value."""
        old = self.memories["log_normalizers"].read(rows)[:, None]
        if self.arguments.gamma == 1:
            return own
        mixed = ops.logaddexp(old + math.log(1 - self.arguments.gamma), own + math.log(self.arguments.gamma))
        return ops.where(old > NEVER / 2, mixed, own)

    def memory_updates(
        self,
        rows: KerasTensor,
        z1: KerasTensor,
        z2: KerasTensor,
        log_normalizers: KerasTensor,
        temperature: float | KerasTensor,
        global_batch: dict,
    ) -> dict:
        """New values of the images of this batch, by the name of the memory."""
        return {"log_normalizers": ops.logsumexp(log_normalizers, axis=1) - math.log(2)}

    def after_update(self, state: dict) -> None:
        """Stores the values of the global batch; the row of unknown images keeps its initial value."""
        rows = self.gather(state["rows"])
        for name, memory in self.memories.items():
            memory.write(rows, self.gather(state["memory"][name]))
