"""DirectPred, DirectSet and DirectCopy: BYOL with a linear predictor in closed form.

"Understanding self-supervised Learning Dynamics without Contrastive Pairs", arXiv 2102.06810, equations 18
and 19 (DirectPred); "Towards Demystifying Representation Learning with Non-contrastive Self-supervision",
arXiv 2110.04947 (DirectSet and DirectCopy).
Official code: facebookresearch/luckmatters, `ssl/real-dataset/byol_trainer.py`; DirectSet is not in it.

- After each update the predictor is set from the correlation matrix F of the projections of both views,
  un-centered and un-normalized, over the global batch. The loss of a step uses the matrix of the previous
  steps; the first step uses the identity, where the official code has a random matrix.
- All three normalize F, so that `boost` does not depend on the norm of the projections: DirectPred and
  DirectSet by the largest eigenvalue, as in the official DirectPred; DirectCopy, which needs no
  decomposition, by the Frobenius norm, where the official code does not normalize F.
- The loss is BYOL's, `2 - 2 cos`, in both directions; the official code omits the 2.
- Each view goes through batch norm separately. The projector's batch norm has a scale and an offset; the
  official one has neither.
- The teacher starts as a copy of the student; the official code initializes it independently. Images above 64
  pixels are blurred with probability 0.5; the official code always blurs. The launcher's learning rate falls
  to 0; the official rate is constant.
- The default `boost` of DirectSet and DirectCopy, 0.3, is our choice: the text of 2110.04947 was not
  available.
- The official code clips the predictor's eigenvalues at 1e-4, below any sensible `boost`.
"""

from keras import KerasTensor, Model, ops

from kerassl import losses
from kerassl.arguments import Fraction, FractionBelowOne, PositiveFloat, PositiveInt
from kerassl.heads import mlp
from kerassl.training import Batch, Common, Outputs, Recipe, SSLModel, Unpack

DIRECT_PRED_PAPER = {"optimizer": "sgd", "learning_rate": 0.06, "weight_decay": 4e-4, "warmup_epochs": 0}


class DirectPred(SSLModel):
    """DirectPred (arXiv 2102.06810): the predictor has the eigenvalues `sqrt(s / max s) + boost`.

    s are the eigenvalues of the projections' correlation matrix; the predictor shares its eigenvectors.

    Args:
        momentum: teacher momentum, constant, in [0, 1]; the official code has 0.996.
        correlation_momentum: EMA momentum of the correlation matrix, rho in the paper; in [0, 1).
        boost: constant added to all eigenvalues of the predictor, epsilon in the paper; > 0.
        projection_dim: width of the embedding and of the square predictor matrix.
        hidden_dim: width of the projector's hidden layer.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Attributes:
        correlation: variable `(projection_dim, projection_dim)`, F in the paper.
        predictor: variable of the same shape, W_p in the paper; symmetric.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> model = kerassl.methods.DirectPred(encoder, projection_dim=16)
        >>> model.predictor.trainable, tuple(model.predictor.shape)
        (False, (16, 16))
    """

    family, terms, default_views = "asymmetric", ("byol",), ("simclr_cifar", "simclr_imagenet")

    # facebookresearch/luckmatters, `ssl/real-dataset`, whose batch is 128.
    recipes = {"direct_pred": Recipe(paper=DIRECT_PRED_PAPER, short_arguments={"momentum": 0.97})}

    def __init__(
        self,
        encoder: Model,
        *,
        momentum: Fraction = 0.996,
        correlation_momentum: FractionBelowOne = 0.3,
        boost: PositiveFloat = 0.01,
        projection_dim: PositiveInt = 128,
        hidden_dim: PositiveInt = 512,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(encoder, **common)
        self.projector = mlp(
            self.feature_dim,
            (hidden_dim,),
            projection_dim,
            hidden_bias=True,
            output_bias=True,
            name="projector",
        )
        self.teacher_encoder, self.teacher_projector = self.ema_teachers.of(self.encoder, self.projector)

        def matrix(name: str, initializer: str):
            shape = (projection_dim, projection_dim)
            return self.add_weight(
                name=name, shape=shape, initializer=initializer, trainable=False, dtype="float32"
            )

        self.correlation = matrix("correlation", "zeros")
        self.predictor = matrix("predictor", "identity")

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """Squared distance between normalized predictions and teacher projections, both directions."""

        def student(view: KerasTensor):
            features = self.encode(self.encoder, view, training)
            return ops.cast(self.projector(features, training=training), "float32"), features

        def teacher(view: KerasTensor):
            features = self.encode(self.teacher_encoder, view, training)
            return self.teacher_projector(features, training=training)

        (z1, features1), (z2, features2) = student(views[0]), student(views[1])
        p1, p2 = ops.matmul(z1, self.predictor), ops.matmul(z2, self.predictor)
        loss = losses.byol(p1, teacher(views[1])) + losses.byol(p2, teacher(views[0]))
        return Outputs(
            {"byol": loss}, features=(features1, features2), state={"projections": ops.concatenate([z1, z2])}
        )

    def after_update(self, state: dict) -> None:
        """Updates the correlation matrix and sets the predictor."""
        z = self.gather(state["projections"])
        of_batch = ops.matmul(ops.transpose(z), z) / ops.cast(ops.shape(z)[0], "float32")
        old, rho = ops.convert_to_tensor(self.correlation), self.arguments.correlation_momentum
        new = ops.where(ops.any(old != 0), rho * old + (1 - rho) * of_batch, of_batch)
        # A matrix that is not finite cannot be decomposed: some backends would end the run without a reason.
        self.correlation.assign(ops.where(ops.all(ops.isfinite(of_batch)), new, old))
        self.predictor.assign(self.predictor_of(ops.convert_to_tensor(self.correlation)))

    def predictor_of(self, correlation: KerasTensor) -> KerasTensor:
        """The predictor `(dim, dim)` for a correlation matrix."""
        boost = self.arguments.boost * ops.eye(self.arguments.projection_dim)
        return self.relative(correlation) + boost

    def relative(self, correlation: KerasTensor) -> KerasTensor:
        """The predictor without boost; it does not depend on the scale of the correlation matrix."""
        return relative_power(correlation, 0.5)


class DirectSet(DirectPred):
    """DirectSet (arXiv 2110.04947): the predictor has the eigenvalues `(s / max s)^exponent + boost`.

    Args:
        exponent: alpha in the paper; > 0. 0.5 is DirectPred.
        boost: as in `DirectPred`.
        **kwargs: the other arguments of `DirectPred`.

    Raises:
        ValueError: as `DirectPred`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> kerassl.methods.DirectSet(encoder, projection_dim=16).arguments.exponent
        1.0
    """

    default_arguments = {"boost": 0.3}
    # As in DirectPred.
    recipes = {"direct_set": Recipe(paper=DIRECT_PRED_PAPER, short_arguments={"momentum": 0.97})}

    def __init__(self, encoder: Model, *, exponent: PositiveFloat = 1.0, **kwargs) -> None:
        super().__init__(encoder, **kwargs)

    def relative(self, correlation: KerasTensor) -> KerasTensor:
        """The predictor without boost: a power of the correlation matrix."""
        return relative_power(correlation, self.arguments.exponent)


class DirectCopy(DirectPred):
    """DirectCopy (arXiv 2110.04947): the predictor is `F / |F| + boost`, without an eigen-decomposition.

    F is the projections' correlation matrix, |F| its Frobenius norm.

    Args:
        boost: as in `DirectPred`.
        **kwargs: the other arguments of `DirectPred`.

    Raises:
        ValueError: as `DirectPred`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16)
        >>> kerassl.methods.DirectCopy(encoder, projection_dim=16).arguments.boost
        0.3
    """

    default_arguments = {"boost": 0.3}
    # As in DirectPred.
    recipes = {"direct_copy": Recipe(paper=DIRECT_PRED_PAPER, short_arguments={"momentum": 0.97})}

    def relative(self, correlation: KerasTensor) -> KerasTensor:
        """The predictor without boost: the correlation matrix by its Frobenius norm."""
        size = ops.sqrt(ops.sum(ops.square(correlation)))
        return correlation / ops.maximum(size, 1e-30)


def relative_power(matrix: KerasTensor, exponent: float) -> KerasTensor:
    """`Q diag((s / max s)^exponent) Q^T` of a matrix `Q diag(s) Q^T`.

    Args:
        matrix: `(dim, dim)` float32, symmetric, with no negative eigenvalues, rounding aside.
        exponent: positive number.

    Returns:
        `(dim, dim)`; zeros for a matrix of zeros.

    Example:
        >>> import numpy as np
        >>> from kerassl.methods.asymmetric.direct_pred import relative_power
        >>> print(np.round(np.array(relative_power(np.diag([4.0, 1.0]).astype("float32"), 0.5)), 4))
        [[1.  0. ]
         [0.  0.5]]
    """
    eigenvalues, eigenvectors = ops.eigh(matrix)
    relative = ops.maximum(eigenvalues, 0.0) / ops.maximum(ops.max(eigenvalues), 1e-30)
    return ops.matmul(eigenvectors * relative**exponent, ops.transpose(eigenvectors))
