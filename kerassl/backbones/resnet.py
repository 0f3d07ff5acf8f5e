"""Residual networks as in PyTorch's model zoo: symmetric padding, stride in the 3x3 of the bottleneck."""

import keras
from keras import KerasTensor, layers

from kerassl.arguments import Literal, PositiveInt, check_value, checked
from kerassl.backbones.backbone import Backbone
from kerassl.backbones.naming import unique_name
from kerassl.engine import batch_norm

_STEM_STRIDES = {"standard": 2, "small": 1}


@keras.saving.register_keras_serializable("kerassl")
class ResNet(Backbone, keras.Model):
    """A residual network from images to globally average-pooled features, or to the map before the pooling.

    "Deep Residual Learning for Image Recognition", 2015, arXiv 1512.03385; padding, initialization and
    the position of the stride (in the 3x3 convolution of a bottleneck, "v1.5") as in pytorch/vision
    `torchvision/models/resnet.py`. Convolutions have no bias and a He-normal fan-out initialization.
    Any height and width may be passed to a built model, as multi-crop needs.

    Args:
        input_shape: (height, width, channels) in pixels of the normalized float images.
        depths: number of residual blocks of each stage.
        bottleneck: blocks of 1x1, 3x3, 1x1 convolutions with a fourfold output instead of two 3x3.
        width: channels of the first stage; each later stage doubles them.
        stem: "standard" is a 7x7 convolution and a 3x3 max-pool of stride 2; "small" is a 3x3
            convolution without pool, for images up to about 64 pixels.
        stem_stride: stride of the stem convolution; by default 2 for "standard", 1 for "small".
        zero_init_residual: start the last batch-norm scale of each block at zero, so that every block
            starts as the identity (arXiv 1706.02677, section 5.1).
        pool: "mean" for features `(batch, dim)`, `None` for the feature map `(batch, h, w, dim)`, for
            methods that compare cells of the map.
        dtype: precision policy of the layers; the global one by default.
        name: name of the model, the first part of its variables' paths.

    Raises:
        ValueError: for an unknown stem or pool, or an input shape that is not (height, width, channels).

    Example:
        >>> import numpy as np
        >>> from kerassl.backbones import ResNet
        >>> encoder = ResNet((32, 32, 3), depths=(1, 1), width=16, stem="small")
        >>> encoder.output_shape
        (None, 32)
        >>> tuple(encoder(np.zeros((2, 24, 24, 3))).shape)
        (2, 32)
    """

    def __init__(
        self,
        input_shape: tuple,
        depths: tuple[PositiveInt, ...] = (2, 2, 2, 2),
        bottleneck: bool = False,
        width: PositiveInt = 64,
        stem: Literal["standard", "small"] = "standard",
        stem_stride: PositiveInt | None = None,
        zero_init_residual: bool = True,
        pool: Literal["mean"] | None = "mean",
        dtype: str | keras.DTypePolicy | None = None,
        name: str | None = None,
    ) -> None:
        check_image_shape(input_shape)
        name = name or unique_name("resnet")
        gamma = "zeros" if zero_init_residual else "ones"
        block = _bottleneck_block if bottleneck else basic_block
        with keras.name_scope(name):
            images = keras.Input(tuple(input_shape), name="images")
            x = _stem(images, width, stem, stem_stride or _STEM_STRIDES[stem], dtype)
            for stage, depth in enumerate(depths):
                for index in range(depth):
                    stride = 2 if stage > 0 and index == 0 else 1
                    x = block(x, width * 2**stage, stride, gamma, dtype, f"stage{stage + 1}_block{index + 1}")
            if pool == "mean":
                x = layers.GlobalAveragePooling2D(data_format="channels_last", dtype=dtype, name="pool")(x)
        super().__init__(inputs=images, outputs=x, name=name)
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={-1: input_shape[-1]})
        if dtype is not None:
            self.dtype_policy = dtype

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the last layers of the stages, which give their feature maps."""
        last = "relu3" if self.arguments.bottleneck else "relu2"
        return tuple(
            f"stage{i}_block{depth}_{last}" for i, depth in enumerate(self.arguments.depths, start=1)
        )

    @property
    def variables_by_depth(self) -> list[list[keras.Variable]]:
        """The weights of the stem, then of each stage."""
        names = ("stem_", *(f"stage{i}_" for i in range(1, len(self.arguments.depths) + 1)))
        return [[v for x in self.layers if x.name.startswith(name) for v in x.weights] for name in names]

    def get_config(self) -> dict:
        """Returns the constructor's arguments; a precision that was not given stays that of the time."""
        return {**super().get_config(), "dtype": keras.saving.serialize_keras_object(self.arguments.dtype)}


@checked
def resnet18(
    input_shape: tuple,
    stem: Literal["standard", "small"] = "standard",
    width: PositiveInt = 64,
    stem_stride: PositiveInt | None = None,
    zero_init_residual: bool = True,
    pool: Literal["mean"] | None = "mean",
    name: str | None = None,
) -> ResNet:
    """Returns a ResNet-18, images -> (batch, 8 * width); arguments as in `ResNet`.

    Args:
        input_shape: (height, width, channels) in pixels.
        stem: "standard" for photographs, "small" for images up to about 64 pixels.
        width: channels of the first stage.
        stem_stride: stride of the stem convolution; 2 with stem="small" costs a quarter.
        zero_init_residual: start each block as the identity.
        pool: "mean", or `None` for the feature map.
        name: name of the model.

    Returns:
        A `ResNet` with features of width 8 * `width`.

    Example:
        >>> from kerassl.backbones import resnet18
        >>> resnet18((32, 32, 3), stem="small", width=16).output_shape
        (None, 128)
    """
    name = name or unique_name("resnet18")
    return ResNet(
        input_shape, (2, 2, 2, 2), False, width, stem, stem_stride, zero_init_residual, pool, name=name
    )


@checked
def resnet34(
    input_shape: tuple,
    stem: Literal["standard", "small"] = "standard",
    width: PositiveInt = 64,
    stem_stride: PositiveInt | None = None,
    zero_init_residual: bool = True,
    pool: Literal["mean"] | None = "mean",
    name: str | None = None,
) -> ResNet:
    """Returns a ResNet-34, images -> (batch, 8 * width); arguments as in `resnet18`.

    Args:
        input_shape: (height, width, channels) in pixels.
        stem: "standard" for photographs, "small" for images up to about 64 pixels.
        width: channels of the first stage.
        stem_stride: stride of the stem convolution.
        zero_init_residual: start each block as the identity.
        pool: "mean", or `None` for the feature map.
        name: name of the model.

    Returns:
        A `ResNet` with features of width 8 * `width`.

    Example:
        >>> from kerassl.backbones import resnet34
        >>> resnet34((32, 32, 1), stem="small", width=16).output_shape
        (None, 128)
    """
    name = name or unique_name("resnet34")
    return ResNet(
        input_shape, (3, 4, 6, 3), False, width, stem, stem_stride, zero_init_residual, pool, name=name
    )


@checked
def resnet50(
    input_shape: tuple,
    stem: Literal["standard", "small"] = "standard",
    width: PositiveInt = 64,
    stem_stride: PositiveInt | None = None,
    zero_init_residual: bool = True,
    pool: Literal["mean"] | None = "mean",
    name: str | None = None,
) -> ResNet:
    """Returns a ResNet-50 (v1.5), images -> (batch, 32 * width); arguments as in `resnet18`.

    Args:
        input_shape: (height, width, channels) in pixels.
        stem: "standard" for photographs, "small" for images up to about 64 pixels.
        width: channels of the first stage inside a bottleneck; its output has four times as many.
        stem_stride: stride of the stem convolution.
        zero_init_residual: start each block as the identity.
        pool: "mean", or `None` for the feature map.
        name: name of the model.

    Returns:
        A `ResNet` with features of width 32 * `width`.

    Example:
        >>> from kerassl.backbones import resnet50
        >>> resnet50((32, 32, 3), stem="small", width=16).output_shape
        (None, 512)
    """
    name = name or unique_name("resnet50")
    return ResNet(
        input_shape, (3, 4, 6, 3), True, width, stem, stem_stride, zero_init_residual, pool, name=name
    )


def check_image_shape(input_shape: tuple[int | None, int | None, int]) -> None:
    """Raises ValueError unless `input_shape` is (height, width, channels), with at least one channel."""
    try:
        check_value("input_shape", input_shape, tuple[PositiveInt | None, PositiveInt | None, PositiveInt])
    except ValueError:
        raise ValueError(
            "input_shape must be (height, width, channels) without the batch dimension, such as (32, 32, 3); "
            f"got {input_shape!r}."
        ) from None


def _conv(
    x: KerasTensor, filters: int, kernel_size: int, stride: int, dtype: str | None, name: str
) -> KerasTensor:
    # "same" pads only at the bottom and right for an even size at stride 2; PyTorch pads all sides.
    if stride > 1 and kernel_size > 1:
        pad = layers.ZeroPadding2D(
            kernel_size // 2, data_format="channels_last", dtype=dtype, name=f"{name}_pad"
        )
        x = pad(x)
        padding = "valid"
    else:
        padding = "same"
    return layers.Conv2D(
        filters,
        kernel_size,
        strides=stride,
        padding=padding,
        data_format="channels_last",
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal"),
        dtype=dtype,
        name=name,
    )(x)


def _relu(x: KerasTensor, dtype: str | None, name: str) -> KerasTensor:
    return layers.Activation("relu", dtype=dtype, name=name)(x)


def _stem(images: KerasTensor, width: int, stem: str, stride: int, dtype: str | None) -> KerasTensor:
    x = _conv(images, width, 7 if stem == "standard" else 3, stride, dtype, "stem_conv")
    x = _relu(batch_norm(dtype=dtype, name="stem_norm")(x), dtype, "stem_relu")
    if stem == "small":
        return x
    # Zeros are as good as minus infinity here: the values come from a ReLU.
    x = layers.ZeroPadding2D(1, data_format="channels_last", dtype=dtype, name="stem_pool_pad")(x)
    return layers.MaxPooling2D(3, 2, data_format="channels_last", dtype=dtype, name="stem_pool")(x)


def _shortcut(x: KerasTensor, filters: int, stride: int, dtype: str | None, name: str) -> KerasTensor:
    if stride == 1 and x.shape[-1] == filters:
        return x
    x = _conv(x, filters, 1, stride, dtype, f"{name}_shortcut_conv")
    return batch_norm(dtype=dtype, name=f"{name}_shortcut_norm")(x)


def basic_block(
    x: KerasTensor, filters: int, stride: int, last_gamma: str, dtype: str | None, name: str
) -> KerasTensor:
    """Two 3x3 convolutions with batch norm, added to their input."""
    y = _conv(x, filters, 3, stride, dtype, f"{name}_conv1")
    y = _relu(batch_norm(dtype=dtype, name=f"{name}_norm1")(y), dtype, f"{name}_relu1")
    y = _conv(y, filters, 3, 1, dtype, f"{name}_conv2")
    y = batch_norm(gamma_initializer=last_gamma, dtype=dtype, name=f"{name}_norm2")(y)
    y = layers.Add(dtype=dtype, name=f"{name}_add")([y, _shortcut(x, filters, stride, dtype, name)])
    return _relu(y, dtype, f"{name}_relu2")


def _bottleneck_block(
    x: KerasTensor, filters: int, stride: int, last_gamma: str, dtype: str | None, name: str
) -> KerasTensor:
    y = _conv(x, filters, 1, 1, dtype, f"{name}_conv1")
    y = _relu(batch_norm(dtype=dtype, name=f"{name}_norm1")(y), dtype, f"{name}_relu1")
    y = _conv(y, filters, 3, stride, dtype, f"{name}_conv2")
    y = _relu(batch_norm(dtype=dtype, name=f"{name}_norm2")(y), dtype, f"{name}_relu2")
    y = _conv(y, 4 * filters, 1, 1, dtype, f"{name}_conv3")
    y = batch_norm(gamma_initializer=last_gamma, dtype=dtype, name=f"{name}_norm3")(y)
    y = layers.Add(dtype=dtype, name=f"{name}_add")([y, _shortcut(x, 4 * filters, stride, dtype, name)])
    return _relu(y, dtype, f"{name}_relu3")
