"""MEAL V2: a student learns the mean distribution of several teachers, with a discriminator.

"MEAL V2: Boosting Vanilla ResNet-50 to 80%+ Top-1 Accuracy on ImageNet without Tricks", arXiv 2009.08453,
equations 1 to 5. Official code: szq0214/MEAL-V2, `loss.py`, `models/discriminator.py`, `train.py`.

- In the paper the student fools the discriminator. The official code, which is the default, adds the
  discriminator's loss and passes its gradient to the student: both make the student recognizable.
- A discriminator ends in a ReLU, as in the official code: its scores are never negative, so its loss is above
  log(2) / 2.
- Its hidden layers are an eighth and a sixty-fourth of the classes wide, as in the official code, but no
  narrower than 8.
- It has the student's rate, as in the official code, where the `d_lr` of 1e-4 is overwritten before the first
  step. Another rate is the scale of its gradients: exact for SGD, which is the paper's optimizer, and without
  effect on AdamW and LARS, whose steps do not depend on that scale.
- The paper starts from a trained student, without weight decay.
"""

import keras
from keras import KerasTensor, ops

from kerassl.distillation.distilled_classifier import DistilledClassifier
from kerassl.distillation.frozen_teacher import FrozenTeacher
from kerassl.heads import mlp
from kerassl.heads.mlp import fan_in_uniform
from kerassl.losses import meal_v2_discriminator
from kerassl.training import Common, Literal, NonNegativeFloat, Recipe, Unpack


class MEALV2(DistilledClassifier):
    """MEAL V2 (arXiv 2009.08453).

    Train on all available images, labeled or not: labels serve only the accuracy (-1 for unknown).

    Args:
        teacher: as in `DistilledClassifier`; the softmaxes of a list of teachers are averaged.
        student: as in `DistilledClassifier`; a trained `Classifier` in the paper.
        discriminator: "added" for the official code's term, "adversarial" for the paper's game, in which the
            gradient that reaches the student is reversed, `None` for the cross entropy alone.
        discriminator_rate: learning rate of the discriminator over the student's, at least 0; the scale of
            its gradients.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: as `DistilledClassifier`.

    Example:
        >>> import kerassl
        >>> def classifier(width):
        ...     encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=width)
        ...     return kerassl.classifiers.Classifier(encoder, num_classes=10)
        >>> model = kerassl.distillation.MEALV2([classifier(8), classifier(6)], classifier(4))
        >>> model.step_metrics.terms
        ('soft_cross_entropy', 'discriminator')
    """

    terms = ("soft_cross_entropy", "discriminator")

    # szq0214/MEAL-V2, whose 0.01 is for batches of 512.
    recipes = {
        "meal_v2": Recipe(
            paper={"optimizer": "sgd", "learning_rate": 0.005, "weight_decay": 0.0, "warmup_epochs": 0},
            short={"learning_rate": 2e-3, "weight_decay": 0.0},
        )
    }

    def __init__(
        self,
        teacher: keras.Model | FrozenTeacher | list,
        student: keras.Model,
        *,
        discriminator: Literal["added", "adversarial"] | None = "added",
        discriminator_rate: NonNegativeFloat = 1.0,
        **common: Unpack[Common],
    ) -> None:
        if discriminator is None:
            self.terms = ("soft_cross_entropy",)
        super().__init__(teacher, student, **common)
        self.discriminator = self.make_discriminator() if discriminator else None

    def make_discriminator(self) -> keras.Sequential:
        """Three layers from logits to two scores, each with a ReLU."""
        hidden_dims = max(self.num_classes // 8, 8), max(self.num_classes // 64, 8)
        network = mlp(
            self.num_classes,
            hidden_dims,
            2,
            hidden_bias=True,
            hidden_batch_norm=False,
            output_bias=True,
            initializer=fan_in_uniform(),
            name="discriminator",
        )
        network.add(keras.layers.Activation("relu"))
        return network

    def compare(self, logits: KerasTensor, teacher_logits: tuple[KerasTensor, ...]) -> dict:
        """Cross entropy with the teachers' mean softmax, and the discriminator's loss."""
        terms = super().compare(logits, teacher_logits)
        if self.discriminator is not None:
            if self.arguments.discriminator == "adversarial":
                # The same value, the opposite gradient.
                logits = 2 * ops.stop_gradient(logits) - logits
            scores = self.scores(logits), self.scores(sum(teacher_logits) / len(teacher_logits))
            terms["discriminator"] = meal_v2_discriminator(*scores)
        return terms

    def scores(self, logits: KerasTensor) -> KerasTensor:
        """The discriminator's scores `(batch, 2)`; only the gradients of its weights are scaled."""
        weights = [ops.convert_to_tensor(variable) for variable in self.discriminator.trainable_variables]
        fixed = [ops.stop_gradient(weight) for weight in weights]
        scaled = [
            old + self.arguments.discriminator_rate * (new - old)
            for new, old in zip(weights, fixed, strict=True)
        ]
        scores, _ = self.discriminator.stateless_call(scaled, [], logits)
        return ops.cast(scores, "float32")
