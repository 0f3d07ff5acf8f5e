"""One measurement of lightly for `benchmarks.throughput`, in a process of its own.

    python -m benchmarks.lightly_loop --images=images.npy --method=simclr --settings='{...}' --workers=2

The loop of lightly's own PyTorch examples: Pillow views in a `DataLoader`, its heads and losses, AdamW; the
same ResNet-18 as kerassl, and timm's ViT for MAE. Imports neither keras nor kerassl. Prints one line of JSON.
"""

import argparse
import copy
import json
import multiprocessing
import os
import pathlib
import time

import numpy as np
import torch
from PIL import Image
from torch import nn

from benchmarks import import_torchvision, results_file  # isort: skip  # noqa: F401
from lightly import loss, transforms
from lightly.models import utils
from lightly.models.modules import heads
from lightly.models.utils import deactivate_requires_grad, update_momentum


def convolution(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False), nn.BatchNorm2d(outputs)
    )


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = convolution(inputs, outputs, 3, stride)
        self.second = convolution(outputs, outputs, 3, 1)
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else convolution(inputs, outputs, 1, stride)

    def forward(self, x):
        return torch.relu(self.second(torch.relu(self.first(x))) + self.shortcut(x))


def resnet18(width: int) -> nn.Sequential:
    """`kerassl.backbones.resnet18(stem="small", stem_stride=2, width=width)`."""
    stages, inputs = [], width
    for stage in range(4):
        outputs = width * 2**stage
        stages += [Block(inputs, outputs, 2 if stage else 1), Block(outputs, outputs, 1)]
        inputs = outputs
    stem = convolution(3, width, 3, 2)
    return nn.Sequential(stem, nn.ReLU(), *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class SimCLR(nn.Module):
    """lightly's example `simclr.py`."""

    def __init__(self, width: int, temperature: float = 0.1, projection_dim: int = 128) -> None:
        super().__init__()
        self.backbone = resnet18(width)
        self.projection_head = heads.SimCLRProjectionHead(8 * width, 8 * width, projection_dim)
        self.criterion = loss.NTXentLoss(temperature)

    def forward(self, view1, view2):
        return self.criterion(*(self.projection_head(self.backbone(view)) for view in (view1, view2)))

    def move_teacher(self):
        """No teacher."""


class BYOL(nn.Module):
    """lightly's example `byol.py`."""

    def __init__(self, width: int, momentum: float, hidden_dim: int, projection_dim: int) -> None:
        super().__init__()
        self.momentum = momentum
        self.backbone = resnet18(width)
        self.projection_head = heads.BYOLProjectionHead(8 * width, hidden_dim, projection_dim)
        self.prediction_head = heads.BYOLPredictionHead(projection_dim, hidden_dim, projection_dim)
        self.backbone_momentum = copy.deepcopy(self.backbone)
        self.projection_head_momentum = copy.deepcopy(self.projection_head)
        deactivate_requires_grad(self.backbone_momentum)
        deactivate_requires_grad(self.projection_head_momentum)
        self.criterion = loss.NegativeCosineSimilarity()

    def forward(self, view1, view2):
        p1, p2 = (self.prediction_head(self.projection_head(self.backbone(v))) for v in (view1, view2))
        z1, z2 = (self.projection_head_momentum(self.backbone_momentum(v)).detach() for v in (view1, view2))
        return 0.5 * (self.criterion(p1, z2) + self.criterion(p2, z1))

    def move_teacher(self):
        update_momentum(self.backbone, self.backbone_momentum, m=self.momentum)
        update_momentum(self.projection_head, self.projection_head_momentum, m=self.momentum)


class DINO(nn.Module):
    """lightly's example `dino.py`: its crops of one size go through the networks one by one."""

    def __init__(
        self, width: int, momentum: float, hidden_dim: int, bottleneck_dim: int, num_prototypes: int, **_
    ) -> None:
        super().__init__()
        self.momentum = momentum
        self.backbone = resnet18(width)
        self.head = heads.DINOProjectionHead(
            8 * width, hidden_dim, bottleneck_dim, num_prototypes, freeze_last_layer=0
        )
        self.teacher_backbone, self.teacher_head = (
            resnet18(width),
            heads.DINOProjectionHead(8 * width, hidden_dim, bottleneck_dim, num_prototypes),
        )
        self.teacher_backbone.load_state_dict(self.backbone.state_dict())
        self.teacher_head.load_state_dict(self.head.state_dict())
        deactivate_requires_grad(self.teacher_backbone)
        deactivate_requires_grad(self.teacher_head)
        self.criterion = loss.DINOLoss(num_prototypes, warmup_teacher_temp_epochs=0)

    def forward(self, *crops):
        teacher = [self.teacher_head(self.teacher_backbone(crop)).detach() for crop in crops[:2]]
        student = [self.head(self.backbone(crop)) for crop in crops]
        return self.criterion(teacher, student)

    def move_teacher(self):
        update_momentum(self.backbone, self.teacher_backbone, m=self.momentum)
        update_momentum(self.head, self.teacher_head, m=self.momentum)


class MAE(nn.Module):
    """lightly's example `mae.py`, with a small ViT of patch 16."""

    def __init__(
        self,
        image_size: int,
        mask_ratio: float,
        decoder_dim: int,
        decoder_depth: int,
        decoder_num_heads: int,
        **_,
    ) -> None:
        from lightly.models.modules import MaskedVisionTransformerTIMM
        from lightly.models.modules.masked_autoencoder_timm import MAEDecoderTIMM
        from timm.models.vision_transformer import vit_small_patch16_224

        super().__init__()
        vit = vit_small_patch16_224(img_size=image_size, num_classes=0)
        self.mask_ratio, self.patch_size = mask_ratio, vit.patch_embed.patch_size[0]
        self.backbone = MaskedVisionTransformerTIMM(vit=vit)
        self.sequence_length = self.backbone.sequence_length
        self.decoder = MAEDecoderTIMM(
            num_patches=vit.patch_embed.num_patches,
            patch_size=self.patch_size,
            embed_dim=vit.embed_dim,
            decoder_embed_dim=decoder_dim,
            decoder_depth=decoder_depth,
            decoder_num_heads=decoder_num_heads,
        )
        self.criterion = nn.MSELoss()

    def forward(self, images):
        size = (images.shape[0], self.sequence_length)
        keep, masked = utils.random_token_mask(size, self.mask_ratio, device=images.device)
        encoded = self.decoder.embed(self.backbone.encode(images, idx_keep=keep))
        tokens = utils.repeat_token(self.decoder.mask_token, size)
        tokens = utils.set_at_index(tokens, keep, encoded.type_as(tokens))
        predicted = self.decoder.predict(utils.get_at_index(self.decoder.decode(tokens), masked))
        # The class token comes first and has no pixels.
        target = utils.get_at_index(utils.patchify(images, self.patch_size), masked - 1)
        return self.criterion(predicted, target)

    def move_teacher(self):
        """No teacher."""


METHODS = {"simclr": SimCLR, "byol": BYOL, "dino": DINO, "mae": MAE}


def make_transform(method: str, size: int, settings: dict):
    """The views of lightly's examples; without blur where kerassl has none."""
    if method == "simclr":
        return transforms.SimCLRTransform(input_size=size, gaussian_blur=0.0)
    if method == "dino":
        views = settings["views"]
        return transforms.DINOTransform(
            global_crop_size=size, local_crop_size=views["local_size"], n_local_views=views["num_local_crops"]
        )
    if method == "mae":
        return transforms.MAETransform(input_size=size)
    return transforms.BYOLTransform(
        view_1_transform=transforms.BYOLView1Transform(input_size=size, gaussian_blur=0.0),
        view_2_transform=transforms.BYOLView2Transform(input_size=size, gaussian_blur=0.0),
    )


class Images(torch.utils.data.Dataset):
    """Images in memory, as torchvision's CIFAR10 holds them."""

    def __init__(self, images: np.ndarray, transform) -> None:
        self.images, self.transform = images, transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.transform(Image.fromarray(self.images[index]))


def endless(loader):
    """The batches of one epoch after the other."""
    while True:
        yield from loader


def private_memory_mib(processes: list[int]) -> float:
    """Resident memory that each process shares with no other, summed; 0 if /proc does not report it."""
    total = 0
    for process in processes:
        rollup = pathlib.Path(f"/proc/{process}/smaps_rollup")
        lines = rollup.read_text().splitlines() if rollup.exists() else []
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
    return total / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", required=True, help=".npy of uint8 images")
    parser.add_argument("--method", choices=sorted(METHODS), required=True)
    parser.add_argument("--settings", type=json.loads, required=True)
    parser.add_argument("--warmup", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--channels_last", action="store_true")
    parser.add_argument("--autocast", action="store_true", help="bfloat16 where autocast deems it safe")
    arguments = parser.parse_args()
    settings = arguments.settings

    torch.manual_seed(0)
    torch.set_num_threads(os.cpu_count())
    images = np.load(arguments.images)
    dataset = Images(images, make_transform(arguments.method, images.shape[1], settings))
    loader = torch.utils.data.DataLoader(
        dataset,
        batch_size=settings["batch_size"],
        shuffle=True,
        drop_last=True,
        num_workers=arguments.workers,
        persistent_workers=arguments.workers > 0,
    )
    memory_format = torch.channels_last if arguments.channels_last else torch.contiguous_format
    size = {"image_size": images.shape[1]} if arguments.method == "mae" else {"width": settings["width"]}
    model = METHODS[arguments.method](**size, **settings["method"]).to(memory_format=memory_format)
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        learned, lr=settings["learning_rate"], weight_decay=settings["weight_decay"]
    )
    if arguments.compile:
        model.compile()

    start = time.perf_counter()
    for step, views in enumerate(endless(loader), start=1):
        model.move_teacher()
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.autocast):
            value = model(*(view.contiguous(memory_format=memory_format) for view in views))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        if step == 1:
            seconds_to_first_step = time.perf_counter() - start
        if step == arguments.warmup:
            window, cpu = time.perf_counter(), time.process_time()
        if step == arguments.warmup + arguments.steps:
            seconds, cpu_seconds = time.perf_counter() - window, time.process_time() - cpu
            break
    children = [child.pid for child in multiprocessing.active_children()]
    result = {
        "images_per_second": arguments.steps * settings["batch_size"] / seconds,
        "cpu_seconds_per_step": cpu_seconds / arguments.steps,
        "seconds_to_first_step": seconds_to_first_step,
        "peak_memory_mib": results_file.peak_memory_mib() + private_memory_mib(children),
        "loss": value.item(),
        "parameters": sum(parameter.numel() for parameter in learned),
        "versions": results_file.describe_run()["versions"],
    }
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
