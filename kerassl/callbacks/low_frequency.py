"""EfficientTrain's curriculum: images grow during training."""

import keras

from kerassl.metrics.checks import check_count
from kerassl.views import LowFrequency


class LowFrequencyCurriculum(keras.callbacks.Callback):
    """Sets the image size of `kerassl.views.LowFrequency` by the epoch.

    The step is compiled anew whenever the size changes. The size is a function of the epoch, so a resumed run
    repeats it. Evaluation and the embedding keep the full size.

    Source: EfficientTrain, arXiv 2211.09703, table 2: of 300 epochs, 160 pixels from the start, 192 from 180
    and 224 from 240.

    Args:
        sizes: `{epoch: image_size}`, the size in pixels from each epoch on; epochs count from 0, which must
            be there.

    Raises:
        ValueError: for sizes without epoch 0, and in `fit` for a model without such views.

    Example:
        >>> from kerassl.callbacks import LowFrequencyCurriculum
        >>> curriculum = LowFrequencyCurriculum({0: 160, 180: 192, 240: 224})
        >>> [curriculum.image_size(epoch) for epoch in (0, 179, 180, 299)]
        [160, 160, 192, 224]
    """

    def __init__(self, sizes: dict[int, int]) -> None:
        super().__init__()
        if not isinstance(sizes, dict) or 0 not in sizes:
            raise ValueError(f"sizes must be {{epoch: image size}} with the size of epoch 0; got {sizes!r}.")
        for epoch, size in sizes.items():
            check_count("An epoch in sizes", epoch, least=0)
            check_count(f"The size from epoch {epoch} on in sizes", size)
        self.sizes = dict(sorted(sizes.items()))

    def image_size(self, epoch: int) -> int:
        """The size in pixels in an epoch."""
        return self.sizes[max(start for start in self.sizes if start <= epoch)]

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Looks at the model's views."""
        if not isinstance(self.model.views, LowFrequency):
            raise ValueError(
                "LowFrequencyCurriculum needs a model whose views are a kerassl.views.LowFrequency, as in "
                'SimCLR(encoder, views=LowFrequency(preset("simclr_imagenet", 224), image_size=160)).'
            )

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Sets the size; has the step compiled anew where it changes."""
        size = self.image_size(epoch)
        if size != self.model.views.image_size:
            self.model.views.image_size = size
            self.model.make_train_function(force=True)
