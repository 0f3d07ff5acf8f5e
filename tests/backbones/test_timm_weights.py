import json

import keras
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from kerassl.backbones import ResNet, ViT, load_timm, resize_positions, timm_statistics

_numpy = keras.ops.convert_to_numpy


class Block(nn.Module):
    """A residual block as in torchvision."""

    def __init__(self, channels, width, stride, bottleneck):
        super().__init__()
        shapes = [(width, 3, stride), (width, 3, 1)]
        if bottleneck:
            shapes = [(width, 1, 1), (width, 3, stride), (4 * width, 1, 1)]
        self.count, came = len(shapes), channels
        for number, (filters, size, step) in enumerate(shapes, start=1):
            conv = nn.Conv2d(came, filters, size, step, padding=size // 2, bias=False)
            setattr(self, f"conv{number}", conv)
            setattr(self, f"bn{number}", nn.BatchNorm2d(filters))
            came = filters
        self.downsample = None
        if stride > 1 or channels != came:
            conv = nn.Conv2d(channels, came, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(came))
        self.channels = came

    def forward(self, x):
        y = x
        for number in range(1, self.count + 1):
            y = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(y))
            y = F.relu(y) if number < self.count else y
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class TorchResNet(nn.Module):
    def __init__(self, bottleneck, width=8, depths=(2, 1), stem=7):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, stem, 2 if stem == 7 else 1, padding=stem // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        channels, self.stages, self.stem = width, len(depths), stem
        for stage, depth in enumerate(depths):
            blocks = []
            for index in range(depth):
                stride = 2 if stage and not index else 1
                blocks.append(Block(channels, width * 2**stage, stride, bottleneck))
                channels = blocks[-1].channels
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, 3)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.max_pool2d(x, 3, 2, 1) if self.stem == 7 else x
        for stage in range(1, self.stages + 1):
            x = getattr(self, f"layer{stage}")(x)
        return x.mean((2, 3))


class LayerScale(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.gamma = nn.Parameter(torch.rand(dim))

    def forward(self, x):
        return x * self.gamma


class Attention(nn.Module):
    def __init__(self, dim, heads, bias):
        super().__init__()
        self.qkv, self.proj, self.heads = nn.Linear(dim, 3 * dim, bias=bias), nn.Linear(dim, dim), heads

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) * (d // self.heads) ** -0.5).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(b, n, d))


class Layer(nn.Module):
    """A block of timm's vision transformer."""

    def __init__(self, dim, heads, bias, scale):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads, bias)
        self.mlp = nn.Module()
        self.mlp.fc1, self.mlp.fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)
        self.ls1, self.ls2 = (LayerScale(dim) if scale else nn.Identity() for _ in range(2))

    def forward(self, x):
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp.fc2(F.gelu(self.mlp.fc1(self.norm2(x)))))


class TorchViT(nn.Module):
    def __init__(self, dim=32, heads=4, depth=2, patch=4, side=4, bias=True, scale=False, cls_position=True):
        super().__init__()
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, dim, patch, patch)
        self.cls_token = nn.Parameter(torch.randn(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.randn(1, side**2 + cls_position, dim))
        self.blocks = nn.Sequential(*(Layer(dim, heads, bias, scale) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(dim, eps=1e-6), nn.Linear(dim, 3)
        self.side, self.cls_position = side, int(cls_position)

    def forward(self, x):
        x = self.patch_embed.proj(x)
        grid = x.shape[2:]
        first, places = self.pos_embed.split([self.cls_position, self.side**2], dim=1)
        places = places.reshape(1, self.side, self.side, -1).permute(0, 3, 1, 2)
        if grid != (self.side, self.side):
            places = F.interpolate(places, grid, mode="bicubic", antialias=True)
        x = x.flatten(2).transpose(1, 2) + places.flatten(2).transpose(1, 2)
        cls_token = self.cls_token + (first if self.cls_position else 0)
        x = torch.cat([cls_token.expand(len(x), -1, -1), x], dim=1)
        return self.norm(self.blocks(x))


def with_random_weights(module):
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if "norm" in name or "bn" in name or "downsample.1" in name:
                if value.is_floating_point():
                    value.copy_(0.5 + torch.rand(value.shape))
            elif value.ndim < 2 and name.endswith("bias"):
                value.copy_(torch.randn(value.shape))
    return module.eval()


def images(height, width):
    return np.random.default_rng(0).normal(size=(2, height, width, 3)).astype("float32")


def output_of(module, batch):
    with torch.no_grad():
        return module(torch.from_numpy(batch.transpose(0, 3, 1, 2).copy())).numpy()


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("bottleneck, stem", [(False, 7), (True, 7), (True, 3)])
def test_resnet_gives_the_same_features(bottleneck, stem, tmp_path):
    from safetensors.torch import save_file

    reference = with_random_weights(TorchResNet(bottleneck, stem=stem))
    save_file(reference.state_dict(), tmp_path / "model.safetensors")
    encoder = load_timm(tmp_path / "model.safetensors", image_size=36, name="resnet")
    assert isinstance(encoder, ResNet) and encoder.input_shape == (None, 36, 36, 3)
    batch = images(36, 36)
    expected = output_of(reference, batch)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(_numpy(encoder(batch)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "kwargs, size",
    [
        ({}, None),
        ({"bias": False, "scale": True}, None),
        ({"scale": True, "cls_position": False}, (24, 12)),
        ({}, (12, 28)),
    ],
)
def test_vit_gives_the_same_features(kwargs, size):
    reference = with_random_weights(TorchViT(**kwargs))
    state = reference.state_dict() | {
        "mask_token": torch.zeros(1, 32),
        "decoder_embed.weight": torch.zeros(1),
    }
    batch = images(*(size or (16, 16)))
    expected = output_of(reference, batch)
    assert np.abs(expected).max() > 0.1
    for pool in ("cls", "mean"):
        encoder = load_timm(state, image_size=size, num_heads=4, pool=pool)
        assert isinstance(encoder, ViT) and encoder.input_shape[1:3] == batch.shape[1:3]
        pooled = expected[:, 0] if pool == "cls" else expected[:, 1:].mean(axis=1)
        np.testing.assert_allclose(_numpy(encoder(batch)), pooled, atol=1e-4)


@pytest.mark.parametrize("grid, new", [((4, 4), (7, 3)), ((14, 14), (37, 37)), ((37, 37), (16, 16))])
def test_antialiased_positions_are_those_of_torch(grid, new):
    positions = np.random.default_rng(0).normal(size=(grid[0] * grid[1], 5)).astype("float32")
    table = torch.from_numpy(positions.reshape(1, *grid, 5)).permute(0, 3, 1, 2)
    expected = F.interpolate(table, new, mode="bicubic", antialias=True).flatten(2)[0].T
    found = _numpy(resize_positions(positions, grid, new, antialias=True))
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def refused(state, message, **kwargs):
    with pytest.raises(ValueError, match=message):
        load_timm(state, **kwargs)


def test_what_does_not_fit_is_named():
    vit, resnet = TorchViT().state_dict(), TorchResNet(False).state_dict()
    zeros = torch.zeros(1, 32)
    refused(vit, "how many heads a ViT of width 32 has: pass num_heads=")
    refused(vit | {"reg_token": zeros}, "with register tokens, which .* ViT .*: reg_token", num_heads=4)
    refused(vit | {"fc_norm.weight": zeros}, "a norm after the mean of the tokens, which", num_heads=4)
    refused(vit | {"blocks.0.attn.q_norm.weight": zeros}, "normalized queries and keys", num_heads=4)
    refused(vit | {"blocks.0.mlp.surprise": zeros}, "something that .*: blocks.0.mlp.surprise", num_heads=4)
    refused(
        vit | {"blocks.1.mlp.fc1.weight": torch.zeros(8, 32)},
        r"blocks.1.mlp.fc1 has .*\(32, 8\)",
        num_heads=4,
    )
    refused(vit | {"pos_embed": torch.zeros(1, 18, 32)}, "has 18 positions, which are no square", num_heads=4)
    refused(vit, "18x18 pixels cannot be cut into patches of 4x4", num_heads=4, image_size=18)
    refused({k: v for k, v in vit.items() if k != "norm.bias"}, "have no norm.bias", num_heads=4)
    refused({k: v for k, v in vit.items() if k != "cls_token"}, "have no cls_token", num_heads=4)
    refused(resnet | {"layer1.0.se.fc.weight": zeros}, "squeeze and excitation, which kerassl's ResNet")
    wide = resnet | {"layer1.1.conv1.weight": torch.zeros(16, 8, 3, 3)}
    refused(wide, r"layer1.1.conv1 has .*\(3, 3, 8, 16\).* widened convolutions")
    refused({f"module.{k}": v for k, v in vit.items()}, "Strip a prefix")
    refused("weights.pth", "not a .safetensors file. .* torch.load")


def test_statistics_of_a_file_are_those_beside_it(tmp_path):
    file = tmp_path / "model.safetensors"
    with pytest.raises(ValueError, match="does not say by which mean and std"):
        timm_statistics(file)
    told = {"input_size": [3, 24, 32], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.4, 0.5]}
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "vit", "pretrained_cfg": told}))
    expected = {"size": (24, 32), "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.4, 0.5)}
    assert timm_statistics(file) == expected


def test_the_statistics_beside_a_file_become_those_of_the_default_views(tmp_path):
    from safetensors.numpy import save_file

    import kerassl

    torch.manual_seed(0)
    state = {name: value.numpy() for name, value in TorchResNet(False, stem=3).state_dict().items()}
    save_file(state, tmp_path / "model.safetensors")
    encoder = load_timm(tmp_path / "model.safetensors", image_size=16)
    assert encoder.input_mean is None
    told = {"input_size": [3, 16, 16], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.4, 0.5]}
    (tmp_path / "config.json").write_text(json.dumps({"pretrained_cfg": told}))
    encoder = load_timm(tmp_path / "model.safetensors", image_size=16)
    assert (encoder.input_mean, encoder.input_std) == ((0.5, 0.5, 0.5), (0.5, 0.4, 0.5))
    normalize = kerassl.methods.SimCLR(encoder).views.preprocess.normalize
    assert (normalize.mean, normalize.std) == ((0.5, 0.5, 0.5), (0.5, 0.4, 0.5))
    # What is passed comes before the file, and a state dict knows nothing.
    assert load_timm(tmp_path / "model.safetensors", 16, mean=0.1).input_mean == (0.1, 0.1, 0.1)
    assert load_timm(state, 16, std=0.3).input_std == (0.3, 0.3, 0.3)
    with pytest.raises(ValueError, match="^std must be > 0, .* got 0"):
        load_timm(state, 16, std=0)


@pytest.mark.backends("torch")
@pytest.mark.parametrize("name", ("image_size", "num_heads", "mean", "std"))
def test_arguments_of_another_kind_are_named(name):
    for odd in ("text", np.nan, {}, -1 if name != "mean" else True):
        with pytest.raises(ValueError, match=rf"^{name} must be .*, got "):
            load_timm({}, **{name: odd})
    with pytest.raises(ValueError, match="^weights must be a string, a PathLike or a Mapping, got 3"):
        load_timm(3)
