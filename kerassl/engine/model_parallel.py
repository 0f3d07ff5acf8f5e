"""Which weights are cut across devices: the wide matrices of a ViT and the prototypes of large heads."""

import keras
from keras.distribution import DeviceMesh, LayoutMap, ModelParallel, TensorLayout

# Column-parallel, then row-parallel: between the two a block needs no exchange of activations.
COLUMNS = r".*(qkv|mlp_hidden)/kernel"
ROWS = r".*(projection|mlp_output)/kernel"
WIDE = r".*(qkv|mlp_hidden)/bias|.*/center"
PROTOTYPES = r".*prototypes"


def model_parallel(model_shards: int, devices: list[str] | None = None) -> ModelParallel:
    """A distribution whose devices form a mesh of batch shares by weight shards.

    Students and teachers of `backbones.vit` have the kernels of their attention and MLP blocks cut across
    `model_shards` devices, and so have prototypes and centers; everything else, and a weight
    whose width does not divide, is whole on every device. Optimizer slots follow their weights. Results are
    those of one device.

    Args:
        model_shards: devices that share one copy of the model.
        devices: names as of `keras.distribution.list_devices`, by default all.

    Raises:
        ValueError: if `model_shards` does not divide the number of devices.
    """
    devices = devices or keras.distribution.list_devices()
    if model_shards < 1 or len(devices) % model_shards:
        raise ValueError(
            f"model_shards={model_shards} does not divide the {len(devices)} devices; choose one of "
            f"{[n for n in range(1, len(devices) + 1) if len(devices) % n == 0]}."
        )
    mesh = DeviceMesh((len(devices) // model_shards, model_shards), ("batch", "model"), devices)
    layouts = LayoutMap(mesh)
    layouts[COLUMNS] = (None, "model")
    layouts[PROTOTYPES] = (None, "model")
    layouts[ROWS] = ("model", None)
    layouts[WIDE] = ("model",)
    return _WhereDivisible(layout_map=layouts, batch_dim_name="batch", auto_shard_dataset=False)


class _WhereDivisible(ModelParallel):
    """Shards a weight only if the shards divide its size; leading axes, such as heads, stay whole."""

    def get_variable_layout(self, variable: keras.Variable) -> TensorLayout:
        """The layout of the map, or the whole weight on every device."""
        axes = super().get_variable_layout(variable).axes
        axes = [None] * (len(variable.shape) - len(axes)) + list(axes)
        shards = self.device_mesh.shape[1]
        if any(axis and size % shards for axis, size in zip(axes, variable.shape, strict=True)):
            axes = [None] * len(axes)
        return TensorLayout(axes, self.device_mesh)
