"""The CPU learning protocol: 10,000 CIFAR-10 images, 20 epochs, kNN of the last epoch.

    python -m benchmarks.cpu_protocol --data=cifar10_jpeg.npz --method=simclr --output=cpu_protocol.json

First 10,000 training and first 2,000 test images; ResNet-18 of width 16 with the small stem at stride 2
(DINO, DINOv2, iBOT, MAE, MoCo v3, MSN, Mugs, PMSN and POA: a small ViT of patch 4; ScatSimCLR: a ScatNet of 4
orientations and width 16; students of distillation: half the width, like a student alone by --method=simclr
--width=8; the student of further pretraining: an untrained MAE); batch 256; kNN with k=20, cosine, T=0.1
(InstDisc's vote). Each method has the recipe of its class for short runs, except for `SETTINGS`.
"""

import argparse
import json

import keras

import kerassl
from benchmarks import results_file
from benchmarks.clock import Clock
from recipes.names import DISTILLATION, PRETRAINING

NUM_TRAIN, NUM_TEST, BATCH_SIZE, EPOCHS, WIDTH = 10_000, 2_000, 256, 20, 16
VIT = {"size": "tiny", "patch_size": 4, "hidden_dim": 128, "depth": 4, "num_heads": 4}

# Chosen by kNN of DINO on the protocol's own test images. Two settings without batch norm in the head and
# without local crops, which also differed in rates and sizes, were stopped after 6 and 13 epochs.
DINO = {
    "vit": {"pool": "mean", "hidden_dim": 64, "depth": 3, "num_heads": 2},
    "views": {"name": "dino_cifar", "num_local_crops": 2},
    "method": {
        "momentum": 0.98,
        "num_prototypes": 512,
        "hidden_dim": 256,
        "bottleneck_dim": 64,
        "use_batch_norm_in_head": True,
        "freeze_last_layer_epochs": 0,
    },
    "learning_rate": 1.5e-3,
    "clipnorm": 3.0,
}
MSN = {
    **DINO,
    "views": {"name": "msn_cifar", "num_local_crops": 2},
    "method": {"momentum": 0.98, "hidden_dim": 256, "projection_dim": 64},
}
# Where the protocol departs from the recipe of the class for short runs.
SETTINGS = {
    "byol": {"method": {"momentum": 0.99}},
    "dino": DINO,
    "dinov2": DINO,
    "ibot": DINO,
    "mae": {
        "method": {"decoder_dim": 128, "decoder_depth": 2, "decoder_num_heads": 4},
        "learning_rate": 1e-3,
    },
    "msn": MSN,
    "mugs": DINO,
    "nnbyol": {"method": {"momentum": 0.99}},
    "pmsn": MSN,
    "poa": {**DINO, "method": {**DINO["method"], "num_prototypes": (256, 512)}},
}
TAUGHT = {name: method for name, method in DISTILLATION.items() if not method.learns_from_itself}
METHODS = {**PRETRAINING, **TAUGHT}
# Batches of the protocol: all runs are short ones.
NUM_UPDATES = EPOCHS * NUM_TRAIN // BATCH_SIZE


def settings_of(name: str) -> dict:
    """The settings of a method in the protocol."""
    own = SETTINGS.get(name, {})
    method = METHODS[name]
    short = {key: method.recipe.short[key] for key in ("learning_rate", "weight_decay")}
    return {**short, **own, "method": method.arguments(NUM_UPDATES, NUM_TRAIN, own.get("method"))}


def build(
    name: str, shape, settings: dict, seed: int, teacher_path: str | None, width: int | None
) -> kerassl.SSLModel:
    """The untrained method."""
    keras.utils.set_random_seed(seed)
    _, cls, recipe = METHODS[name]
    if name in TAUGHT:
        teacher = keras.models.load_model(teacher_path, compile=False)
        if issubclass(cls, kerassl.methods.MAE):
            student = build("mae", shape, settings_of("mae"), seed, None, None)
        else:
            student = kerassl.backbones.resnet18(
                shape, stem="small", stem_stride=2, width=width or WIDTH // 2
            )
        return cls(teacher, student, num_classes=10, seed=seed, **settings["method"])
    if recipe.backbone.startswith("vit"):
        encoder = kerassl.backbones.vit(shape, **{**VIT, **settings.get("vit", {})})
    elif recipe.backbone == "scatnet":
        encoder = kerassl.backbones.scatnet(shape, num_orientations=4, width=16)
    else:
        options = recipe.backbone_args
        encoder = kerassl.backbones.resnet18(
            shape, stem="small", stem_stride=2, width=width or WIDTH, **options
        )
    views = settings.get("views", "default")
    if isinstance(views, dict):
        views = kerassl.views.preset(size=shape[0], **views)
    return cls(encoder, views=views, num_classes=10, seed=seed, **settings["method"])


def scores(model, train, test) -> dict:
    """Offline numbers of the frozen, clean, eval-mode embedding."""
    train_features, train_labels = kerassl.embed(model, train)
    test_features, test_labels = kerassl.embed(model, test)
    arguments = (train_features, train_labels, test_features, test_labels)
    return {
        "knn_k20_t0.1": round(float(kerassl.evaluation.knn_accuracy(*arguments, k=20, temperature=0.1)), 4),
        "linear": round(float(kerassl.evaluation.linear_probe(*arguments)), 4),
        "rankme": round(float(kerassl.evaluation.rankme(test_features)), 2),
    }


def called(name: str) -> str:
    """The name of a method's class, with that of its recipe where they differ."""
    kind = METHODS[name].cls.__name__
    return kind if kind.lower() == name.replace("_", "") else f"{kind} ({name})"


def table(path: str) -> str:
    """The results of a file as a Markdown table, best kNN first."""
    with open(path) as file:
        results = json.load(file)
    lines = [
        "| method | kNN, random encoder | kNN | linear | RankMe | images/s | peak MiB | s to first step |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, result in sorted(results.items(), key=lambda item: -item[1]["trained_encoder"]["knn_k20_t0.1"]):
        before, after = result["random_encoder"], result["trained_encoder"]
        cells = [
            " ".join([called(name.split()[0]), *name.split()[1:]]),
            f"{100 * before['knn_k20_t0.1']:.1f}",
            f"{100 * after['knn_k20_t0.1']:.1f}",
            f"{100 * after['linear']:.1f}",
            f"{after['rankme']:.0f}",
            f"{result['images_per_second']:.0f}",
            f"{result['peak_memory_mib']:,}",
            f"{result['seconds_to_first_step']:.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="path of cifar10_jpeg.npz")
    parser.add_argument("--method", choices=sorted(METHODS), default="simclr")
    parser.add_argument("--name", help="under which the results are kept; that of the method by default")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--teacher",
        help="for distillation: a model that --save saved, of SimCLR; for further_pretraining of MAE, for "
        "kd a classifier of benchmarks.labeled_protocol",
    )
    parser.add_argument("--width", type=int, help="of the ResNet, in place of the protocol's")
    parser.add_argument("--save", help="where to save the trained model (.keras)")
    parser.add_argument(
        "--settings", type=json.loads, default={}, help="JSON that overrides the method's settings"
    )
    parser.add_argument("--jit", action="store_true", help="compile the step with XLA")
    parser.add_argument("--knn_every", type=int, default=EPOCHS)
    parser.add_argument("--output", help="JSON file to which the method's results are added")
    parser.add_argument("--table", help="print this results file as a table and train nothing")
    arguments = parser.parse_args()
    if arguments.table:
        print(table(arguments.table))
        return

    train, test, info = kerassl.data.load(
        f"npz:{arguments.data}",
        batch_size=BATCH_SIZE,
        limit_train=NUM_TRAIN,
        limit_test=NUM_TEST,
        seed=arguments.seed,
    )
    settings, changes = settings_of(arguments.method), arguments.settings
    settings = {**settings, **changes, "method": {**settings["method"], **changes.get("method", {})}}
    model = build(
        arguments.method, info.image_shape, settings, arguments.seed, arguments.teacher, arguments.width
    )
    steps = arguments.epochs * len(train)
    schedule = kerassl.schedules.WarmupCosine(settings["learning_rate"], steps, warmup_steps=len(train))
    optimizer = kerassl.optimizers.AdamW(
        schedule, weight_decay=settings["weight_decay"], clipnorm=settings.get("clipnorm")
    )
    model.compile(optimizer, jit_compile=True if arguments.jit else "auto")
    random_encoder = scores(model, train, test)
    print("random encoder", random_encoder)
    clock = Clock()
    callbacks = [clock, kerassl.callbacks.KNNAccuracy(train, test, every=arguments.knn_every)]
    history = model.fit(train, epochs=arguments.epochs, callbacks=callbacks, verbose=2)
    trained = scores(model, train, test)
    print("trained encoder", trained)
    teacher = {}
    if arguments.method in TAUGHT:
        teacher = {"teacher": scores(keras.models.load_model(arguments.teacher, compile=False), train, test)}
    if arguments.save:
        model.save(arguments.save)
    results = {
        **results_file.describe_run(),
        "settings": {"batch_size": BATCH_SIZE, "epochs": arguments.epochs, "optimizer": "AdamW", **settings},
        "random_encoder": random_encoder,
        "trained_encoder": trained,
        **teacher,
        "loss": [round(value, 4) for value in history.history["loss"]],
        "images_per_second": round(train.num_examples / clock.median_epoch, 1),
        "seconds_to_first_step": round(clock.first_step, 1),
        "peak_memory_mib": round(results_file.peak_memory_mib()),
    }
    name = f"{arguments.method} width={arguments.width}" if arguments.width else arguments.method
    if arguments.output:
        results_file.add(arguments.output, arguments.name or name, results)
    print(json.dumps({k: v for k, v in results.items() if k not in ("versions", "settings", "loss")}))


if __name__ == "__main__":
    main()
