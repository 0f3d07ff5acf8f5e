"""Values and gradients of lightly's losses for `benchmarks.agreement`. Imports neither keras nor kerassl.

python -m benchmarks.lightly_agreement OUTPUT.npz
"""

import sys

import numpy as np
import torch

from benchmarks import import_torchvision  # isort: skip  # noqa: F401
from lightly import loss

from benchmarks import agreement_cases


def value(name: str, z1: torch.Tensor, z2: torch.Tensor, queue: torch.Tensor | None = None) -> torch.Tensor:
    """The loss of lightly that a case compares with."""
    if name == "nt_xent":
        return loss.NTXentLoss(temperature=0.2)(z1, z2)
    if name == "info_nce":
        criterion = loss.NTXentLoss(temperature=0.2, memory_bank_size=tuple(queue.shape))
        criterion.memory_bank.bank = torch.nn.functional.normalize(queue, dim=-1)
        return criterion(z1, z2)
    if name == "dcl":
        return loss.DCLLoss(temperature=0.2)(z1, z2)
    if name == "dclw":
        return loss.DCLWLoss(temperature=0.2, sigma=0.5)(z1, z2)
    if name == "barlow_twins":
        return loss.BarlowTwinsLoss(lambda_param=5e-3)(z1, z2)
    if name == "vicreg":
        return loss.VICRegLoss()(z1, z2)
    if name == "frossl":
        return loss.FroSSLLoss()([z1, z2])
    if name == "mmcr":
        # It leaves the rows as they come; the authors normalise them.
        z1, z2 = (torch.nn.functional.normalize(z)[:, None] for z in (z1, z2))
        return loss.MMCRLoss(lmda=5e-3)(z1, z2)
    if name == "tico":
        return loss.TiCoLoss(rho=8.0)(z1, z2)
    return loss.NegativeCosineSimilarity()(z1, z2)


def main():
    """Stores each case's value and gradients."""
    stored = {}
    for name, live in agreement_cases.CASES.items():
        for batch, dim in agreement_cases.SIZES:
            for seed in agreement_cases.SEEDS:
                tensors = [torch.from_numpy(a) for a in agreement_cases.inputs(name, batch, dim, seed)]
                for tensor in tensors[:live]:
                    tensor.requires_grad_()
                result = value(name, *tensors)
                key = f"{name}/{batch}/{dim}/{seed}"
                stored[key] = result.detach().numpy()
                for i, gradient in enumerate(torch.autograd.grad(result, tensors[:live])):
                    stored[f"{key}/{i}"] = gradient.numpy()
    np.savez(sys.argv[1], **stored)


if __name__ == "__main__":
    main()
