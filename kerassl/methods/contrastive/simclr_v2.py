"""SimCLR v2: SimCLR with a deeper head, part of which is kept for fine-tuning.

"Big Self-Supervised Models are Strong Semi-Supervised Learners", arXiv 2006.10029, sections 2 and 3.
Official code: google-research/simclr, `tf2/model.py`.

- Everything but the head's depth is SimCLR's (`kerassl/methods/contrastive/simclr.py`).
- The second step, fine-tuning, is a `kerassl.classifiers.Classifier` on `encoder_with_head()`; the third,
  distillation on unlabeled images, `kerassl.distillation.DistilledClassifier`. `recipes.semi_supervised`
  runs the three.
"""

import keras
from keras import ops

from kerassl.methods.contrastive.simclr import SIMCLR_PAPER, SimCLR
from kerassl.training import Recipe

SIMCLR_V2_PAPER = {
    **SIMCLR_PAPER,
    "learning_rate": 1.2,
    "batch_power": 0.5,
    "weight_decay": 1e-4,
    "options": {"lr_in_momentum": True},
}


class SimCLRv2(SimCLR):
    """SimCLR v2 (arXiv 2006.10029).

    Args:
        projection_layers: Dense layers of the head.
        **kwargs: the other arguments of `SimCLR`: `temperature`, `projection_dim`, `block_size`, `seed`,
            `name`.

    Raises:
        ValueError: as `SimCLR`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.SimCLRv2(encoder)
        >>> model.encoder_with_head(1).output_shape
        (None, 128)
    """

    default_arguments = {"projection_layers": 3}
    # google-research/simclr, readme: the rate grows with the root of the batch.
    recipes = {"simclr_v2": Recipe(paper=SIMCLR_V2_PAPER, short_arguments={"temperature": 0.2})}

    def encoder_with_head(self, layers: int = 1) -> keras.Model:
        """The encoder with the first layers of the head, for fine-tuning; weights are shared with this model.

        Args:
            layers: number of Dense layers of the head to keep, each with its batch norm and activation. The
                paper keeps 1; 0 is the encoder alone, as in SimCLR's fine-tuning.

        Returns:
            A model from normalized images to `(batch, dim)`.

        Raises:
            ValueError: for a negative number of layers, or more than the head has.
        """
        if not 0 <= layers <= self.arguments.projection_layers:
            raise ValueError(
                f"The head has {self.arguments.projection_layers} layers; it cannot keep {layers} of them."
            )
        inputs = keras.Input(self.encoder.input_shape[1:])
        x = self.encoder(inputs)
        if len(x.shape) == 4:
            x = ops.mean(x, axis=(1, 2))
        dense = [i for i, layer in enumerate(self.projector.layers) if isinstance(layer, keras.layers.Dense)]
        end = [*dense, len(self.projector.layers)][layers]
        for layer in self.projector.layers[:end]:
            x = layer(x)
        return keras.Model(inputs, x, name=f"{self.encoder.name}_with_head")
