"""ReSSL: a strong view's similarities to a queue of other images follow a teacher's of a weak view.

"ReSSL: Relational Self-Supervised Learning with Weak Augmentation", arXiv 2107.09282, section 3.
Official code: KyleZheng1997/ReSSL, `network/ressl.py`, `network/head.py`, `ressl.py`.

- One direction: the student sees the first view, which is the strong one, the teacher the second.
- The queue takes the keys after the loss, so that no key is compared with itself.
- The teacher moves after the optimizer; the official code moves it before the next forward pass, which is
  the same.
- Keys are not shuffled between devices: batch norm is global here.
"""

import keras
from keras import KerasTensor, ops

from kerassl import losses
from kerassl.heads import mlp
from kerassl.memory import FeatureQueue
from kerassl.training.model import SSLModel
from kerassl.teachers import make_teacher, update_teacher


@keras.saving.register_keras_serializable("kerassl")
class ReSSL(SSLModel):
    """ReSSL (arXiv 2107.09282).

    Args:
        encoder: built `keras.Model` from images to features `(batch, dim)`.
        views: `"default"` (`ressl_cifar` up to 64 pixels, else `ressl`), a recipe's name, a views layer, or
            `None` for data that holds a strong and a weak view, in this order.
        num_classes: number of classes for the online probe; `None` for none.
        student_temperature: divides the student's cosines; > 0.
        teacher_temperature: divides the teacher's; > 0. Below the student's, for a target that is sharper.
        momentum: of the teacher, constant, in [0, 1]; 0.999 on ImageNet.
        queue_size: number of keys with which an image is compared: 131,072 on ImageNet.
        projection_dim: width of the embedding.
        hidden_dim: width of the projector's hidden layer.
        seed: Python integer that keys all randomness of the run.
        name: name of the model.

    Raises:
        ValueError: for a temperature <= 0, a momentum outside [0, 1], or a queue without rows.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=8)
        >>> model = kerassl.methods.ReSSL(encoder, queue_size=4096, hidden_dim=64, projection_dim=16)
        >>> tuple(model.queue.features.shape)
        (4096, 16)
    """

    def __init__(
        self,
        encoder: keras.Model,
        views: tuple | None = "default",
        num_classes: int | None = None,
        *,
        student_temperature: float = 0.1,
        teacher_temperature: float = 0.04,
        momentum: float = 0.999,
        queue_size: int = 131072,
        projection_dim: int = 512,
        hidden_dim: int = 4096,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        if student_temperature <= 0:
            raise ValueError(f"student_temperature must be > 0, got {student_temperature}; the paper: 0.1.")
        if teacher_temperature <= 0:
            raise ValueError(f"teacher_temperature must be > 0, got {teacher_temperature}; the paper: 0.04.")
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum must lie in [0, 1], got {momentum}; the paper uses 0.999.")
        super().__init__(
            encoder,
            views=views,
            default_views=("ressl_cifar", "ressl"),
            terms=("ressl",),
            num_classes=num_classes,
            seed=seed,
            name=name,
        )
        self.student_temperature = student_temperature
        self.teacher_temperature = teacher_temperature
        self.momentum = momentum
        self.queue_size = queue_size
        self.projection_dim = projection_dim
        self.hidden_dim = hidden_dim
        self.projector = mlp(
            self.feature_dim,
            (hidden_dim,),
            projection_dim,
            hidden_bias=True,
            hidden_batch_norm=False,
            output_bias=True,
            name="projector",
        )
        self.teacher_encoder = make_teacher(self.encoder)
        self.teacher_projector = make_teacher(self.projector)
        self.queue = FeatureQueue(queue_size, projection_dim, seed=seed)

    def loss_terms(
        self, views: tuple | None, labels: KerasTensor | None, training: bool
    ) -> tuple[dict, dict]:
        """Cross entropy between the teacher's and the student's similarities to the queue."""
        strong, weak = views
        features = self.encode(self.encoder, strong, training)
        q = self.projector(features, training=training)
        teacher_features = self.encode(self.teacher_encoder, weak, training)
        k = ops.stop_gradient(self.teacher_projector(teacher_features, training=training))
        queue = ops.convert_to_tensor(self.queue.features)
        loss = losses.ressl(q, k, queue, self.student_temperature, self.teacher_temperature)
        return {"ressl": loss}, {"features": features, "keys": k}

    def after_update(self, aux: dict) -> None:
        """Moves the teacher and puts the keys of the global batch into the queue."""
        update_teacher(self.teacher_encoder, self.encoder, self.momentum)
        update_teacher(self.teacher_projector, self.projector, self.momentum)
        self.queue.enqueue(self.gather(aux["keys"]))

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "student_temperature": self.student_temperature,
            "teacher_temperature": self.teacher_temperature,
            "momentum": self.momentum,
            "queue_size": self.queue_size,
            "projection_dim": self.projection_dim,
            "hidden_dim": self.hidden_dim,
        }
