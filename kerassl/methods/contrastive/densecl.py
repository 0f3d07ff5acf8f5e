"""DenseCL: MoCo v2 on whole images and on the cells of their feature maps.

"Dense Contrastive Learning for Self-Supervised Visual Pre-Training", arXiv 2011.09157, equations 1 to 4.
Official code: WXinlong/DenseCL, `openselfsup/models/densecl.py`, `openselfsup/hooks/densecl_warmup_hook.py`.

- The loss of whole images, the teacher and the queue are MoCo v2's
  (`kerassl/methods/contrastive/moco_v2.py`).
- Cells are matched by the encoder's features; their projections are contrasted.
- The second queue takes one key per image, the mean of its projected cells, as the official code does.
- The weight of the dense loss is 0 for the first updates, as in the official hook, which no released
  configuration uses and the paper does not mention.
"""

from keras import KerasTensor, Model, ops

from kerassl.backbones.feature_maps import check_feature_map
from kerassl.losses import dense_info_nce
from kerassl.memory import FeatureQueue
from kerassl.methods.contrastive.moco_v2 import MOCO_PAPER, SHORT_MOCO, MoCoV2
from kerassl.training import Batch, Fraction, NonNegativeInt, Outputs, Recipe


class DenseCL(MoCoV2):
    """DenseCL (arXiv 2011.09157).

    Args:
        encoder: built `keras.Model` from images to a feature map `(batch, h, w, dim)`, for example a
            `kerassl.backbones` network made with `pool=None`.
        dense_weight: weight of the loss of cells, lambda in the paper, in [0, 1]; the loss of whole images
            has weight `1 - dense_weight`. 0 is MoCo v2.
        dense_warmup_updates: number of first optimizer updates with a weight of 0, while the queues fill.
        **kwargs: the other arguments of `MoCoV2`: `temperature`, `momentum`, `queue_size`, `projection_dim`,
            `symmetric`, `hard_fraction` (for whole images only), `seed`, `name`.

    Raises:
        ValueError: for an encoder that pools its feature map, and as `MoCoV2`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16, pool=None)
        >>> model = kerassl.methods.DenseCL(encoder, queue_size=4096, momentum=0.99)
        >>> tuple(model.dense_queue.features.shape)
        (4096, 128)
    """

    terms, wants = ("info_nce", "dense_info_nce"), "feature map"

    # As in MoCo v2.
    recipes = {
        "dense_cl": Recipe(
            paper=MOCO_PAPER,
            short_arguments={**SHORT_MOCO, "dense_warmup_updates": 40},
            backbone_args={"pool": None},
        )
    }

    def __init__(
        self,
        encoder: Model,
        *,
        dense_weight: Fraction = 0.5,
        dense_warmup_updates: NonNegativeInt = 1000,
        **kwargs,
    ) -> None:
        super().__init__(encoder, **kwargs)
        check_feature_map(encoder, "DenseCL")
        self.dense_projector = self.make_projector("dense_projector")
        (self.teacher_dense_projector,) = self.ema_teachers.of(self.dense_projector)
        self.dense_queue = FeatureQueue(
            self.arguments.queue_size, self.arguments.projection_dim, seed=self.seed + 1, name="dense_queue"
        )

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """InfoNCE of images, and of cells with their matching cells, each with its own queue."""

        def student(view: KerasTensor):
            cells = self.cells(self.encoder, view, training)
            features = ops.mean(cells, axis=1)
            return self.projector(features), self.project_cells(self.dense_projector, cells), cells, features

        def teacher(view: KerasTensor):
            cells = self.cells(self.teacher_encoder, view, training)
            k = self.teacher_projector(ops.mean(cells, axis=1))
            dense_k = self.project_cells(self.teacher_dense_projector, cells)
            return ops.stop_gradient(k), ops.stop_gradient(dense_k), cells

        rng = self.clock.seed("contrast", training)
        dense_queue = ops.convert_to_tensor(self.dense_queue.features)
        loss, dense_loss, keys, dense_keys, features = 0.0, 0.0, [], [], []
        for mine, other in ((0, 1), (1, 0)) if self.arguments.symmetric else ((0, 1),):
            q, dense_q, q_cells, pooled = student(views[mine])
            k, dense_k, k_cells = teacher(views[other])
            loss += self.contrast(q, k, rng)
            dense_loss += dense_info_nce(
                dense_q, dense_k, q_cells, k_cells, dense_queue, self.arguments.temperature
            )
            keys.append(k)
            dense_keys.append(ops.mean(ops.cast(dense_k, "float32"), axis=1))
            features.append(pooled)
        weight = ops.where(
            self.clock.update >= self.arguments.dense_warmup_updates, self.arguments.dense_weight, 0.0
        )
        terms = {"info_nce": (1 - weight) * loss, "dense_info_nce": weight * dense_loss}
        return Outputs(terms, features=features, state={"keys": keys, "dense_keys": dense_keys})

    def cells(self, encoder: Model, view: KerasTensor, training: bool) -> KerasTensor:
        """The encoder's features of each cell of a view, `(batch, cells, dim)`."""
        feature_map = self.encode_unpooled(encoder, view, training)
        batch, height, width, dim = ops.shape(feature_map)
        return ops.reshape(feature_map, (batch, height * width, dim))

    def project_cells(self, projector: Model, cells: KerasTensor) -> KerasTensor:
        """Projections of all cells by 1x1 convolutions, `(batch, cells, projection_dim)`."""
        batch, count, dim = ops.shape(cells)
        return ops.reshape(
            projector(ops.reshape(cells, (-1, dim))), (batch, count, self.arguments.projection_dim)
        )

    def after_update(self, state: dict) -> None:
        """Puts the keys of the global batch into the queues."""
        super().after_update(state)
        for keys in state["dense_keys"]:
            self.dense_queue.enqueue(self.gather(keys))
