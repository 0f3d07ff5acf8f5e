"""One measurement of a loss of kerassl for `benchmarks.losses`, in a process of its own.

    KERAS_BACKEND=jax python -m benchmarks.kerassl_losses --loss=nt_xent

Value and gradient, compiled by XLA. Prints one line of JSON.
"""

import argparse

import keras
import numpy as np
from keras import ops

from benchmarks import loss_cases, memory, timing
from benchmarks.workers import answer_rounds
from kerassl import losses


def loss_function(name: str):
    """The loss as its method calls it, on the tensors of `loss_cases.inputs`, with its state if any."""
    case = loss_cases.CASES[name]
    if name.startswith("nt_xent"):
        block_size = {"block_size": case["block_size"]} if "block_size" in case else {}
        return lambda z1, z2: (losses.nt_xent(z1, z2, case["temperature"], **block_size), ())
    if name == "dino":

        def dino(student, teacher, centre):
            loss = losses.dino(student, losses.dino_teacher_probs(teacher, centre, 0.04), 0.1)
            return loss, (0.9 * centre + 0.1 * ops.mean(teacher, axis=(0, 1)),)

        return dino
    if name == "masked_mse":
        return lambda prediction, target, mask: (losses.masked_mse(prediction, target, mask), ())
    if name == "tico":

        def tico(z1, z2):
            covariance = losses.tico_covariance(z1, ops.zeros((z1.shape[1], z1.shape[1])))
            return losses.tico(z1, z2, covariance), (covariance,)

        return tico
    if name == "swav":

        def swav(scores):
            assignments = ops.stack([losses.sinkhorn(view) for view in (scores[0], scores[1])])
            return losses.swav(scores, assignments), ()

        return swav
    if name == "msn":
        return lambda *arguments: (msn_of_embeddings(*arguments), ())
    own = {
        "dcl": lambda z1, z2: losses.dcl(z1, z2, 0.1),
        "dclw": lambda z1, z2: losses.dclw(z1, z2, 0.1, sigma=0.5),
        "info_nce": lambda q, k, queue: losses.info_nce(q, k, queue, 0.1),
        "mmcr": lambda z1, z2: losses.mmcr((z1, z2), 5e-3),
        "frossl": lambda z1, z2: losses.frossl((z1, z2)),
        "wmse": lambda z1, z2: losses.wmse((z1, z2), epsilon=1e-7),
    }
    if name in own:
        return lambda *arguments: (own[name](*arguments), ())
    return lambda *arguments: (getattr(losses, name)(*arguments), ())


def msn_of_embeddings(anchors, targets, prototypes):
    """MSN with its regularizer, from embeddings and prototypes of any length."""
    anchors, targets, prototypes = (ops.normalize(x, axis=1) for x in (anchors, targets, prototypes))
    logits = ops.matmul(anchors, ops.transpose(prototypes))
    balanced = losses.msn_targets(ops.matmul(targets, ops.transpose(prototypes)))
    mean = ops.mean(ops.softmax(logits / 0.1), axis=0)
    return losses.msn(logits[None], balanced) + losses.prior_divergence(mean)


def tensors(name: str, batch: int) -> list:
    """The arguments on the backend; the masked patches as a mask."""
    arrays = list(loss_cases.inputs(name, batch))
    if name == "masked_mse":
        mask = np.zeros(arrays[0].shape[:2], "float32")
        np.put_along_axis(mask, arrays[2], 1.0, axis=1)
        arrays[2] = mask
    return [ops.convert_to_tensor(array) for array in arrays]


def compile_step(name: str):
    """A function of the arguments that computes value, gradients and state once, and waits for them."""
    function, live = loss_function(name), loss_cases.CASES[name]["live"]
    if keras.backend.backend() == "jax":
        import jax

        step = jax.jit(jax.value_and_grad(function, argnums=tuple(range(live)), has_aux=True))
        return step, lambda arguments: float(jax.block_until_ready(step(*arguments))[0][0])

    import tensorflow as tf

    @tf.function(jit_compile=True)
    def step(*arguments):
        with tf.GradientTape() as tape:
            tape.watch(arguments[:live])
            loss, state = function(*arguments)
        return loss, tape.gradient(loss, arguments[:live]), state

    return step, lambda arguments: float(step(*arguments)[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--loss", choices=sorted(loss_cases.CASES), required=True)
    parser.add_argument("--batch_size", type=int, default=4096)
    parser.add_argument("--seconds", type=float, default=3.0)
    arguments = parser.parse_args()
    step, run = compile_step(arguments.loss)
    # A small batch first: what the compiler itself takes is not the loss's.
    run(tensors(arguments.loss, loss_cases.SMALL_BATCH))
    inputs = tensors(arguments.loss, arguments.batch_size)
    once = {"memory_growth_mib": memory.growth_mib(lambda: run(inputs)), "value": run(inputs)}
    if keras.backend.backend() == "jax":
        analysis = step.lower(*inputs).compile().memory_analysis()
        once["xla_temporary_mib"] = analysis.temp_size_in_bytes / 2**20
    answer_rounds(lambda: {**once, "seconds": timing.median_seconds(lambda: run(inputs), arguments.seconds)})


if __name__ == "__main__":
    main()
