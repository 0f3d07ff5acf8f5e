"""RKD: match the distances and angles between the student's embeddings with the teacher's.

"Relational Knowledge Distillation", arXiv 1904.05068, equations 4 to 9. Official code: lenscloth/RKD,
`metric/loss.py`, `run_distill.py`.

- Only relations are compared, so student and teacher may have any widths, and no head is needed.
- The embeddings are compared without normalization; the official scripts normalize the teacher's.
- Relations cover the global batch; in the official code one device. The memory of the angles grows with the
  cube of the batch, so they use the first `angle_images` images.
"""

import keras
from keras import KerasTensor

from kerassl.distillation.distill import SSLD_PAPER, Distill
from kerassl.losses import rkd_angle, rkd_distance
from kerassl.training import Annotated, Bound, Common, NonNegativeFloat, Recipe, Unpack


class RKD(Distill):
    """RKD (arXiv 1904.05068).

    Args:
        teacher: as in `Distill`.
        student: as in `Distill`.
        distance_weight: weight of the distances, at least 0; 1 in the official script of metric learning.
        angle_weight: weight of the angles, at least 0; 2 in that script.
        angle_images: maximal number of images of the global batch whose angles are compared.
        teacher_preprocess: as in `Distill`.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Raises:
        ValueError: for fewer than three images for angles.

    Example:
        >>> import kerassl
        >>> teacher = kerassl.methods.SimCLR(kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16))
        >>> student = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=4)
        >>> kerassl.distillation.RKD(teacher, student).step_metrics.terms
        ('rkd_distance', 'rkd_angle')
    """

    terms = ("rkd_distance", "rkd_angle")

    # As in SSLD.
    recipes = {"rkd": Recipe(paper=SSLD_PAPER)}

    def __init__(
        self,
        teacher: keras.Model,
        student: keras.Model,
        *,
        distance_weight: NonNegativeFloat = 1.0,
        angle_weight: NonNegativeFloat = 2.0,
        angle_images: Annotated[int, Bound(3)] = 128,
        teacher_preprocess: keras.layers.Layer | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(
            teacher,
            student,
            loss="rkd_distance",
            use_head=False,
            teacher_preprocess=teacher_preprocess,
            **common,
        )

    def compare(self, outputs: KerasTensor, targets: KerasTensor) -> dict:
        """Both losses, over the global batch."""
        outputs, targets = self.gather(outputs), self.gather(targets)
        few = slice(None, self.arguments.angle_images)
        return {
            "rkd_distance": self.arguments.distance_weight * rkd_distance(outputs, targets),
            "rkd_angle": self.arguments.angle_weight * rkd_angle(outputs[few], targets[few]),
        }
