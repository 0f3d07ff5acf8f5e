"""ReSSL: match a strong view's similarities to a queue with the teacher's similarities of a weak view.

"ReSSL: Relational Self-Supervised Learning with Weak Augmentation", arXiv 2107.09282, section 3.
Official code: KyleZheng1997/ReSSL, `network/ressl.py`, `network/head.py`, `ressl.py`.

- One direction: the student sees the first, strong view and the teacher the second.
- The queue takes the keys after the loss, so that no key is compared with itself.
- The teacher moves after the optimizer; the official code moves it before the next forward pass, which is
  equivalent.
- Keys are not shuffled between devices: batch norm is global.
"""

from keras import Model, ops

from kerassl import losses
from kerassl.arguments import Fraction, PositiveFloat, PositiveInt
from kerassl.heads import plain_mlp
from kerassl.memory import FeatureQueue
from kerassl.methods.asymmetric.simsiam import SIMSIAM_PAPER
from kerassl.training import Batch, Common, Outputs, Recipe, SSLModel, Unpack


class ReSSL(SSLModel):
    """ReSSL (arXiv 2107.09282).

    Args:
        student_temperature: divides the student's cosines; > 0.
        teacher_temperature: divides the teacher's cosines; > 0. Smaller than the student's, for a sharper
            target.
        momentum: teacher momentum, constant, in [0, 1]; 0.999 on ImageNet.
        queue_size: number of keys in the queue: 131,072 on ImageNet.
        projection_dim: width of the embedding.
        hidden_dim: width of the projector's hidden layer.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.ReSSL(encoder, queue_size=4096, hidden_dim=64, projection_dim=16)
        >>> tuple(model.queue.features.shape)
        (4096, 16)
    """

    family, terms, default_views = "asymmetric", ("ressl",), ("ressl_cifar", "ressl")

    # arXiv 2107.09282; KyleZheng1997/ReSSL.
    recipes = {
        "ressl": Recipe(
            paper={**SIMSIAM_PAPER, "warmup_epochs": 5, "options": {"decay_bias_and_norm": False}},
            short_arguments={"momentum": 0.99, "queue_size": 4096, "hidden_dim": 512, "projection_dim": 128},
            digits_views="ressl_digits",
        )
    }

    def __init__(
        self,
        encoder: Model,
        *,
        student_temperature: PositiveFloat = 0.1,
        teacher_temperature: PositiveFloat = 0.04,
        momentum: Fraction = 0.999,
        queue_size: PositiveInt = 131072,
        projection_dim: PositiveInt = 512,
        hidden_dim: PositiveInt = 4096,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(encoder, **common)
        self.projector = plain_mlp(self.feature_dim, (hidden_dim,), projection_dim)
        self.teacher_encoder, self.teacher_projector = self.ema_teachers.of(self.encoder, self.projector)
        self.queue = FeatureQueue(queue_size, projection_dim, seed=self.seed)

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Cross entropy between the teacher's and the student's similarities to the queue."""
        strong, weak = views
        features = self.encode(self.encoder, strong, training)
        q = self.projector(features, training=training)
        teacher_features = self.encode(self.teacher_encoder, weak, training)
        k = ops.stop_gradient(self.teacher_projector(teacher_features, training=training))
        queue = ops.convert_to_tensor(self.queue.features)
        loss = losses.ressl(
            q, k, queue, self.arguments.student_temperature, self.arguments.teacher_temperature
        )
        return Outputs({"ressl": loss}, features=features, state={"keys": k})

    def after_update(self, state: dict) -> None:
        """Puts the keys of the global batch into the queue."""
        self.queue.enqueue(self.gather(state["keys"]))
