"""SEED: match the student's similarities to a queue of teacher embeddings with the teacher's.

"SEED: Self-supervised Distillation for Visual Representation", arXiv 2101.04731, equations 1 to 4. Official
code: jacobswan1/SEED, `seed/builder.py`, `tools/opts.py`.

- Both see the same view, by default a crop and a flip; the official code uses the teacher's augmentation,
  MoCo v2's.
- The queue takes the teacher's embeddings of the global batch after the loss.
- The teacher's embedding is its features; in the official code, the projection of the MoCo v2 teacher's head.
  The student's features pass through a head of two layers to the same width.
- `teacher_temperature=0.01` is the paper's; the code's default is 1e-4, almost one-hot on the image itself.
"""

import keras
from keras import KerasTensor, ops

from kerassl.distillation.distill import Distill
from kerassl.heads import plain_mlp
from kerassl.losses import seed_distillation
from kerassl.memory import FeatureQueue
from kerassl.training import Common, PositiveFloat, PositiveInt, Recipe, Unpack


class SEED(Distill):
    """SEED (arXiv 2101.04731).

    Args:
        teacher: as in `Distill`; a self-supervised teacher, whose features are compared by their cosines.
        student: as in `Distill`.
        student_temperature: divides the student's cosines; > 0.
        teacher_temperature: divides the teacher's cosines; > 0.
        queue_size: number of embeddings in the queue.
        hidden_dim: width of the hidden layer of the student's head; `None` for the width of its features.
        teacher_preprocess: as in `Distill`.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Example:
        >>> import kerassl
        >>> teacher = kerassl.methods.SimCLR(kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16))
        >>> student = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=4)
        >>> model = kerassl.distillation.SEED(teacher, student, queue_size=4096)
        >>> model.head.output_shape, tuple(model.queue.features.shape)
        ((None, 128), (4096, 128))
    """

    terms = ("seed",)

    # jacobswan1/SEED.
    recipes = {
        "seed": Recipe(
            paper={"optimizer": "sgd", "learning_rate": 0.03, "weight_decay": 1e-4, "warmup_epochs": 0},
            short_arguments={"queue_size": 4096, "hidden_dim": 512},
        )
    }

    def __init__(
        self,
        teacher: keras.Model,
        student: keras.Model,
        *,
        student_temperature: PositiveFloat = 0.2,
        teacher_temperature: PositiveFloat = 0.01,
        queue_size: PositiveInt = 65536,
        hidden_dim: PositiveInt | None = None,
        teacher_preprocess: keras.layers.Layer | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(
            teacher, student, loss="seed_distillation", teacher_preprocess=teacher_preprocess, **common
        )
        self.queue = FeatureQueue(queue_size, self.teacher.dim, seed=self.seed)

    def make_head(self) -> keras.Sequential:
        """Projection head of two layers with biases and without batch norm."""
        return plain_mlp(
            self.feature_dim, (self.arguments.hidden_dim or self.feature_dim,), self.teacher.dim, name="head"
        )

    def compare(self, outputs: KerasTensor, targets: KerasTensor) -> dict:
        """Cross entropy of the two similarities to the queue."""
        queue = ops.convert_to_tensor(self.queue.features)
        loss = seed_distillation(
            outputs, targets, queue, self.arguments.student_temperature, self.arguments.teacher_temperature
        )
        return {"seed": loss}

    def after_update(self, state: dict) -> None:
        """Puts the teacher's embeddings of the global batch into the queue."""
        self.queue.enqueue(self.gather(state["targets"]))
