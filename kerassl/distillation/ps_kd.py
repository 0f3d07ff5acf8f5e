"""PS-KD: labels increasingly softened by the network's predictions of the previous epoch.

"Self-Knowledge Distillation with Progressive Refinement of Targets", arXiv 2006.12000. Official code:
lgcnsai/PS-KD-Pytorch, `main.py`, `loss/pskd_loss.py`.

- The share of the past in the target grows as in the official code, alpha_T (epoch + 1) / epochs, with epochs
  counted from 0.
- The target of an image that was never seen is its label alone; in the official code this holds for all
  images in the first epoch.
- An epoch shows each image once, so its remembered prediction comes from the previous epoch and is replaced
  within the same step: one memory serves both epochs, and a run resumes exactly within an epoch.
- Predictions are those of the augmented view in training, as in the official code.
"""

import keras
from keras import KerasTensor, ops

from kerassl.arguments import Fraction, FractionBelowOne, Literal, PositiveInt
from kerassl.classifiers import Classifier
from kerassl.distillation.fst import FIXMATCH_PAPER
from kerassl.losses import ps_kd
from kerassl.memory import SampleMemory, rows_of
from kerassl.training import Batch, Common, Outputs, Recipe, Unpack

PS_KD_PAPER = {**FIXMATCH_PAPER, "learning_rate": 0.2, "options": {"nesterov": True}}


class PSKD(Classifier):
    """PS-KD (arXiv 2006.12000): self-distillation from the previous epoch, without a teacher.

    The step needs the index of each image. `fit` supplies the indices of arrays and of a
    `kerassl.data.ImageDataset`; other data yield `{"inputs": images, "sample_index": indices}` instead of
    images, which may be ready views. An image of unknown index, such as -1, is not remembered. Evaluation
    needs no indices: its loss is the cross entropy with the labels.

    The number of epochs is that of `fit`.

    Args:
        encoder: as in `Classifier`.
        num_examples: number of training examples; `num_classes` probabilities are remembered for each.
        alpha: share of the past in the target at the end of the run, in [0, 1]; alpha_T in the paper.
        memory_dtype: "float32", or "float16" for half of the memory.
        label_smoothing: smoothing of the label's part of the target, in [0, 1).
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: in training, for data without sample indices; and as `Classifier`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=4)
        >>> model = kerassl.distillation.PSKD(encoder, num_classes=10, num_examples=50_000)
        >>> tuple(model.past.values.shape)
        (50001, 10)
    """

    family, terms = "distillation", ("ps_kd",)
    renamed_arguments = {"num_images": "num_examples"}
    needs_sample_index = True
    supports_gradient_accumulation = False

    # lgcnsai/PS-KD-Pytorch, with batches of 128.
    recipes = {
        "ps_kd": Recipe(
            paper=PS_KD_PAPER,
        )
    }

    def __init__(
        self,
        encoder: keras.Model,
        *,
        num_examples: PositiveInt,
        alpha: Fraction = 0.8,
        memory_dtype: Literal["float32", "float16"] = "float32",
        label_smoothing: FractionBelowOne = 0.0,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(encoder, label_smoothing=label_smoothing, **common)
        # Zeros for images that were never seen.
        self.past = SampleMemory(self, "past", num_examples, (self.num_classes,), dtype=memory_dtype)

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Cross entropy with the softened labels of the global batch."""
        (view,) = views
        rows = rows_of(batch, self.arguments.num_examples, training, "PSKD")
        features, logits = self.features_and_logits(view, training)
        labels = self.gather(self.needed(batch.labels))
        # Images of an evaluation differ from those of training, regardless of their indices.
        weight = self.past_weight() if training else 0.0
        everyone, past = self.gather(logits), self.gather(self.past.read(rows))
        loss = ps_kd(everyone, past, labels, weight, self.arguments.label_smoothing)
        return Outputs(
            {"ps_kd": loss}, features=features, logits=logits, state={"rows": rows, "logits": logits}
        )

    def past_weight(self) -> KerasTensor:
        """The share of the past in the target: 0 up to alpha, epoch by epoch."""
        length = ops.maximum(self.clock.steps_per_epoch, 1)
        epoch = ops.cast(self.clock.step // length + 1, "float32")
        epochs = ops.cast(self.clock.total_steps, "float32") / ops.cast(length, "float32")
        return self.arguments.alpha * ops.where(
            self.clock.total_steps > 0, epoch / ops.maximum(epochs, 1.0), 0.0
        )

    def after_update(self, state: dict) -> None:
        """Remembers the predictions of the global batch; the row of unknown images is unchanged."""
        rows, logits = self.gather(state["rows"]), self.gather(state["logits"])
        self.past.write(rows, ops.softmax(logits))
