"""Learning from 5,000 labels: 40 epochs of a small ResNet on CIFAR-10, held-out accuracy of the last epoch.

    python -m benchmarks.labeled_protocol --data=cifar10.npz --method=sla --seeds=0,1,2 --output=runs.json
    python -m benchmarks.labeled_protocol --data=cifar10.npz --width=32 --save=teacher.keras
    python -m benchmarks.labeled_protocol --data=cifar10.npz --method=nkd --teacher=teacher.keras

First 5,000 training images with their labels, first 2,000 test images; fst and mean_teacher also see the
5,000 training images that follow, without labels, in half as many epochs, so all methods see
the same number of images.
distilled_classifier and meal_v2 have a teacher, and no labels.
ResNet-18 of width 16 with the small stem at stride 2, random crop and flip, batch 128, AdamW; fst and
mean_teacher have a second, stronger view, palm has two of its own, prob_psenn and prototype_dl use the image
without augmentation; classifiers by prototypes have the recipes of their classes for short runs. No
setting was chosen by these test images.
"""

import argparse
import json
from collections.abc import Callable

import keras
import numpy as np

import kerassl
from benchmarks import results_file
from benchmarks.clock import Clock
from kerassl.distillation import FST, LSSKD, MEALV2, NKD, PSKD, SLA, USKD, DistilledClassifier
from kerassl.views import CIFAR_MEAN, CIFAR_STD, FusedAugmentation, TwoViews
from recipes.names import CLASSIFIERS

NUM_LABELED, NUM_UNLABELED, NUM_TEST, BATCH_SIZE, EPOCHS, WIDTH = 5_000, 5_000, 2_000, 128, 40, 16
LEARNING_RATE, WEIGHT_DECAY = 2e-3, 1e-4
WEAK = {"scale": (0.5, 1.0), "mean": CIFAR_MEAN, "std": CIFAR_STD}
JITTER = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.2, "hue": 0.1, "grayscale_probability": 0.2}
NUM_UPDATES = EPOCHS * NUM_LABELED // BATCH_SIZE
# Some 1,600 updates are too few for the usual momentum of 0.999.
MEAN_TEACHER = {"max_momentum": 0.99, "threshold": 0.9}
METHODS = {
    "classifier": (kerassl.classifiers.Classifier, {}),
    "distilled_classifier": (DistilledClassifier, {}),
    "fst": (FST, MEAN_TEACHER),
    "lsskd": (LSSKD, {}),
    "mean_teacher": (FST, {**MEAN_TEACHER, "num_virtual_steps": 0}),
    "meal_v2": (MEALV2, {}),
    "nkd": (NKD, {}),
    "ps_kd": (PSKD, {"num_examples": NUM_LABELED}),
    "sla": (SLA, {}),
    "sla_sd": (SLA, {"self_distillation": True}),
    # As of a ResNet-18 on CIFAR-100.
    "uskd": (USKD, {"alpha": 0.1, "beta": 0.1, "mu": 0.1}),
    **{
        name: (method.cls, method.arguments(NUM_UPDATES, NUM_LABELED, None))
        for name, method in CLASSIFIERS.items()
        if issubclass(method.cls, kerassl.classifiers.PrototypeClassifier)
    },
}


TAUGHT = ("distilled_classifier", "meal_v2", "nkd")


def build(name: str, shape, settings: dict, seed: int, width: int, teacher: str | None) -> kerassl.SSLModel:
    """The untrained method."""
    keras.utils.set_random_seed(seed)
    options = CLASSIFIERS[name].recipe.backbone_args if name in CLASSIFIERS else {}
    encoder = kerassl.backbones.resnet18(shape, stem="small", stem_stride=2, width=width, **options)
    method, _ = METHODS[name]
    view = FusedAugmentation(shape[0], **WEAK)
    if method is FST:
        view = TwoViews(FusedAugmentation(shape[0], **WEAK, **JITTER), view)
    elif method.default_views[0] != "crop_flip":
        view = "default"
    networks = (keras.models.load_model(teacher, compile=False), encoder) if name in TAUGHT else (encoder,)
    return method(*networks, views=view, num_classes=10, seed=seed, **settings)


def run(name: str, train, test, labels, settings: dict, epochs: int, seed: int, arguments) -> dict:
    """Trains a method once; its accuracy and the seconds that a step takes."""
    model = build(name, train.images.shape[1:], settings, seed, arguments.width, arguments.teacher)
    steps = epochs * -(-len(train.images) // BATCH_SIZE)
    schedule = kerassl.schedules.WarmupCosine(LEARNING_RATE, steps, warmup_steps=steps // 40)
    model.compile(kerassl.optimizers.AdamW(schedule, weight_decay=WEIGHT_DECAY))
    clock = Clock()
    fit = {"batch_size": BATCH_SIZE, "epochs": epochs, "callbacks": [clock], "verbose": 2}
    history = model.fit(train.images, labels, **fit).history
    if arguments.save:
        model.save(arguments.save)
    accuracies = {"accuracy": accuracy(model.classify, test)}
    if isinstance(model, FST):
        accuracies["teacher_accuracy"] = accuracy(model.classify_by_teacher, test)
    return {
        "seed": seed,
        **accuracies,
        "loss": [round(value, 4) for value in history["loss"]],
        "seconds_per_step": round(clock.median_epoch * epochs / steps, 4),
    }


def accuracy(classify: Callable, test) -> float:  # noqa: ANN001
    """Accuracy on the test images of a function from images to probabilities."""
    return round(float((classify(test.images).argmax(axis=1) == test.labels).mean()), 4)


def table(path: str) -> str:
    """The results of a file as a Markdown table, best first."""
    with open(path) as file:
        results = json.load(file)
    lines = ["| method | accuracy | of each seed | s a step |", "|---|---|---|---|"]
    for name, result in sorted(results.items(), key=lambda item: -item[1]["mean_accuracy"]):
        each = ", ".join(f"{100 * one['accuracy']:.1f}" for one in result["runs"])
        slowness = np.mean([one["seconds_per_step"] for one in result["runs"]])
        lines.append(f"| {name} | {100 * result['mean_accuracy']:.1f} | {each} | {slowness:.3f} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="path of an npz file of CIFAR-10")
    parser.add_argument("--method", choices=sorted(METHODS), default="classifier")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="passes over the labeled images")
    parser.add_argument("--seeds", default="0", help="separated by commas")
    parser.add_argument("--width", type=int, default=WIDTH, help="of the ResNet")
    parser.add_argument("--teacher", help="for those that have one: a classifier saved by --save")
    parser.add_argument("--save", help="where to save the trained model (.keras); of the last seed")
    parser.add_argument(
        "--settings", type=json.loads, default={}, help="JSON that overrides the method's settings"
    )
    parser.add_argument("--limit", type=int, default=NUM_LABELED, help="labeled images, to try it out")
    parser.add_argument("--output", help="JSON file to which the method's results are added")
    parser.add_argument("--table", help="print this results file as a table and train nothing")
    arguments = parser.parse_args()
    if arguments.table:
        print(table(arguments.table))
        return
    method, settings = METHODS[arguments.method]
    if (arguments.teacher is None) != (arguments.method not in TAUGHT):
        parser.error(f"--teacher is needed for {', '.join(TAUGHT)}, and for no other method.")

    more = arguments.limit * NUM_UNLABELED // NUM_LABELED if method is FST else 0
    train, test, _ = kerassl.data.load(
        f"npz:{arguments.data}", limit_train=arguments.limit + more, limit_test=NUM_TEST
    )
    labels = np.where(np.arange(len(train.images)) < arguments.limit, train.labels, -1)
    epochs = max(1, round(arguments.epochs * arguments.limit / len(train.images)))
    settings = {**settings, **arguments.settings}
    runs = [
        run(arguments.method, train, test, labels, settings, epochs, int(seed), arguments)
        for seed in arguments.seeds.split(",")
    ]
    results = {
        **results_file.describe_run(),
        "settings": {
            "labeled_images": arguments.limit,
            "unlabeled_images": more,
            "epochs": epochs,
            "batch_size": BATCH_SIZE,
            "width": arguments.width,
            "optimizer": "AdamW",
            "learning_rate": LEARNING_RATE,
            "weight_decay": WEIGHT_DECAY,
            **settings,
        },
        **{
            f"mean_{kind}": round(float(np.mean([one[kind] for one in runs])), 4)
            for kind in ("accuracy", "teacher_accuracy")
            if kind in runs[0]
        },
        "runs": runs,
        "peak_memory_mib": round(results_file.peak_memory_mib()),
    }
    if arguments.output:
        results_file.add(arguments.output, arguments.method, results)
    print(json.dumps({k: v for k, v in results.items() if k not in ("versions", "settings")}))


if __name__ == "__main__":
    main()
