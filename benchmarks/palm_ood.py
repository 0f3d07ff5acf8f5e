"""Out-of-distribution detection by PALM: CIFAR-10 against digits, six prototypes per class or one.

    python -m benchmarks.palm_ood --data=cifar10_jpeg.npz --output=palm_ood.json

Data, network, batch and length are those of `benchmarks.cpu_protocol`. The outliers are scikit-learn's 1,797
digits, resized to 32 pixels, in gray. The scores are the Mahalanobis distances of features from the training
images: of features of length one, as in the paper's code, and of unchanged features. AUROC and FPR95 are
of the last epoch, means over seeds, with held-out images as inliers. With --workdir a stopped run resumes;
its seconds and losses are then those since the resume.
"""

import argparse
import json
import pathlib
import time

import keras
import numpy as np

import kerassl
from benchmarks import results_file
from benchmarks.cpu_protocol import BATCH_SIZE, EPOCHS, NUM_TEST, NUM_TRAIN, WIDTH
from recipes.names import CLASSIFIERS


def digits(image_shape: tuple) -> np.ndarray:
    """All digits, of the size and channels of the inliers."""
    parts = kerassl.data.load("digits", image_size=image_shape[:2])[:2]
    images = np.concatenate([part.images for part in parts])
    return np.repeat(images, image_shape[2], axis=-1)


def detect(
    train, test, info, outliers: np.ndarray, epochs: int, seed: int, arguments: dict, workdir: str | None
) -> dict:
    """Trains PALM and returns its scores."""
    keras.utils.set_random_seed(seed)
    encoder = kerassl.backbones.resnet18(info.image_shape, stem="small", stem_stride=2, width=WIDTH)
    model = kerassl.classifiers.PALM(encoder, num_classes=info.num_classes, seed=seed, **arguments)
    steps = epochs * len(train)
    short = CLASSIFIERS["palm"].recipe.short
    rate = kerassl.schedules.WarmupCosine(short["learning_rate"], steps, warmup_steps=steps // 10)
    model.compile(kerassl.optimizers.AdamW(rate, weight_decay=short["weight_decay"]))
    began = time.perf_counter()
    callbacks = []
    if workdir:
        name = f"{arguments['prototypes_per_class']}_prototypes_seed_{seed}"
        callbacks = [kerassl.callbacks.Checkpoint(pathlib.Path(workdir) / name)]
    history = model.fit(train, epochs=epochs, verbose=2, callbacks=callbacks).history
    seconds = time.perf_counter() - began
    found = {}
    for name, normalize in (("of length one", True), ("as they are", False)):
        inside, outside = (model.outlier_scores(train, x, normalize) for x in (test.images, outliers))
        found[name] = {
            "auroc": round(kerassl.evaluation.auroc(inside, outside), 4),
            "fpr95": round(kerassl.evaluation.fpr_at_tpr(inside, outside), 4),
        }
    predicted = model.classify(test.images).argmax(axis=1)
    return {
        "seed": seed,
        "features": found,
        "accuracy": round(float(np.mean(predicted == test.labels)), 4),
        "seconds": round(seconds, 1),
        "loss": [round(value, 4) for value in history.get("loss", ())],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="path of cifar10_jpeg.npz")
    parser.add_argument("--prototypes", type=int, nargs="+", default=[6, 1], help="a class, one run each")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seeds", default="0,1,2", help="separated by commas")
    parser.add_argument("--limit_train", type=int, default=NUM_TRAIN)
    parser.add_argument("--limit_test", type=int, default=NUM_TEST)
    parser.add_argument("--workdir", help="folder of checkpoints, from which a stopped run goes on")
    parser.add_argument("--output", help="JSON file to which the results are added")
    given = parser.parse_args()

    train, test, info = kerassl.data.load(
        f"npz:{given.data}",
        batch_size=BATCH_SIZE,
        limit_train=given.limit_train,
        limit_test=given.limit_test,
    )
    outliers = digits(info.image_shape)
    for number in given.prototypes:
        palm = CLASSIFIERS["palm"]
        arguments = palm.arguments(
            given.epochs * len(train), train.num_examples, {"prototypes_per_class": number}
        )
        runs = [
            detect(train, test, info, outliers, given.epochs, int(seed), arguments, given.workdir)
            for seed in given.seeds.split(",")
        ]
        means = {
            name: {
                key: round(float(np.mean([run["features"][name][key] for run in runs])), 4)
                for key in ("auroc", "fpr95")
            }
            for name in runs[0]["features"]
        }
        settings = {
            "inliers": "CIFAR-10",
            "outliers": "digits",
            "train_images": train.num_examples,
            "test_images": test.num_examples,
            "outlier_images": len(outliers),
            "batch_size": BATCH_SIZE,
            "epochs": given.epochs,
            "optimizer": "AdamW",
            **palm.recipe.short,
            **arguments,
        }
        print(json.dumps({"prototypes_per_class": number, "features": means}))
        if given.output:
            results = {**results_file.describe_run(), "settings": settings, "features": means, "runs": runs}
            name = f"prototypes per class: {number}"
            if (given.limit_train, given.epochs) != (NUM_TRAIN, EPOCHS):
                name += f", {train.num_examples:,} images, {given.epochs} epochs"
            results_file.add(given.output, name, results)


if __name__ == "__main__":
    main()
