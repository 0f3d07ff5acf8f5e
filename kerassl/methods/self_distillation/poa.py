"""POA: DINOv2's objective on a network and, in each step, on one of its sub-networks.

"POA: Pre-training Once for Models of All Sizes", arXiv 2408.01031, section 3. Official code: alipay/POA,
`poa/train/ssl_meta_arch.py`, `poa/layers/dynamic_ops.py`, `poa/models/vision_transformer.py`.

- Three branches: the teacher and the intact student are the whole network, the elastic student is its first
  channels, heads and hidden units and some of its blocks, with the intact student's weights.
- The elastic student is computed at full size with its other channels held at zero, so that one compiled step
  serves all sizes; it costs as much as the intact student. The official code slices.
- The kept blocks follow the official code, which rounds evenly spaced indices down.
- The intact student teaches the elastic one on global and local crops, not on patches, as in the official
  code.
- Sub-networks come from a list that repeats small ones and is reshuffled after each pass. The order is a
  function of the seed and the update, and the same on all devices.
- Sub-networks are cut out of the teacher, which the paper evaluates.
- The teacher's momentum rises to 1, in the official code to 0.9999. The launcher's rate falls to 0, the
  official one to a ninth of its peak. DINOv2's deviations in gain, mask token and clipping apply, too.
- Not included: layer-wise learning rate decay, a smaller rate of the patch embedding, and LayerScale.
"""

import os
import pathlib

import numpy as np
from keras import KerasTensor, Model, ops, random

from kerassl import engine, losses
from kerassl.arguments import check_at_most
from kerassl.backbones import ViT, encode_elastic, kept_blocks, sub_vit
from kerassl.backbones.vit import check_vit
from kerassl.heads import MultiDINOHead
from kerassl.methods.self_distillation.dino import SHORT_VIT
from kerassl.methods.self_distillation.dinov2 import DINOV2_PAPER, DINOv2
from kerassl.methods.self_distillation.ibot import SHORT_IBOT
from kerassl.training import Annotated, Batch, Bound, Fraction, NonNegativeInt, Outputs, PositiveInt, Recipe
from kerassl.views.multiview import same_size_batches


class POA(DINOv2):
    """POA (arXiv 2408.01031): encoders of many sizes from one run.

    Args:
        encoder: a `kerassl.backbones.vit` that accepts the sizes of all crops: the largest network.
        num_prototypes: number of prototypes of each of several heads; the losses are averaged over heads.
        intact_weight: weight of the intact student's loss by the teacher, lambda in the paper, in [0, 1]; the
            elastic student's losses have weight 1 - lambda. 1 is DINOv2.
        min_width: channels of the narrowest sub-network, a multiple of a head's width; `None` for half of
            the encoder's, or the next multiple above.
        min_depth: blocks of the shallowest sub-network; `None` for half of the encoder's, rounded up.
        small_network_repeats: factor by which the smallest width, and the smallest depth, is drawn more often
            than the largest; at least 1.
        patch_start_epoch: number of first epochs without hidden patches.
        **kwargs: the other arguments of `DINOv2`.

    Raises:
        ValueError: for an encoder that is not a ViT or sizes that cannot be cut out of it, and as `DINOv2`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.vit((32, 32, 3), patch_size=4, hidden_dim=64, num_heads=4, depth=4)
        >>> model = kerassl.methods.POA(encoder, num_prototypes=(64, 128), hidden_dim=64)
        >>> model.widths, model.depths
        ((32, 48, 64), (2, 3, 4))
        >>> model.sub_encoder(width=32, depth=2).output_shape
        (None, 32)
    """

    terms = ("dino", "ibot", "poa", "koleo")

    # As in DINOv2.
    recipes = {
        "poa": Recipe(
            paper={**DINOV2_PAPER, "options": {"clipnorm": 1.5}},
            short=SHORT_VIT,
            short_arguments={**SHORT_IBOT, "num_prototypes": (256, 512), "patch_start_epoch": 0},
            backbone="vit_tiny",
        )
    }

    def __init__(
        self,
        encoder: Model,
        *,
        num_prototypes: PositiveInt | tuple[PositiveInt, ...] = (8192, 16384, 32768, 65536),
        intact_weight: Fraction = 0.8,
        min_width: PositiveInt | None = None,
        min_depth: PositiveInt | None = None,
        small_network_repeats: Annotated[float, Bound(1)] = 3.0,
        patch_start_epoch: NonNegativeInt = 30,
        **kwargs,
    ) -> None:
        check_vit(encoder, "POA", "trains networks that are parts of the encoder")
        head_dim = encoder.hidden_dim // encoder.num_heads
        min_width = min_width or -(-encoder.num_heads // 2) * head_dim
        min_depth = min_depth or -(-encoder.depth // 2)
        if min_width > encoder.hidden_dim or min_width % head_dim:
            raise ValueError(
                f"min_width={min_width} must be a multiple of {head_dim}, a head's width, up to "
                f"{encoder.hidden_dim}."
            )
        check_at_most(depth=encoder.depth, min_depth=min_depth)
        num_prototypes = (num_prototypes,) if isinstance(num_prototypes, int) else num_prototypes
        super().__init__(encoder, num_prototypes=num_prototypes, **kwargs)
        self.widths = tuple(range(min_width, encoder.hidden_dim + 1, head_dim))
        self.depths = tuple(range(min_depth, encoder.depth + 1))
        self.networks = self.list_networks()

    def make_head(self, name: str) -> Model:
        """A model of several heads."""
        return MultiDINOHead(self.feature_dim, name=name, **self.head_options())

    def list_networks(self) -> np.ndarray:
        """int32 `(n, 2)`: width and depth of the sub-networks, small ones several times.

        The whole network is left out once, as in the official code.
        """
        repeats = self.arguments.small_network_repeats
        of_widths, of_depths = (np.linspace(repeats, 1, len(sizes)) for sizes in (self.widths, self.depths))
        networks = [
            (width, depth)
            for width, w in zip(self.widths, of_widths, strict=True)
            for depth, d in zip(self.depths, of_depths, strict=True)
            for _ in range(round(w * d))
        ]
        return np.array(networks[:-1] or networks, "int32")

    def elastic_network(self, training: bool) -> tuple[KerasTensor, KerasTensor]:
        """Channels (int32 scalar) and kept blocks `(depth,)` of this update's sub-network."""
        count = len(self.networks)
        update = self.clock.update if training else ops.zeros((), "int32")
        rng = engine.StepSeed(f"{self.seed}/elastic", update // count if training else -1)
        order = ops.argsort(random.uniform((count,), seed=rng))
        chosen = ops.take(order, update % count)
        table = np.zeros((count, self.encoder.depth), "float32")
        for row, (_, depth) in enumerate(self.networks):
            table[row, kept_blocks(self.encoder.depth, depth)] = 1.0
        widths = ops.convert_to_tensor(self.networks[:, 0])
        return ops.take(widths, chosen), ops.take(ops.convert_to_tensor(table), chosen, axis=0)

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """DINOv2's terms of both students, the distillation between them, and KoLeo of both."""
        given = self.arguments
        share, elastic_share = given.intact_weight, 1.0 - given.intact_weight
        crops, mask = self.crops_and_mask(views)
        mask = ops.logical_and(mask, ops.logical_not(self.clock.before_epoch(given.patch_start_epoch)))
        teacher_features, teacher_tokens = self.teacher_pass(crops, training)
        features, tokens = self.student_pass(crops, mask, training)
        width, blocks = self.elastic_network(training)
        elastic_features, elastic_tokens = self.elastic_pass(crops, mask, width, blocks, training)

        elastic_tokens, *_ = self.predicted_patches(elastic_tokens, elastic_tokens, mask)
        tokens, teacher_tokens, mask, counted = self.predicted_patches(tokens, teacher_tokens, mask)
        targets = self.teacher_targets(teacher_features, teacher_tokens, mask, counted, training)
        logits, patch_logits = self.logits_of_crops(features, tokens, len(crops), training)
        scale = ops.cast(self.encoder.hidden_dim / ops.cast(width, "float32"), elastic_features.dtype)
        elastic_logits, elastic_patch_logits = self.logits_of_crops(
            elastic_features * scale, elastic_tokens * scale, len(crops), training
        )

        intact = self.compare(logits, patch_logits, mask, targets)
        elastic = self.compare(elastic_logits, elastic_patch_logits, mask, targets)
        terms = {name: share * intact[name] + elastic_share * elastic[name] for name in ("dino", "ibot")}
        terms["poa"] = elastic_share * self.distil(elastic_logits, logits)
        features, elastic_features = (ops.split(x, len(crops)) for x in (features, elastic_features))
        terms["koleo"] = 0.5 * (self.spread(features) + self.spread(elastic_features))
        return Outputs(
            terms,
            features=features,
            embedding=teacher_features[: ops.shape(crops[0])[0]],
            assignments=ops.argmax(self.head.split(targets["targets"][0])[0], axis=1),
            state=targets,
        )

    def elastic_pass(
        self, crops: tuple, mask: KerasTensor, width: KerasTensor, blocks: KerasTensor, training: bool
    ) -> tuple[KerasTensor, KerasTensor]:
        """As `student_pass`, of a sub-network; channels beyond its width are zero."""
        num_global = self.arguments.num_global_crops

        def encode(images: KerasTensor, **hidden):
            patches = self.encoder.embed_patches(images, **hidden)
            return encode_elastic(self.encoder, patches, width, blocks, training)

        tokens = encode(ops.concatenate(crops[:num_global]), mask=mask, mask_token=self.mask_token)
        parts = [tokens, *(encode(images) for images in same_size_batches(crops[num_global:]))]
        features = ops.concatenate([self.encoder.pool_tokens(part) for part in parts])
        return features, tokens[:, self.encoder.num_prefix_tokens :]

    def targets(
        self, logits: KerasTensor, center: KerasTensor, mask: KerasTensor | None = None
    ) -> KerasTensor:
        """The probabilities of each head separately."""
        of_heads = super().targets
        parts = zip(self.head.split(logits), self.head.split(center), strict=True)
        return ops.concatenate([of_heads(own, own_center, mask) for own, own_center in parts], axis=-1)

    def compare(
        self, logits: KerasTensor, patch_logits: KerasTensor, mask: KerasTensor, targets: dict
    ) -> dict:
        """The mean of the heads' terms."""
        of_head, split = super().compare, self.head.split
        names = ("targets", "patch_targets")
        each = [
            of_head(own, own_patches, mask, dict(zip(names, own_targets, strict=True)))
            for own, own_patches, *own_targets in zip(
                split(logits), split(patch_logits), *(split(targets[name]) for name in names), strict=True
            )
        ]
        return {name: sum(terms[name] for terms in each) / len(each) for name in each[0]}

    def distil(self, elastic_logits: KerasTensor, logits: KerasTensor) -> KerasTensor:
        """Distillation from the intact to the elastic student on crops, averaged over heads."""
        num_global, temperature = self.arguments.num_global_crops, self.arguments.student_temperature
        total, heads = 0.0, list(zip(self.head.split(elastic_logits), self.head.split(logits), strict=True))
        for part in (slice(num_global), slice(num_global, None))[: 1 + (logits.shape[0] > num_global)]:
            for pair in heads:
                rows = (ops.reshape(x[part], (-1, x.shape[-1])) for x in pair)
                total += losses.poa(*rows, temperature=temperature)
        return total / len(heads)

    def sub_encoder(self, width: int, depth: int) -> ViT:
        """A smaller encoder cut out of the teacher, with weights of its own; see `kerassl.backbones.sub_vit`.

        Args:
            width: number of channels, one of `widths`.
            depth: number of blocks, one of `depths`.

        Raises:
            ValueError: for a size that was not trained.
        """
        if width not in self.widths or depth not in self.depths:
            raise ValueError(
                f"A sub-network of width {width} and depth {depth} was not trained: choose of the widths "
                f"{self.widths} and the depths {self.depths}."
            )
        return sub_vit(self.teacher_encoder, width, depth)

    @property
    def sub_encoders(self) -> dict[str, Model]:
        """The smallest sub-network and one in the middle."""
        middle = (sizes[len(sizes) // 2] for sizes in (self.widths, self.depths))
        sizes = {(self.widths[0], self.depths[0]), tuple(middle)}
        return {f"{width}x{depth}": self.sub_encoder(width, depth) for width, depth in sorted(sizes)}

    def export_encoder(
        self,
        path: str | os.PathLike,
        format: str = "tf_saved_model",
        image_size: int | tuple[int, int] | None = None,
        resize_to: int | tuple[int, int] | None = None,
        *,
        width: int | None = None,
        depth: int | None = None,
    ) -> pathlib.Path:
        """Writes the encoder, or a smaller one cut out of it; see `kerassl.export.export_encoder`.

        Args:
            path: as in `kerassl.export.export_encoder`.
            format: as in `kerassl.export.export_encoder`.
            image_size: as in `kerassl.export.export_encoder`.
            resize_to: as in `kerassl.export.export_encoder`.
            width: number of channels of the exported encoder; all by default.
            depth: number of blocks of the exported encoder; all by default.
        """
        from kerassl.export import export_encoder

        encoder = None
        if width is not None or depth is not None:
            encoder = self.sub_encoder(width or self.encoder.hidden_dim, depth or self.encoder.depth)
        return export_encoder(self, path, format, image_size, encoder, resize_to)
