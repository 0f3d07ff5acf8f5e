"""Models of timm with random weights, and their features; runs in an environment with timm.

python -m benchmarks.timm_models FOLDER
"""

import pathlib
import sys

import numpy as np
import torch

from benchmarks import import_torchvision  # isort: skip  # noqa: F401
import timm
from safetensors.torch import save_file
from timm.models.vision_transformer import checkpoint_filter_fn

from benchmarks.timm_cases import CASES, NOT_SUPPORTED


def with_random_weights(model: torch.nn.Module) -> torch.nn.Module:
    """The model in eval mode with weights and statistics none of which is zero or one."""
    with torch.no_grad():
        for name, value in model.named_buffers():
            if "running" in name:
                value.copy_(0.5 + torch.rand_like(value))
        for name, value in model.named_parameters():
            if name in ("cls_token", "pos_embed"):
                value.copy_(0.5 * torch.randn_like(value))
            elif "bn" in name and name.endswith("weight"):
                # Small enough for features of the size that trained weights give.
                value.copy_(0.2 + 0.3 * torch.rand_like(value))
            elif "norm" in name or "bn" in name or "gamma" in name:
                value.copy_(0.5 + torch.rand_like(value))
            elif name.endswith("bias"):
                value.copy_(0.3 * torch.randn_like(value))
    return model.eval()


def features(model: torch.nn.Module, name: str, size: int) -> dict:
    """Normalized images of a size, and timm's pooled features of them."""
    torch.manual_seed(1)
    images = torch.randn(2, 3, size, size)
    if hasattr(model, "pos_embed") and model.patch_embed.img_size[0] != size:
        resized = timm.create_model(name, pretrained=False, img_size=size).eval()
        resized.load_state_dict(checkpoint_filter_fn(dict(model.state_dict()), resized))
        model = resized
    with torch.no_grad():
        pooled = model.forward_head(model.forward_features(images), pre_logits=True)
    return {"images": images.numpy().transpose(0, 2, 3, 1), "features": pooled.numpy()}


def main(folder: str) -> None:
    """Writes NAME.safetensors of every case, and NAME.npz of those that are supported."""
    for name in (*CASES, *NOT_SUPPORTED):
        torch.manual_seed(0)
        model = with_random_weights(timm.create_model(name, pretrained=False))
        path = pathlib.Path(folder, f"{name}.safetensors")
        save_file({key: value.contiguous() for key, value in model.state_dict().items()}, path)
        if name in CASES:
            np.savez(path.with_suffix(".npz"), **features(model, name, CASES[name]))


if __name__ == "__main__":
    main(sys.argv[1])
