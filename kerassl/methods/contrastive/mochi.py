"""MoCHi: MoCo v2 with synthetic negatives, mixed from the hardest ones of the queue and from the query.

"Hard Negative Mixing for Contrastive Learning", arXiv 2010.01028, section 3. The authors' code is not
public; ranges as in giakoumoglou/synco, `synco/builder.py`.

- Everything but the negatives is MoCo v2's (`kerassl/methods/contrastive/moco_v2.py`).
- Mixtures carry no gradient and do not enter the queue.
"""

from keras import KerasTensor, Model, ops, random

from kerassl import losses
from kerassl.arguments import check_at_most
from kerassl.methods.contrastive.moco_v2 import MOCO_PAPER, SHORT_MOCO, MoCoV2
from kerassl.training import NonNegativeInt, PositiveInt, Recipe


class MoCHi(MoCoV2):
    """MoCHi (arXiv 2010.01028): the paper's MoCHi(N, s, s') is `num_hardest, num_mixed, num_query_mixed`.

    Args:
        num_hardest: number of rows of the queue nearest to a query, which are mixed.
        num_mixed: number of mixtures of two of them for each query.
        num_query_mixed: number of mixtures of one of them with the query, for each query.
        mixing_start_epoch: the first epoch with mixtures; before it, the method is MoCo v2.
        **kwargs: the other arguments of `MoCoV2`: `temperature`, `momentum`, `queue_size`,
            `projection_dim`, `symmetric`, `seed`, `name`; not `hard_fraction`.

    Raises:
        ValueError: for more hardest rows than the queue has, for a `hard_fraction`, and as `MoCoV2`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.MoCHi(encoder, queue_size=4096, num_hardest=256, num_mixed=128)
        >>> model.arguments.num_query_mixed
        128
    """

    # As in MoCo v2.
    recipes = {
        "mochi": Recipe(
            paper=MOCO_PAPER,
            short_arguments={
                **SHORT_MOCO,
                "num_hardest": 512,
                "num_mixed": 256,
                "num_query_mixed": 64,
                "mixing_start_epoch": 5,
            },
        )
    }

    def __init__(
        self,
        encoder: Model,
        *,
        num_hardest: PositiveInt = 1024,
        num_mixed: NonNegativeInt = 512,
        num_query_mixed: NonNegativeInt = 128,
        mixing_start_epoch: NonNegativeInt = 10,
        **kwargs,
    ) -> None:
        super().__init__(encoder, **kwargs)
        if self.arguments.hard_fraction is not None:
            raise ValueError(
                "MoCHi mixes the hardest negatives and keeps the others; hard_fraction is MoCoV2's."
            )
        check_at_most(queue_size=self.arguments.queue_size, num_hardest=num_hardest)

    def contrast(self, q: KerasTensor, k: KerasTensor, rng: random.SeedGenerator) -> KerasTensor:
        """InfoNCE with the queue and, from `mixing_start_epoch` on, the mixtures."""
        batch = ops.shape(q)[0]
        mine = self.row_offset(batch) + ops.arange(batch, dtype="int32")

        # Drawn for the global batch, so that a query's mixtures do not depend on the number of devices.
        def numbers(*shape: int):
            drawn = random.randint(
                (batch * self.num_replicas, *shape), 0, self.arguments.num_hardest, seed=rng
            )
            return ops.take(drawn, mine, axis=0)

        def weights(count: int, high: float):
            drawn = random.uniform((batch * self.num_replicas, count), 0.0, high, seed=rng)
            return ops.take(drawn, mine, axis=0)

        queue = ops.convert_to_tensor(self.queue.features)
        mixtures = losses.hard_negative_mixtures(
            q,
            queue,
            self.arguments.num_hardest,
            numbers(self.arguments.num_mixed, 2),
            weights(self.arguments.num_mixed, 1.0),
            numbers(self.arguments.num_query_mixed),
            weights(self.arguments.num_query_mixed, 0.5),
        )
        plain = losses.info_nce(q, k, queue, self.arguments.temperature)
        mixed = losses.info_nce(q, k, queue, self.arguments.temperature, own_negatives=mixtures)
        return ops.where(self.clock.before_epoch(self.arguments.mixing_start_epoch), plain, mixed)
