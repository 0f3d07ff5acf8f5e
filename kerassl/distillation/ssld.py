"""SSLD: label-free distillation of a student from a frozen teacher on any images.

"Beyond Self-Supervision: A Simple Yet Effective Network Distillation Alternative to Improve
Backbones", arXiv 2103.05959. Official code: PaddlePaddle/PaddleClas, `ppcls/loss/dmlloss.py`.

- The paper names the Jensen-Shannon divergence; the official code halves the symmetric Kullback-Leibler
  divergence, and so does this.
- The paper's teacher is a classifier. A self-supervised teacher has no classes: its features,
  standardised over the batch, stand for the logits, and a linear head gives the student as many.
"""

import keras
from keras import KerasTensor, ops

from kerassl.feature_maps import feature_dim
from kerassl.heads import mlp
from kerassl.losses import ssld
from kerassl.model import SSLModel
from kerassl.teachers import make_teacher


@keras.saving.register_keras_serializable("kerassl")
class SSLD(SSLModel):
    """SSLD (arXiv 2103.05959).

    Train on all images there are, labelled or not: labels serve only the online probe (-1 for unknown).

    Args:
        teacher: what to learn from: a trained `SSLModel`, whose embedding and preprocessing are used, or
            a classifier, a built `keras.Model` from images to logits `(batch, num_logits)`. It is copied
            and frozen.
        student: built `keras.Model` from images to features `(batch, dim)`: what is trained and exported.
            With a classifier as teacher, a student with as many outputs is trained on them directly;
            any other gets a linear head.
        views: `"default"` (random crop and flip), a recipe's name, a one-view layer, or `None` for data
            that holds one ready view, as `((view,), labels)`.
        num_classes: number of classes for the online probe; `None` for none.
        temperature: divides both logits; > 0. The official code uses 1.
        teacher_preprocess: a `kerassl.views.Preprocess` that turns raw images into what a classifier
            teacher was trained on, if that differs from the student's views.
        standardize: whether the teacher's outputs are standardised over the batch; `None` does so for a
            self-supervised teacher.
        seed: Python integer that keys all randomness of the run.
        name: name of the model.

    Raises:
        ValueError: for a temperature <= 0.

    Example:
        >>> import kerassl
        >>> teacher = kerassl.methods.SimCLR(kerassl.backbones.resnet18((32, 32, 3), stem="small", width=8))
        >>> student = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=4)
        >>> kerassl.distillation.SSLD(teacher, student).head.output_shape
        (None, 64)
    """

    def __init__(
        self,
        teacher: keras.Model,
        student: keras.Model,
        views: tuple | None = "default",
        num_classes: int | None = None,
        *,
        temperature: float = 1.0,
        teacher_preprocess: keras.layers.Layer | None = None,
        standardize: bool | None = None,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        if temperature <= 0:
            raise ValueError(f"temperature must be > 0, got {temperature}; the official code uses 1.")
        super().__init__(
            student,
            views=views,
            default_views=("crop_flip", "crop_flip"),
            terms=("ssld",),
            num_classes=num_classes,
            seed=seed,
            name=name,
        )
        self.standardize = isinstance(teacher, SSLModel) if standardize is None else standardize
        if isinstance(teacher, SSLModel):
            if teacher_preprocess is None and teacher.views is not None:
                teacher_preprocess = teacher.views.preprocess
            teacher = teacher.embedding_encoder
        self.teacher_preprocess = teacher_preprocess
        self.temperature = temperature
        self.teacher = make_teacher(teacher)
        num_logits = feature_dim(teacher)
        self.head = None
        if self.standardize or num_logits != self.feature_dim:
            self.head = mlp(self.feature_dim, (), num_logits, output_bias=True, name="head")

    def loss_terms(
        self, views: tuple | None, labels: KerasTensor | None, training: bool
    ) -> tuple[dict, dict]:
        """Half the symmetric KL divergence between the two softmaxes."""
        (view,) = views if isinstance(views, (tuple, list)) else (views,)
        features = self.encode(self.encoder, view, training)
        logits = features if self.head is None else self.head(features, training=training)
        targets = self.encode(self.teacher, self._teacher_images(view), training=False)
        targets = ops.stop_gradient(ops.cast(targets, "float32"))
        if self.standardize:
            everyone = self.gather(targets)
            mean, variance = ops.moments(everyone, axes=[0])
            targets = (targets - mean) * ops.rsqrt(variance + 1e-6)
        logits = ops.cast(logits, "float32")
        loss = ssld(logits / self.temperature, targets / self.temperature)
        return {"ssld": loss}, {"features": features}

    def get_config(self) -> dict:
        """The constructor's arguments; the teacher's weights are in the weights file."""
        config = super().get_config()
        config["student"] = config.pop("encoder")
        return {
            **config,
            "teacher": keras.saving.serialize_keras_object(self.teacher),
            "teacher_preprocess": keras.saving.serialize_keras_object(self.teacher_preprocess),
            "temperature": self.temperature,
            "standardize": self.standardize,
        }

    def _teacher_images(self, view: KerasTensor) -> KerasTensor:
        """The student's view as the teacher expects them: same pixels, its own size and normalisation."""
        if self.teacher_preprocess is None or self.views is None:
            return view

        def settings(preprocess: keras.layers.Layer) -> tuple:
            return preprocess.size, preprocess.normalize.mean, preprocess.normalize.std

        mine, its = self.views.preprocess, self.teacher_preprocess
        if settings(mine) == settings(its):
            return view
        return its(255.0 * mine.normalize.invert(view))
