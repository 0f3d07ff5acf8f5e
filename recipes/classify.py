"""Trains a classifier on labelled images, from a pretrained encoder or from random weights.

    python -m recipes.classify --method=prototypical_network --dataset=digits --epochs=30 --workdir=runs/few
    python -m recipes.classify --encoder=runs/byol --dataset=tfds:cifar10 --epochs=30 --workdir=runs/classes

The workdir is as that of `recipes.pretrain`, and the same command continues an interrupted run. It receives
classifier.keras, from raw images to probabilities, whose held-out accuracy is in the table, and of a
classifier with prototypes their pictures, prototypes.png, and why a held-out image is taken for its class,
explanation.png.
"""

import pathlib

import keras

import kerassl
from kerassl.optimizers import layerwise_factors
from recipes import build, command_line, train
from recipes.devices import devices
from recipes.evaluate import load_encoder
from recipes.labels import few_labels, label_share
from recipes.methods import CLASSIFIERS
from recipes.names import BACKBONES, check_name
from recipes.optimizers import SHORT_RUN, make_optimizer, optimizer_settings
from recipes.workdir import Workdir


def run(
    workdir: str,
    method: str = "classifier",
    dataset: str = "digits",
    encoder: str | None = None,
    backbone: str = "resnet18",
    width: int | None = None,
    backbone_args: dict | None = None,
    method_args: dict | None = None,
    labels: str = "all",
    layer_decay: float = 1.0,
    views: str = "default",
    image_size: int | None = None,
    epochs: int = 100,
    batch_size: int = 256,
    chunk_size: int | None = None,
    optimizer: str = "default",
    learning_rate: float | None = None,
    weight_decay: float | None = None,
    final_weight_decay: float | None = None,
    warmup_epochs: float | None = None,
    strategy: str = "none",
    num_devices: int | None = None,
    model_shards: int = 2,
    precision: str = "float32",
    seed: int = 0,
    data_dir: str | None = None,
    limit_train: int | None = None,
    limit_test: int | None = None,
    knn_every: int | None = None,
    eval_images: int = 10_000,
    stop_after: int | None = None,
    save_every_steps: int | None = None,
    keep_checkpoints: int = 3,
    saved_model: bool = True,
    verbose: int = 1,
) -> dict | None:
    """Trains a classifier in a workdir.

    Args:
        workdir: folder of the run; a run that it already holds is continued.
        method: classifier, palm, prob_psenn, proto_pnet, prototype_dl, prototypical_network or
            st_proto_pnet.
        dataset: digits, folder:DIR, npz:FILE or tfds:NAME, with labels.
        encoder: what to start from: the workdir of a finished run or its encoder.keras; random weights if not
            given.
        backbone: without an encoder: resnet18, resnet34, resnet50, scatnet, vit_tiny, vit_small or vit_base.
        width: channels of a ResNet's first stage (64, or 16 for images up to 16 pixels) or width of a
            ViT's tokens.
        backbone_args: further arguments of the backbone.
        method_args: further arguments of the method, such as {"shots": 1}.
        labels: all, or the share of each class's training labels that is read, such as 1% or 10%, chosen by
            the seed; one image a class at least. Other training images are not seen.
        layer_decay: by which the rate falls from block to block of a ViT, from stage to stage of a ResNet;
            see recipes.fine_tune.
        views: a recipe of kerassl.views; default: the method's own, for digits one that mirrors nothing.
        image_size: side in pixels to which images are resized; as they come if not given.
        epochs: passes over the training images.
        batch_size: images per step over all devices.
        chunk_size: images that a device encodes at a time, for batches larger than its memory holds.
        optimizer: adamw, lars or sgd; default: the paper's, or adamw for runs below 10,000 steps.
        learning_rate: after the warm-up; if not given, the optimizer's usual one for this batch size.
        weight_decay: the optimizer's usual one if not given.
        final_weight_decay: to which adamw's decay goes by a cosine.
        warmup_epochs: a tenth of the epochs, at most the paper's, if not given.
        strategy: none, mirrored (TensorFlow), data_parallel or model_parallel (JAX), tpu (TensorFlow, JAX)
            or multi_worker (several processes); see docs/devices.md.
        num_devices: devices of this host to use, by default all; a processor counts as so many.
        model_shards: devices that share one copy of the weights under model_parallel.
        precision: float32, mixed_bfloat16 or mixed_float16.
        seed: keys all randomness of the run.
        data_dir: where TFDS keeps its data.
        limit_train: use the first so many training images only.
        limit_test: use the first so many test images only.
        knn_every: epochs between two kNN accuracies; ten over the run if not given.
        eval_images: images that the kNN bank, the linear probe and the tests look at, at most.
        stop_after: epochs after which to stop, to be continued by the same command.
        save_every_steps: batches between two checkpoints within an epoch; at the ends of epochs only, if
            not given.
        keep_checkpoints: newest checkpoints to keep in the workdir.
        saved_model: write a SavedModel of the encoder besides encoder.keras.
        verbose: 0 for no progress, 1 for bars, 2 for a line per epoch.

    Returns:
        The rows of the printed table, or `None` if the run was stopped before its end.

    Raises:
        ValueError: for an unknown name, data or settings that do not fit, or a workdir of another run.
    """
    check_name("method", method, CLASSIFIERS)
    check_name("backbone", backbone, BACKBONES)
    data = {
        "image_size": image_size,
        "limit_train": limit_train,
        "limit_test": limit_test,
        "data_dir": data_dir,
    }
    drop_remainder = strategy != "none" or chunk_size is not None
    train_data, test_data, info = kerassl.data.load(
        dataset, batch_size=batch_size, seed=seed, drop_remainder=drop_remainder, **data
    )
    if info.num_classes is None:
        raise ValueError(f"{method} learns from labels, and {dataset} has none.")
    share = label_share(labels)
    if share < 1:
        train_data, _ = few_labels(train_data, info, share, batch_size, seed)
    steps = kerassl.data.num_batches(train_data)
    settings = optimizer_settings(
        method, optimizer, epochs, steps, batch_size, learning_rate, weight_decay, warmup_epochs
    )
    if final_weight_decay is not None:
        settings["final_weight_decay"] = final_weight_decay
    recipe = CLASSIFIERS[method]
    short = recipe.short_arguments if epochs * steps < SHORT_RUN else {}
    method_args = {**recipe.arguments, **short, **(method_args or {})}
    if backbone.startswith("resnet"):
        width = width or build.default_width(info.image_shape[0])
        backbone_args = {**recipe.resnet_args, **(backbone_args or {})}
    config = {
        "method": method,
        "dataset": dataset,
        "encoder": encoder,
        "backbone": backbone,
        "width": width,
        "backbone_args": backbone_args or {},
        "method_args": method_args,
        "labels": labels,
        "layer_decay": layer_decay,
        "views": views,
        "epochs": epochs,
        "batch_size": batch_size,
        "chunk_size": chunk_size,
        **settings,
        "strategy": strategy,
        "num_devices": num_devices,
        "model_shards": model_shards,
        "precision": precision,
        "seed": seed,
        **data,
        "eval_images": eval_images,
        "about": train.about(info, steps),
    }
    with devices(strategy, precision, num_devices, model_shards) as device_count:
        kerassl.data.check_divides(batch_size, device_count, chunk_size or 1)
        keras.utils.set_random_seed(seed)
        if encoder is None:
            network = build.make_encoder(backbone, info.image_shape, width, backbone_args or {})
        else:
            network = pretrained(pathlib.Path(encoder), recipe.resnet_args)
        model = make_method(method, network, views, dataset, info, method_args, seed)
        factors = layerwise_factors(network, layer_decay) if layer_decay != 1 else None
        model.compile(
            make_optimizer(method, **settings, epochs=epochs, steps_per_epoch=steps, rate_factors=factors),
            chunk_size=chunk_size,
        )
        place = Workdir(workdir, config)
        if place.finished:
            return train.show_finished(place)
        train.print_settings(config)
        rows = train.train_in(
            place,
            model,
            train_data,
            test_data,
            epochs=epochs,
            num_devices=device_count,
            knn_every=knn_every,
            eval_images=eval_images,
            stop_after=stop_after,
            save_every_steps=save_every_steps,
            keep_checkpoints=keep_checkpoints,
            saved_model=saved_model,
            first="random encoder" if encoder is None else "pretrained encoder",
            verbose=verbose,
        )
        if rows is not None and kerassl.engine.is_chief():
            draw(model, train_data if test_data is None else test_data, place.path)
        return rows


def pretrained(path: pathlib.Path, resnet_args: dict) -> keras.Model:
    """The network in an exported encoder, without its preprocessing; its feature map where that is needed.

    Args:
        path: as of `recipes.evaluate.load_encoder`.
        resnet_args: `{"pool": None}` for a method that needs the feature map.

    Raises:
        ValueError: if there is no encoder.
    """
    exported = load_encoder(path)
    network = next((x for x in exported.layers if isinstance(x, keras.Model)), exported)
    settings = network.get_config()
    if all(settings.get(name, value) == value for name, value in resnet_args.items()):
        return network
    unpooled = type(network).from_config({**settings, **resnet_args})
    unpooled.set_weights(network.get_weights())
    return unpooled


def make_method(method, encoder, views, dataset, info, method_args, seed) -> kerassl.SSLModel:  # noqa: ANN001
    """A classifier on an encoder."""
    recipe = CLASSIFIERS[method]
    if views != "default":
        check_name("views", views, kerassl.views.RECIPES)
    elif recipe.views != "default":
        views = recipe.views
    elif dataset == "digits":
        two = kerassl.views.digits(encoder.input_shape[1], info.image_shape[2])
        views = two if method == "palm" else two.view1
    try:
        return recipe.method(encoder, views, info.num_classes, seed=seed, **method_args)
    except TypeError as error:
        raise ValueError(f"--method_args={method_args} do not fit {method}: {error}.") from error


def draw(model: kerassl.SSLModel, data, folder: pathlib.Path) -> None:  # noqa: ANN001
    """Writes the prototypes of a classifier that has some, and why it takes the first image for its class."""
    if not isinstance(model, kerassl.classifiers.PrototypeClassifier):
        return
    try:
        model.save_pictures(folder / "prototypes.png")
        images, _ = next(kerassl.data.labelled_batches(data, batch_size=1))
        explanation = model.explain(images[0])
        explanation.save(folder / "explanation.png")
    except ImportError as error:
        print(f"Left out: {error}")
        return
    print(f"explanation.png: taken for class {explanation.predicted}; most like {explanation.summary()}")


if __name__ == "__main__":
    command_line.launch(run)
