"""MAE: encode a quarter of an image's patches and reconstruct the pixels of the rest.

"Masked Autoencoders Are Scalable Vision Learners", arXiv 2111.06377, section 3.
Official code: facebookresearch/mae, `models_mae.py`.

- Positions are added before the patches are dropped, so every visible token carries its own position.
- The mask ratio counts patches only; the class token is always visible.
- Targets are standardized per patch by default, as for the paper's best models; in the official code this is
  an option.
- The embedding of whole images is the encoder's own pooling (the paper probes the class token).
"""

from keras import Model, ops

from kerassl.backbones import TokenDecoder, patchify, take_patches
from kerassl.backbones.feature_maps import check_tokens
from kerassl.losses import masked_mse
from kerassl.training import Batch, Common, Outputs, PositiveInt, Recipe, SSLModel, Unpack


class MAE(SSLModel):
    """Masked autoencoder (arXiv 2111.06377).

    Args:
        encoder: an encoder with the token interface of `kerassl.backbones.vit`.
        mask_ratio: share of hidden patches, in (0, 1).
        normalize_target: whether each target patch is standardized by its own mean and unbiased variance.
        decoder_dim: width of the decoder.
        decoder_depth: number of decoder blocks.
        decoder_num_heads: attention heads of the decoder; must divide `decoder_dim`.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: for an encoder without tokens, or a mask ratio that hides no patch or all of them.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.vit((32, 32, 3), size="tiny", patch_size=8, depth=2)
        >>> model = kerassl.methods.MAE(encoder, decoder_dim=32, decoder_depth=1, decoder_num_heads=2)
        >>> model.num_visible
        4
    """

    family, terms, default_views, wants = "masked", ("masked_mse",), ("mae", "mae"), "tokens"
    renamed_arguments = {"decoder_heads": "decoder_num_heads"}
    # Only the visible patches are encoded, by `encode_tokens`.
    supports_chunks = False

    # arXiv 2111.06377 appendix A.1.
    recipes = {
        "mae": Recipe(
            paper={
                "optimizer": "adamw",
                "learning_rate": 1.5e-4,
                "weight_decay": 0.05,
                "warmup_epochs": 40,
                "options": {"beta_2": 0.95},
            },
            short={"learning_rate": 1.5e-3, "weight_decay": 0.05},
            short_arguments={"decoder_dim": 96, "decoder_depth": 2, "decoder_num_heads": 3},
            backbone="vit_tiny",
            digits_views="mae_digits",
        )
    }

    def __init__(
        self,
        encoder: Model,
        *,
        mask_ratio: float = 0.75,
        normalize_target: bool = True,
        decoder_dim: PositiveInt = 512,
        decoder_depth: PositiveInt = 8,
        decoder_num_heads: PositiveInt = 16,
        **common: Unpack[Common],
    ) -> None:
        check_tokens(encoder, "MAE", "encodes a subset of an image's patches")
        num_patches = encoder.grid[0] * encoder.grid[1]
        num_visible = int(num_patches * (1 - mask_ratio))
        if not 0 < num_visible < num_patches:
            raise ValueError(
                f"mask_ratio={mask_ratio} leaves {num_visible} of {num_patches} patches visible; at least "
                "one must be visible and one hidden. The paper uses 0.75."
            )
        super().__init__(encoder, views_options={"num_patches": num_patches}, **common)
        self.num_visible = num_visible
        self.decoder = TokenDecoder.for_pixels(
            encoder, hidden_dim=decoder_dim, depth=decoder_depth, num_heads=decoder_num_heads
        )

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Mean squared error over the hidden patches."""
        images, permutation = views
        visible, hidden = permutation[:, : self.num_visible], permutation[:, self.num_visible :]
        encoded = self.encoder.encode_tokens(self.encoder.embed_patches(images, visible), training=training)
        prediction = self.decoder(encoded, permutation, training=training)
        patches = patchify(images, self.encoder.patch_size)
        target, mask = take_patches(patches, hidden), ops.ones_like(hidden)
        loss = masked_mse(prediction, target, mask, normalize_target=self.arguments.normalize_target)
        return Outputs({"masked_mse": loss}, features=self.encoder.pool_tokens(encoded))
