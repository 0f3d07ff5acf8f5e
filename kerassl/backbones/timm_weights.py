"""ResNets and vision transformers with weights named as in timm."""

import json
import math
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from kerassl.arguments import PositiveInt, checked
from kerassl.backbones.backbone import Deviation, ImageSize, Statistic, carry_statistics
from kerassl.backbones.positions import resize_positions
from kerassl.backbones.resnet import ResNet
from kerassl.backbones.vit import ViT

# Heads of the widths that have one usual number of them; most are of 64 features.
_HEADS = {192: 3, 320: 5, 384: 6, 512: 8, 640: 10, 768: 12, 1024: 16, 1280: 16, 1536: 24}
# What tells that a network has a part that ours lacks.
_PARTS = {
    "reg_token": "register tokens",
    "register_tokens": "register tokens",
    "dist_token": "a distillation token",
    "q_norm": "normalized queries and keys",
    "k_norm": "normalized queries and keys",
    "fc_norm": "a norm after the mean of the tokens",
    "norm_pre": "a norm before the blocks",
    "rel_pos": "relative positions",
    "w12": "a gated MLP",
    "fc1_g": "a gated MLP",
    "gamma_1": "BEiT's blocks",
    "se": "squeeze and excitation",
}


@checked
def load_timm(
    weights: str | os.PathLike | Mapping[str, Any],
    image_size: ImageSize = None,
    num_heads: PositiveInt | None = None,
    pool: str | None = "default",
    name: str | None = None,
    mean: Statistic = None,
    std: Deviation = None,
) -> ResNet | ViT:
    """Returns the ResNet or ViT whose weights timm, torchvision, DINO, DINOv2, MAE or DeiT name alike.

    The architecture is read from the names and shapes; a classification layer and a decoder are left out.
    The outputs are those of timm's `forward_features` followed by its pooling, for the same normalized
    images. The default views of a method normalize by the network's `input_mean` and `input_std`: those of
    timm's `config.json` beside the file, or `mean` and `std`. timm's and torchvision's ResNets take the
    statistics of ImageNet, many ViTs 0.5 and 0.5.

    Of ViTs, LayerScale becomes part of the linear map before it, a missing query-key-value bias zeros,
    and a missing position of the class token zero. Register tokens, gated MLPs, norms of queries and
    keys, a norm after pooling, and the deep stems, grouped and widened convolutions of other ResNets
    are not supported.

    Args:
        weights: a `.safetensors` file (`pip install "kerassl[weights]"`), or {name: array} of numbers that
            NumPy understands, such as a `state_dict()` on the CPU.
        image_size: height and width in pixels. A ViT's positions are interpolated to it as timm does, bicubic
            with antialiasing; by default it is that of the weights. A ResNet takes any (224 by default).
        num_heads: attention heads of a ViT, which the weights do not contain; by default the usual number for
            its width.
        pool: as of `ViT`, by default "cls", or `ResNet`, by default "mean"; `None` for a ResNet's map.
        name: name of the model.
        mean: a number or one per channel, by which images in [0, 1] were normalized, where no `config.json`
            beside the weights says it.
        std: the same.

    Returns:
        A `ResNet` or a `ViT` with learned positions.

    Raises:
        ValueError: for weights of another architecture, naming the mismatch.
        ImportError: for a file, if safetensors is not installed.

    Example:
        >>> import numpy as np
        >>> from kerassl.backbones import load_timm
        >>> norm = lambda name: {f"{name}.weight": np.ones(8), f"{name}.bias": np.zeros(8),
        ...     f"{name}.running_mean": np.zeros(8), f"{name}.running_var": np.ones(8)}
        >>> state = {"conv1.weight": np.ones((8, 3, 3, 3)), **norm("bn1")}
        >>> for n in (1, 2):
        ...     state |= {f"layer1.0.conv{n}.weight": np.ones((8, 8, 3, 3)), **norm(f"layer1.0.bn{n}")}
        >>> load_timm(state, image_size=32).output_shape
        (None, 8)
    """
    stated = {"mean": mean, "std": std}
    if isinstance(weights, str | os.PathLike):
        stated |= {name: value for name, value in _read_config(weights).items() if stated[name] is None}
        weights = _read_safetensors(pathlib.Path(weights))
    state = _State(weights)
    if "patch_embed.proj.weight" in weights:
        model = _vit(state, image_size, num_heads, "cls" if pool == "default" else pool, name)
    elif "conv1.weight" in weights and "layer1.0.conv1.weight" in weights:
        model = _resnet(state, image_size, "mean" if pool == "default" else pool, name)
    else:
        raise ValueError(
            "These are not the weights of a ResNet or a ViT by timm's names, conv1.weight and "
            "layer1.0.conv1.weight or patch_embed.proj.weight; there are "
            f"{', '.join(sorted(state.left)[:5])} and others. Strip a prefix that all names share, such as "
            "'module.'."
        )
    state.check_all_taken(type(model).__name__)
    carry_statistics(model, stated["mean"], stated["std"])
    return model


def timm_statistics(path: str | os.PathLike) -> dict[str, Any]:
    """The preprocessing stated by timm's `config.json` beside a `.safetensors` file.

    Args:
        path: the `.safetensors` file.

    Returns:
        {"size": (height, width), "mean": ..., "std": ...}, the arguments of `kerassl.views.Preprocess`.

    Raises:
        ValueError: if `config.json` is missing or does not state it.

    Example:
        >>> import json, pathlib, tempfile
        >>> from kerassl.backbones import timm_statistics
        >>> config = {"pretrained_cfg": {"input_size": [3, 8, 8], "mean": [0.5], "std": [0.5]}}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = pathlib.Path(folder, "config.json").write_text(json.dumps(config))
        ...     timm_statistics(f"{folder}/model.safetensors")
        {'size': (8, 8), 'mean': (0.5,), 'std': (0.5,)}
    """
    config = _read_config(path, ("input_size", "mean", "std"))
    if len(config) < 3:
        raise ValueError(
            f"{pathlib.Path(path).with_name('config.json')} does not say by which mean and std the images of "
            f"{path} were normalized: put timm's config.json there, or give "
            "kerassl.views.Preprocess(size, mean, std) the numbers yourself."
        )
    return {
        "size": tuple(config["input_size"][1:]),
        "mean": tuple(config["mean"]),
        "std": tuple(config["std"]),
    }


def _read_config(path: str | os.PathLike, names: tuple[str, ...] = ("mean", "std")) -> dict[str, Any]:
    """Those of some entries that timm's `config.json` beside a file states."""
    file = pathlib.Path(path).with_name("config.json")
    config = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    config = config.get("pretrained_cfg", config)
    return {name: config[name] for name in names if name in config}


class _State:
    """Weights by name, and which of them have been used."""

    def __init__(self, weights: Mapping[str, Any]) -> None:
        self.weights = weights
        self.left = {name for name in weights if not name.endswith("num_batches_tracked")}

    def __contains__(self, name: str) -> bool:
        return name in self.weights

    def take(self, name: str) -> np.ndarray:
        if name not in self.weights:
            raise ValueError(f"The weights have no {name}, which this architecture needs.")
        self.left.discard(name)
        return np.asarray(self.weights[name]).astype("float32")

    def assign(self, layer: keras.layers.Layer, name: str, values: list[np.ndarray]) -> None:
        shapes = [tuple(weight.shape) for weight in layer.weights]
        found = [value.shape for value in values]
        if shapes != found:
            raise ValueError(
                f"{name} has weights of the shapes {found}, where {shapes} are needed (in Keras' order of "
                "axes): grouped or widened convolutions and other widths of the MLP are not supported."
            )
        layer.set_weights(values)

    def check_all_taken(self, architecture: str) -> None:
        ignored = re.compile(r"(head|fc|decoder\w*|mask_token|head_dist|pre_logits)(\.|$)")
        left = sorted(name for name in self.left if not ignored.match(name))
        if left:
            words = {word for name in left for word in name.split(".")}
            parts = sorted({part for word, part in _PARTS.items() if word in words})
            what = f"{' and '.join(parts)}, which" if parts else "something that"
            raise ValueError(
                f"These weights are of a network with {what} kerassl's {architecture} does not have: "
                f"{', '.join(left[:4])}{' and others' if len(left) > 4 else ''}."
            )


def _read_safetensors(path: pathlib.Path) -> Mapping[str, np.ndarray]:
    if path.suffix != ".safetensors":
        raise ValueError(
            f"{path} is not a .safetensors file. For other formats pass the weights, {{name: array}}: "
            'torch.load(path, map_location="cpu", weights_only=True) gives them for a .pth file.'
        )
    try:
        from safetensors.numpy import load_file
    except ImportError as error:
        raise ImportError('Reading .safetensors needs: pip install "kerassl[weights]"') from error
    return load_file(path)


def _resnet(
    state: _State, image_size: int | tuple[int, int] | None, pool: str | None, name: str | None
) -> ResNet:
    width, channels, kernel_size, _ = np.shape(state.weights["conv1.weight"])
    if kernel_size not in (3, 7):
        raise ValueError(f"conv1 is {kernel_size} pixels wide; a ResNet's is 7, or 3 for small images.")
    blocks = {
        tuple(map(int, m.groups())) for n in state.weights if (m := re.match(r"layer(\d+)\.(\d+)\.", n))
    }
    depths = [sum(stage == number for stage, _ in blocks) for number in range(1, 1 + max(blocks)[0])]
    model = ResNet(
        (*_pair(image_size or 224), channels),
        depths=tuple(depths),
        bottleneck="layer1.0.conv3.weight" in state,
        width=width,
        stem="standard" if kernel_size == 7 else "small",
        pool=pool,
        name=name,
    )
    for layer in model.layers:
        if not layer.weights:
            continue
        theirs = _resnet_name(layer.name)
        if isinstance(layer, keras.layers.Conv2D):
            values = [state.take(f"{theirs}.weight").transpose(2, 3, 1, 0)]
        else:
            parts = ("weight", "bias", "running_mean", "running_var")
            values = [state.take(f"{theirs}.{part}") for part in parts]
        state.assign(layer, theirs, values)
    return model


def _resnet_name(ours: str) -> str:
    if ours.startswith("stem_"):
        return {"stem_conv": "conv1", "stem_norm": "bn1"}[ours]
    stage, block, part = re.fullmatch(r"stage(\d+)_block(\d+)_(\w+)", ours).groups()
    shortcut = {"shortcut_conv": "downsample.0", "shortcut_norm": "downsample.1"}
    return f"layer{stage}.{int(block) - 1}.{shortcut.get(part) or part.replace('norm', 'bn')}"


def _vit(
    state: _State,
    image_size: int | tuple[int, int] | None,
    num_heads: int | None,
    pool: str,
    name: str | None,
) -> ViT:
    kernel = state.take("patch_embed.proj.weight")
    hidden_dim, channels, patch_size, _ = kernel.shape
    num_heads = num_heads or _HEADS.get(hidden_dim)
    if num_heads is None:
        raise ValueError(f"No weight tells how many heads a ViT of width {hidden_dim} has: pass num_heads=.")
    for part in ("cls_token", "pos_embed"):
        if part not in state:
            raise ValueError(f"The weights have no {part}: a ViT needs a class token and learned positions.")
    depth = 1 + max(int(m[1]) for n in state.weights if (m := re.match(r"blocks\.(\d+)\.", n)))
    positions = state.take("pos_embed")[0]
    # A square grid, with or without a position of the class token.
    side = math.isqrt(len(positions))
    prefix = len(positions) - side * side
    if prefix > 1:
        raise ValueError(
            f"pos_embed has {len(positions)} positions, which are no square grid of patches with or without "
            "one class token."
        )
    model = ViT(
        (*_pair(image_size or side * patch_size), channels),
        patch_size=patch_size,
        hidden_dim=hidden_dim,
        depth=depth,
        num_heads=num_heads,
        pool=pool,
        positions="learned",
        name=name,
    )
    grid = resize_positions(positions[prefix:], (side, side), model.grid, antialias=True)
    first = positions[:1] if prefix else np.zeros((1, hidden_dim), "float32")
    model.position_embedding.assign(np.concatenate([first, keras.ops.convert_to_numpy(grid)]))
    model.cls_token.assign(state.take("cls_token")[0])
    values = [
        kernel.transpose(2, 3, 1, 0).reshape(-1, hidden_dim),
        _bias(state, "patch_embed.proj", hidden_dim),
    ]
    state.assign(model.patch_embedding, "patch_embed.proj", values)
    for index, block in enumerate(model.blocks):
        at = f"blocks.{index}"
        _assign_norm(state, block.attention_norm, f"{at}.norm1")
        _assign_linear(state, block.qkv, f"{at}.attn.qkv")
        _assign_linear(state, block.projection, f"{at}.attn.proj", f"{at}.ls1.gamma")
        _assign_norm(state, block.mlp_norm, f"{at}.norm2")
        _assign_linear(state, block.mlp_hidden, f"{at}.mlp.fc1")
        _assign_linear(state, block.mlp_output, f"{at}.mlp.fc2", f"{at}.ls2.gamma")
    _assign_norm(state, model.final_norm, "norm")
    return model


def _assign_norm(state: _State, layer: keras.layers.Layer, name: str) -> None:
    state.assign(layer, name, [state.take(f"{name}.weight"), state.take(f"{name}.bias")])


def _assign_linear(state: _State, layer: keras.layers.Layer, name: str, layer_scale: str = "") -> None:
    kernel = state.take(f"{name}.weight").T
    bias = _bias(state, name, kernel.shape[1])
    if layer_scale in state:
        scale = state.take(layer_scale)
        kernel, bias = kernel * scale, bias * scale
    state.assign(layer, name, [kernel, bias])


def _bias(state: _State, name: str, size: int) -> np.ndarray:
    return state.take(f"{name}.bias") if f"{name}.bias" in state else np.zeros(size, "float32")


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])
