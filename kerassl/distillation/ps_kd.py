"""PS-KD: labels that are softened, ever more, by what the network said of the image an epoch ago.

"Self-Knowledge Distillation with Progressive Refinement of Targets", arXiv 2006.12000. Official code:
lgcnsai/PS-KD-Pytorch, `main.py`, `loss/pskd_loss.py`.

- The share of the past in the target grows as there, alpha_T (epoch + 1) / epochs, epochs counted from 0.
- An image that was never seen has its label alone as its target; in the official code it is the first epoch
  in which all have.
- An epoch shows each image once, so what is remembered of an image when it comes is of the epoch before, and
  it is replaced within the same step: one memory serves for both epochs, and a run resumes within one
  exactly.
- Predictions are those of the augmented view in training, as there.
"""

import keras
from keras import KerasTensor, ops

from kerassl.classifiers import Classifier
from kerassl.losses import ps_kd


@keras.saving.register_keras_serializable("kerassl")
class PSKD(Classifier):
    """PS-KD (arXiv 2006.12000): self-distillation from the epoch before, without a teacher.

    The step must know which image it sees. `fit` gives it the positions of arrays and of a
    `kerassl.data.ImageDataset`; other data yield `{"images": images, "positions": positions}` in place of
    images, ready views `(view, positions)`. Of an image without a known position, such as -1, nothing is
    remembered. Evaluation needs no positions: its loss is the cross entropy with the labels.

    The number of epochs is that which `fit` announces.

    Args:
        encoder: as in `Classifier`.
        views: as in `Classifier`; `None` for data that holds one view and the positions.
        num_classes: number of classes. Images of label -1 are left out of the loss.
        num_images: images of the training set, of each of which `num_classes` probabilities are remembered.
        alpha: share of the past in the target at the end of the run, in [0, 1]; the paper's alpha_T.
        memory_dtype: "float32", or "float16" for half of the memory.
        label_smoothing: of the label's part of the target, in [0, 1).
        seed: Python integer that keys all randomness of the run.
        name: name of the model.

    Raises:
        ValueError: for an alpha outside of [0, 1], no images, another `memory_dtype`, in training for data
            without positions, and as `Classifier`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=4)
        >>> model = kerassl.distillation.PSKD(encoder, num_classes=10, num_images=50_000)
        >>> tuple(model.past.shape)
        (50001, 10)
    """

    term_names = ("ps_kd",)
    takes_positions = True
    accumulates = False

    def __init__(
        self,
        encoder: keras.Model,
        views: tuple | None = "default",
        num_classes: int | None = None,
        *,
        num_images: int,
        alpha: float = 0.8,
        memory_dtype: str = "float32",
        label_smoothing: float = 0.0,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha must be in [0, 1], got {alpha}; the paper uses 0.8.")
        if num_images < 1:
            raise ValueError(f"num_images must be the size of the training set, got {num_images}.")
        if memory_dtype not in ("float32", "float16"):
            raise ValueError(f"memory_dtype must be 'float32' or 'float16', got {memory_dtype!r}.")
        super().__init__(encoder, views, num_classes, label_smoothing=label_smoothing, seed=seed, name=name)
        self.num_images = num_images
        self.alpha = alpha
        self.memory_dtype = memory_dtype
        # Zeros where nothing is known; the last row is that of unknown images.
        self.past = self.add_weight(
            name="past",
            shape=(num_images + 1, num_classes),
            dtype=memory_dtype,
            initializer="zeros",
            trainable=False,
        )

    def loss_terms(
        self, views: tuple | None, labels: KerasTensor | None, training: bool
    ) -> tuple[dict, dict]:
        """Cross entropy with the softened labels of the global batch."""
        (view,), rows = self.split_rows(views, self.num_images, training)
        features, logits = self.features_and_logits(view, training)
        labels = self.gather(self.needed(labels))
        # The images of an evaluation are others, whatever their positions.
        weight = self.past_weight() if training else 0.0
        everyone, past = self.gather(logits), self.gather(ops.take(self.past, rows, axis=0))
        loss = ps_kd(everyone, past, labels, weight, self.label_smoothing)
        return {"ps_kd": loss}, {"features": features, "logits": logits, "rows": rows}

    def past_weight(self) -> KerasTensor:
        """The share of the past in the target: 0 up to alpha, epoch by epoch."""
        length = ops.maximum(self.steps_per_epoch, 1)
        epoch = ops.cast(self.step // length + 1, "float32")
        epochs = ops.cast(self.total_steps, "float32") / ops.cast(length, "float32")
        return self.alpha * ops.where(self.total_steps > 0, epoch / ops.maximum(epochs, 1.0), 0.0)

    def after_update(self, aux: dict) -> None:
        """Remembers the predictions of the global batch; the row of unknown images stays as it began."""
        rows, logits = self.gather(aux["rows"]), self.gather(aux["logits"])
        unknown = ops.equal(rows, self.num_images)[:, None]
        predictions = ops.cast(ops.where(unknown, 0.0, ops.softmax(logits)), self.memory_dtype)
        past = ops.convert_to_tensor(self.past)
        self.past.assign(ops.scatter_update(past, rows[:, None], predictions))

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_images": self.num_images,
            "alpha": self.alpha,
            "memory_dtype": self.memory_dtype,
        }
