"""Our losses against lightly's on random inputs: relative differences of values and gradients.

    python -m benchmarks.agreement --peer_python=PYTHON --output=agreement.json

Three seeds, three sizes. A value may differ by 1e-5, a gradient by 1e-4 of its largest entry; the exit status
says whether all do.
"""

import argparse
import os
import subprocess
import sys
import tempfile

import numpy as np
import tensorflow as tf

from benchmarks import agreement_cases, results_file
from benchmarks.kerassl_losses import msn_of_embeddings
from kerassl import losses


def tico_of_first_batch(z1: tf.Tensor, z2: tf.Tensor) -> tf.Tensor:
    """TiCo with a covariance that holds this batch alone."""
    width = z1.shape[1]
    return losses.tico(z1, z2, losses.tico_covariance(z1, tf.zeros((width, width))))


def dino_of_crops(z1: tf.Tensor, z2: tf.Tensor, teacher: tf.Tensor, centre: tf.Tensor) -> tf.Tensor:
    """DINO of two crops' logits."""
    return losses.dino(tf.stack([z1, z2]), losses.dino_teacher_probs(teacher, centre, 0.04), 0.1)


def ibot_of_rows(student: tf.Tensor, teacher: tf.Tensor) -> tf.Tensor:
    """iBOT of rows of logits, several of which are patches of one image."""
    batch, width = student.shape
    student, teacher = (tf.reshape(x, (-1, agreement_cases.TOKENS, width)) for x in (student, teacher))
    targets = losses.dino_teacher_probs(teacher, tf.zeros(width))
    return losses.ibot(student, targets, agreement_cases.token_mask(batch))


def swav_of_scores(scores1: tf.Tensor, scores2: tf.Tensor) -> tf.Tensor:
    """SwAV of the cosines of two crops, computed from arbitrary inputs."""
    scores = tf.math.tanh(tf.stack([scores1, scores2]))
    return losses.swav(scores, tf.stack([losses.sinkhorn(view) for view in tf.unstack(scores)]))


def vicregl_of_rows(z1: tf.Tensor, z2: tf.Tensor, places1: tf.Tensor, places2: tf.Tensor) -> tf.Tensor:
    """VICRegL of rows of embeddings, several of which are cells of one image, which is their mean."""
    maps1, maps2, centers1, centers2 = (
        tf.reshape(rows, (-1, agreement_cases.TOKENS, rows.shape[1])) for rows in (z1, z2, places1, places2)
    )
    # It averages the covariance terms of the two views, which VICReg adds.
    images = losses.vicreg(*(tf.reduce_mean(cells, axis=1) for cells in (maps1, maps2)), covariance=0.5)
    return 0.75 * images + 0.25 * losses.vicregl_local(maps1, maps2, centers1, centers2)


OURS = {
    "nt_xent": lambda z1, z2: losses.nt_xent(z1, z2, 0.2),
    "dcl": lambda z1, z2: losses.dcl(z1, z2, 0.2),
    "dclw": lambda z1, z2: losses.dclw(z1, z2, 0.2, sigma=0.5),
    "info_nce": lambda q, k, queue: losses.info_nce(q, k, queue, 0.2),
    "barlow_twins": losses.barlow_twins,
    "dino": dino_of_crops,
    "frossl": lambda z1, z2: losses.frossl((z1, z2)),
    "ibot": ibot_of_rows,
    "koleo": lambda z1, z2: losses.koleo(z1) + losses.koleo(z2),
    "mmcr": lambda z1, z2: losses.mmcr((z1, z2), 5e-3),
    "msn": msn_of_embeddings,
    "negative_cosine": losses.negative_cosine,
    "vicreg": losses.vicreg,
    "vicregl": vicregl_of_rows,
    "sigreg": lambda z1, z2, directions: losses.sigreg((z1, z2), directions),
    "swav": swav_of_scores,
    "tico": tico_of_first_batch,
    "visreg": lambda z1, z2, directions: losses.visreg((z1, z2), directions),
    "wmse": lambda z1, z2: losses.wmse((z1, z2), epsilon=1e-7),
}


def compare(name: str, live: int, peer) -> dict:
    """The largest relative differences of a loss over all its inputs."""
    of_values, of_gradients = [], []
    for batch, dim in agreement_cases.SIZES:
        for seed in agreement_cases.SEEDS:
            tensors = [tf.constant(a) for a in agreement_cases.inputs(name, batch, dim, seed)]
            with tf.GradientTape() as tape:
                tape.watch(tensors[:live])
                value = OURS[name](*tensors)
            gradients = tape.gradient(value, tensors[:live])
            key = f"{name}/{batch}/{dim}/{seed}"
            of_values.append(abs(float(value) - float(peer[key])) / max(abs(float(peer[key])), 1.0))
            for i, gradient in enumerate(gradients):
                theirs = peer[f"{key}/{i}"]
                of_gradients.append(np.abs(gradient.numpy() - theirs).max() / np.abs(theirs).max())
    return {"value": float(max(of_values)), "gradient": float(max(of_gradients))}


def main():
    """Prints a table and writes the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer_python", default=sys.executable, help="a Python that has torch and lightly")
    parser.add_argument("--output")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "lightly.npz")
        subprocess.run([arguments.peer_python, "-m", "benchmarks.lightly_agreement", path], check=True)
        with np.load(path) as stored:
            peer = dict(stored)
    results = {name: compare(name, live, peer) for name, live in agreement_cases.CASES.items()}
    print(f"{'':20}{'value':>12}{'gradient':>12}")
    for name, differences in results.items():
        print(f"{name:20}{differences['value']:12.1e}{differences['gradient']:12.1e}")
    if arguments.output:
        results_file.write(arguments.output, {**results_file.describe_run(), "differences": results})
    return int(any(d["value"] > 1e-5 or d["gradient"] > 1e-4 for d in results.values()))


if __name__ == "__main__":
    sys.exit(main())
