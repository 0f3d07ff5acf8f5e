"""One measurement of a loss of lightly for `benchmarks.losses`, in a process of its own.

    python -m benchmarks.lightly_losses --loss=nt_xent --compile

Value and gradient, as lightly's own PyTorch examples call them. Imports neither keras nor kerassl. Prints
one line of JSON.
"""

import argparse
import os

import torch

from benchmarks import import_torchvision  # isort: skip  # noqa: F401
from lightly import loss
from lightly.models import utils

from benchmarks import loss_cases, memory, results_file, timing
from benchmarks.workers import answer_rounds


def loss_function(name: str):
    """The loss of lightly's example, on the tensors of `loss_cases.inputs`."""
    case = loss_cases.CASES[name]
    if name.startswith("nt_xent"):
        return loss.NTXentLoss(case["temperature"])
    if name == "barlow_twins":
        return loss.BarlowTwinsLoss()
    if name in ("byol", "negative_cosine"):
        # The target comes detached from the example's teacher or stop-gradient branch.
        return loss.NegativeCosineSimilarity()
    if name == "dino":
        criterion = loss.DINOLoss(case["dim"])
        return lambda student, teacher, _: criterion(list(teacher.unbind()), list(student.unbind()))
    if name == "info_nce":
        return queued(case)
    if name == "swav":
        criterion = loss.SwaVLoss()
        return lambda scores: criterion(list(scores[:2].unbind()), list(scores[2:].unbind())).reshape(())
    if name == "mmcr":
        criterion = loss.MMCRLoss(lmda=5e-3)
        unit = torch.nn.functional.normalize
        return lambda z1, z2: criterion(unit(z1)[:, None], unit(z2)[:, None])
    if name == "frossl":
        criterion = loss.FroSSLLoss()
        return lambda z1, z2: criterion([z1, z2])
    if name == "wmse":
        return lambda z1, z2: loss.WMSELoss(embedding_dim=z1.shape[1], w_size=len(z1))(torch.cat([z1, z2]))
    own = {
        "dcl": lambda: loss.DCLLoss(temperature=0.1),
        "dclw": lambda: loss.DCLWLoss(temperature=0.1, sigma=0.5),
        "vicreg": loss.VICRegLoss,
        "tico": loss.TiCoLoss,
        "koleo": loss.KoLeoLoss,
        "msn": loss.MSNLoss,
    }
    if name in own:
        return own[name]()
    criterion = torch.nn.MSELoss()

    def masked_mse(prediction, target, hidden):
        # The example's decoder predicts the hidden patches alone; their targets are gathered.
        return criterion(prediction, utils.get_at_index(target, hidden))

    return masked_mse


def queued(case: dict):
    """NT-Xent against a memory bank that holds a given queue."""
    (shape,) = case["more"]
    criterion = loss.NTXentLoss(temperature=0.1, memory_bank_size=shape)

    def info_nce(q, k, queue):
        # What it enqueues is undone, so that every call computes the same.
        criterion.memory_bank.bank = torch.nn.functional.normalize(queue, dim=-1)
        return criterion(q, k)

    return info_nce


def tensors(name: str, batch: int) -> list:
    """The arguments; of the predictions only those of hidden patches, as in the example's decoder."""
    values = [torch.from_numpy(array) for array in loss_cases.inputs(name, batch)]
    if name == "masked_mse":
        values[0] = utils.get_at_index(values[0], values[2])
    for value in values[: loss_cases.CASES[name]["live"]]:
        value.requires_grad_()
    return values


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--loss", choices=sorted(loss_cases.CASES), required=True)
    parser.add_argument("--batch_size", type=int, default=4096)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--compile", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(os.cpu_count())
    live = loss_cases.CASES[arguments.loss]["live"]

    def run():
        value = function(*inputs)
        torch.autograd.grad(value, inputs[:live])
        return value.item()

    def make():
        function = loss_function(arguments.loss)
        return torch.compile(function, dynamic=False) if arguments.compile else function

    # A small batch first: what the compiler itself takes is not the loss's. Then anew, for DINO's centre.
    function = make()
    inputs = tensors(arguments.loss, loss_cases.SMALL_BATCH)
    run()
    function = make()
    inputs, values = tensors(arguments.loss, arguments.batch_size), []
    growth = memory.growth_mib(lambda: values.append(run()))
    once = {
        "memory_growth_mib": growth,
        "value": values[0],
        "versions": results_file.describe_run()["versions"],
    }
    answer_rounds(lambda: {**once, "seconds": timing.median_seconds(run, arguments.seconds)})


if __name__ == "__main__":
    main()
