"""Views of each input: one, two of one size, or global and local crops."""

import itertools
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from kerassl.views.base import Views, ViewsOf


def same_view(a: keras.layers.Layer, b: keras.layers.Layer) -> bool:
    """Says whether two view layers draw from the same distribution."""
    if a is b:
        return True
    configs = [{k: v for k, v in x.get_config().items() if k not in ("name", "seed")} for x in (a, b)]
    return type(a) is type(b) and configs[0] == configs[1]


def count_repeats(views: Sequence[keras.layers.Layer]) -> list[tuple[keras.layers.Layer, int]]:
    """Returns the views in order, runs of equal ones as one with its count."""
    runs: list[tuple[keras.layers.Layer, int]] = []
    for view in views:
        apart = getattr(view, "of_whole_batch", False)
        if runs and not apart and same_view(runs[-1][0], view):
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((view, 1))
    return runs


def one_view(layer: keras.layers.Layer, inputs: Any, seed: keras.random.SeedGenerator) -> Any:
    """Returns one view by a layer of single views, or by a `Views` layer that makes or can make one."""
    if isinstance(layer, Views) and type(layer).augment is not Views.augment:
        return layer.augment(inputs, seed)
    made = layer(inputs, seed=seed)
    if not isinstance(layer, Views):
        return made
    if len(made) != 1:
        raise ValueError(
            f"{layer.name} makes {len(made)} views where one is needed; pass the layer of a single view."
        )
    return made[0]


def make_views(
    runs: list[tuple[keras.layers.Layer, int]], inputs: Any, seed: keras.random.SeedGenerator
) -> tuple:
    """Returns one tensor or pytree a view; repeats of a view are one call on a tiled batch."""
    views, tree = [], keras.tree
    for view, count in runs:
        if count == 1:
            views.append(one_view(view, inputs, seed))
            continue
        tiled = tree.map_structure(lambda x, n=count: ops.concatenate([x] * n, axis=0), inputs)
        made = one_view(view, tiled, seed)
        parts = [ops.split(part, count, axis=0) for part in tree.flatten(made)]
        views += [tree.pack_sequence_as(made, [part[i] for part in parts]) for i in range(count)]
    return tuple(views)


@keras.saving.register_keras_serializable("kerassl")
class OneView(ViewsOf):
    """One view of each input, as a tuple of one.

    Args:
        view: the layer of the view, such as `FusedAugmentation`, whose generator is used when `call` is given
            no seed.
        **kwargs: further arguments of `keras.layers.Layer`.

    Example:
        >>> import numpy as np
        >>> from kerassl.views import FusedAugmentation, OneView
        >>> [tuple(view.shape) for view in OneView(FusedAugmentation(32))(np.zeros((4, 32, 32, 3), "uint8"))]
        [(4, 32, 32, 3)]
    """

    num_views = 1

    def __init__(self, view: keras.layers.Layer, **kwargs) -> None:
        # One generator for both, so that a model's weights are the same with the bare layer.
        super().__init__(view, generator=getattr(view, "generator", None), **kwargs)
        self.view = view

    def call(self, inputs: Any, seed: keras.random.SeedGenerator | None = None) -> tuple:
        """Returns a tuple of one view."""
        return (one_view(self.view, inputs, self.generator if seed is None else seed),)

    def get_config(self) -> dict:
        """Returns the constructor arguments."""
        config = {**super().get_config(), "view": keras.saving.serialize_keras_object(self.view)}
        del config["seed"]
        return config

    @classmethod
    def from_config(cls, config: dict) -> "OneView":
        """Returns the layer of a configuration."""
        return cls(keras.saving.deserialize_keras_object(config.pop("view")), **config)


@keras.saving.register_keras_serializable("kerassl")
class TwoViews(ViewsOf):
    """Two views of each input.

    Args:
        view1: the layer of the first view, such as `FusedAugmentation`.
        view2: the layer of the second; `None` draws both from the first.
        seed: seed of the generator used when `call` is given none.
        **kwargs: further arguments of `keras.layers.Layer`.

    Example:
        >>> import numpy as np
        >>> from kerassl.views import FusedAugmentation, TwoViews
        >>> views = TwoViews(FusedAugmentation(32))
        >>> [tuple(view.shape) for view in views(np.zeros((4, 32, 32, 3), "uint8"))]
        [(4, 32, 32, 3), (4, 32, 32, 3)]
    """

    num_views = 2

    def __init__(
        self,
        view1: keras.layers.Layer,
        view2: keras.layers.Layer | None = None,
        seed: int | None = None,
        **kwargs,
    ) -> None:
        super().__init__(view1, seed=seed, **kwargs)
        self.view1, self.view2 = view1, view1 if view2 is None else view2

    def call(self, inputs: Any, seed: keras.random.SeedGenerator | None = None) -> tuple:
        """Returns a tuple of two views."""
        seed = self.generator if seed is None else seed
        return make_views(count_repeats([self.view1, self.view2]), inputs, seed)

    def get_config(self) -> dict:
        """Returns the constructor arguments."""
        second = None if self.view2 is self.view1 else keras.saving.serialize_keras_object(self.view2)
        views = {"view1": keras.saving.serialize_keras_object(self.view1), "view2": second}
        return {**super().get_config(), **views}

    @classmethod
    def from_config(cls, config: dict) -> "TwoViews":
        """Returns the layer of a configuration."""
        views = {k: keras.saving.deserialize_keras_object(config.pop(k)) for k in ("view1", "view2")}
        return cls(**views, **config)


@keras.saving.register_keras_serializable("kerassl")
class MultiCrop(ViewsOf):
    """Global and local crops of each image (SwAV, arXiv 2006.09882, section 3.2; DINO, arXiv 2104.14294).

    Args:
        global_crops: the layers of the global crops, one an output.
        local_crops: the layers of the local crops; `[local] * 6` makes six from one layer.
        seed: seed of the generator used when `call` is given none.
        **kwargs: further arguments of `keras.layers.Layer`.

    Example:
        >>> import numpy as np
        >>> from kerassl.views import FusedAugmentation, MultiCrop
        >>> large, small = FusedAugmentation(32, (0.4, 1.0)), FusedAugmentation(16, (0.05, 0.4))
        >>> crops = MultiCrop([large] * 2, [small] * 3)
        >>> [view.shape[1] for view in crops(np.zeros((4, 32, 32, 3), "uint8"))]
        [32, 32, 16, 16, 16]
    """

    def __init__(
        self,
        global_crops: Sequence[keras.layers.Layer],
        local_crops: Sequence[keras.layers.Layer] = (),
        seed: int | None = None,
        **kwargs,
    ) -> None:
        if not global_crops:
            raise ValueError("MultiCrop needs at least one global crop; got none.")
        super().__init__(global_crops[0], seed=seed, **kwargs)
        self.global_crops, self.local_crops = list(global_crops), list(local_crops)
        self.num_views = len(self.global_crops) + len(self.local_crops)

    def call(self, inputs: Any, seed: keras.random.SeedGenerator | None = None) -> tuple:
        """Returns a tuple of views, the global crops first."""
        seed = self.generator if seed is None else seed
        return make_views(count_repeats(self.global_crops + self.local_crops), inputs, seed)

    def get_config(self) -> dict:
        """Returns the constructor arguments."""
        crops = {"global_crops": self.global_crops, "local_crops": self.local_crops}
        return {
            **super().get_config(),
            **{k: [keras.saving.serialize_keras_object(v) for v in views] for k, views in crops.items()},
        }

    @classmethod
    def from_config(cls, config: dict) -> "MultiCrop":
        """Returns the layer of a configuration."""
        crops: dict[str, Any] = {
            k: [keras.saving.deserialize_keras_object(v) for v in config.pop(k)]
            for k in ("global_crops", "local_crops")
        }
        return cls(**crops, **config)


def same_size_batches(views: Sequence[Any]) -> list:
    """Concatenates neighboring views of the same shape along the batch axis.

    Args:
        views: tensors, or pytrees of tensors of one structure, `(batch, ...)`.
    """
    groups = itertools.groupby(views, key=lambda view: [x.shape[1:] for x in keras.tree.flatten(view)])
    return [keras.tree.map_structure(lambda *parts: ops.concatenate(parts), *group) for _, group in groups]


def several_views(two_views: TwoViews, num_views: int) -> MultiCrop:
    """More views of the kinds that a preset of two has, the first kind as often as the second or once more.

    Args:
        two_views: the layer of a preset such as "simclr_cifar".
        num_views: views of each input, at least 2.

    Raises:
        ValueError: for fewer than two views, or a layer of another kind.

    Example:
        >>> from kerassl.views import preset, several_views
        >>> several_views(preset("simclr_cifar", 32), 4).num_views
        4
    """
    if num_views < 2:
        raise ValueError(f"num_views must be at least 2, got {num_views}.")
    if not isinstance(two_views, TwoViews):
        raise ValueError(
            f"num_views={num_views} repeats the views of a preset of two; got {two_views!r}. Give the number "
            "of views to that preset itself."
        )
    second = num_views // 2
    return MultiCrop([two_views.view1] * (num_views - second) + [two_views.view2] * second)
