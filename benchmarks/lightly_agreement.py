"""Values and gradients of lightly's losses for `benchmarks.agreement`. Imports neither keras nor kerassl.

python -m benchmarks.lightly_agreement OUTPUT.npz
"""

import sys

import numpy as np
import torch

from benchmarks import import_torchvision  # isort: skip  # noqa: F401
from lightly import loss
from lightly.loss import lejepa_loss, visreg_loss

from benchmarks import agreement_cases


def value(name: str, z1: torch.Tensor, z2: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
    """The loss of lightly that a case compares with; others are what else `inputs` makes."""
    more = others[0] if others else None
    if name == "vicregl":
        return vicregl_of_rows(z1, z2, *others)
    if name in ("sigreg", "visreg"):
        return sum(along_directions(name, z, more) for z in (z1, z2)) / 2
    if name == "nt_xent":
        return loss.NTXentLoss(temperature=0.2)(z1, z2)
    if name == "info_nce":
        criterion = loss.NTXentLoss(temperature=0.2, memory_bank_size=tuple(more.shape))
        criterion.memory_bank.bank = torch.nn.functional.normalize(more, dim=-1)
        return criterion(z1, z2)
    if name == "dcl":
        return loss.DCLLoss(temperature=0.2)(z1, z2)
    if name == "dclw":
        return loss.DCLWLoss(temperature=0.2, sigma=0.5)(z1, z2)
    if name == "barlow_twins":
        return loss.BarlowTwinsLoss(lambda_param=5e-3)(z1, z2)
    if name == "dino":
        criterion = loss.DINOLoss(output_dim=z1.shape[1])
        criterion.center.data = others[1][None, None]
        return criterion(list(others[0]), [z1, z2])
    if name == "vicreg":
        return loss.VICRegLoss()(z1, z2)
    if name == "frossl":
        return loss.FroSSLLoss()([z1, z2])
    if name == "ibot":
        mask = torch.from_numpy(agreement_cases.token_mask(len(z1)))
        student, teacher = (z[mask.reshape(-1)] for z in (z1, z2))
        return loss.IBOTPatchLoss(output_dim=z1.shape[1])(teacher, student, mask[:, None])
    if name == "koleo":
        return sum(loss.KoLeoLoss()(z) for z in (z1, z2))
    if name == "mmcr":
        # It leaves the rows as they come; the authors normalize them.
        z1, z2 = (torch.nn.functional.normalize(z)[:, None] for z in (z1, z2))
        return loss.MMCRLoss(lmda=5e-3)(z1, z2)
    if name == "msn":
        return loss.MSNLoss()(z1, z2, more)
    if name == "swav":
        return loss.SwaVLoss()([torch.tanh(z1), torch.tanh(z2)], []).reshape(())
    if name == "tico":
        return loss.TiCoLoss(rho=8.0)(z1, z2)
    if name == "wmse":
        batch, dim = z1.shape
        return loss.WMSELoss(embedding_dim=dim, w_size=batch)(torch.cat([z1, z2]))
    return loss.NegativeCosineSimilarity()(z1, z2)


def vicregl_of_rows(*rows: torch.Tensor) -> torch.Tensor:
    """VICRegL of rows that are cells of images: embeddings of two views, then places in these."""
    tokens = agreement_cases.TOKENS
    *maps, grids1, grids2 = (x.reshape(-1, tokens, 1, x.shape[1]) for x in rows)
    views = [(cells.mean(dim=(1, 2)), cells) for cells in maps]
    criterion = loss.VICRegLLoss(num_matches=(tokens, tokens))
    return criterion(views, (grids1, grids2)).reshape(())


def along_directions(name: str, z: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    """A loss of one view that draws its directions by `torch.randn`, given these."""
    draw, torch.randn = torch.randn, lambda *_, **__: directions.clone()
    try:
        if name == "sigreg":
            return lejepa_loss.SIGReg(num_vectors=directions.shape[1])(z)
        shape = visreg_loss.visreg_shape_loss(z, directions.shape[1], eps=1e-6)
        return visreg_loss.visreg_center_loss(z) + visreg_loss.visreg_scale_loss(z) + shape
    finally:
        torch.randn = draw


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
