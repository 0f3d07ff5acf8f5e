"""Pretrains an encoder without labels and measures it.

    python -m recipes.pretrain --dataset=digits --epochs=60 --batch_size=128 --workdir=runs/digits
    python -m recipes.pretrain --method=byol --dataset=tfds:cifar10 --epochs=100 --workdir=runs/byol

The first command trains for some 50 seconds of processor time (TensorFlow, plus start and table). With
one label per class it then gets 0.764 of the held-out digits right (0.759, 0.777, 0.756 for the seeds 0,
1, 2), where the same network with random weights gets 0.387 and raw pixels 0.655.

The same command again continues an interrupted run from its last checkpoint, to the same weights, bit for
bit; SIGTERM saves one and exits with status 0. The workdir receives config.json, metrics.jsonl,
checkpoints/, result.json, views.png, curves.png, tensorboard/, preparation.json (what the images were),
encoder.keras and encoder/ (SavedModel).
"""

import keras

import kerassl
from recipes import build, command_line, train
from recipes.devices import devices
from recipes.methods import METHODS
from recipes.names import BACKBONES, check_name
from recipes.optimizers import SHORT_RUN, make_optimizer, optimizer_settings
from recipes.workdir import Workdir


def run(
    workdir: str,
    method: str = "simclr",
    dataset: str = "digits",
    backbone: str = "default",
    width: int | None = None,
    backbone_args: dict | None = None,
    method_args: dict | None = None,
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
    """Pretrains an encoder in a workdir.

    Args:
        workdir: folder of the run; a run that it already holds is continued.
        method: all4one, amcl, amcl_moco, barlow_twins, byol, cacr, dcl, dclw, deepcluster_v2, dense_cl,
            dino, dinov2, direct_clr, direct_copy, direct_pred, direct_set, emp_ssl, fast_siam, frossl,
            g_simclr, groco, ibot, isogclr, lejepa, look, mae, mixed_barlow_twins, mmcr, mochi, moco_v2,
            moco_v3, msb_reg, msn, mugs, nnbyol, nnclr, nnsiam, pcl, pmsn, poa, random_teacher, ressl,
            scat_simclr, seer, simclr, simclr_v2, simsiam, smog, sogclr, supcon, swav, tico, vibcreg, vicreg,
            vicregl, visreg or wmse; supcon and look learn from the labels.
        dataset: digits, folder:DIR, npz:FILE or tfds:NAME.
        backbone: resnet18, resnet34, resnet50, scatnet, vit_tiny, vit_small, vit_base; default: vit_tiny for
            dino, dinov2, ibot, mae, moco_v3, msn, mugs, pmsn and poa, scatnet for scat_simclr, resnet18 for
            the others.
        width: channels of a ResNet's first stage (64, or 16 for images up to 16 pixels), of a ScatNet's
            last (128), or width of a ViT's tokens.
        backbone_args: further arguments of the backbone.
        method_args: further arguments of the method, such as {"temperature": 0.2}.
        views: a recipe of kerassl.views; default: digits for the digits, else the method's own.
        image_size: side in pixels to which images are resized; as they come if not given.
        epochs: passes over the training images.
        batch_size: images per step over all devices.
        chunk_size: images that a device encodes at a time, for batches larger than its memory holds.
        optimizer: adamw, lars or sgd; default: the paper's, or adamw for runs below 10,000 steps.
        learning_rate: after the warm-up; if not given, the optimizer's usual one for this batch size.
        weight_decay: the optimizer's usual one if not given.
        final_weight_decay: to which adamw's decay goes by a cosine; that of dino, dinov2, ibot, msn, pmsn and
            poa rises from 0.04 to 0.4, that of mugs to 0.2.
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
        knn_every: epochs between two kNN accuracies and diagnostics without labels; ten over the run if not
            given.
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
    check_name("method", method, METHODS)
    backbone = METHODS[method].backbone if backbone == "default" else backbone
    check_name("backbone", backbone, BACKBONES)
    data = {
        "image_size": image_size,
        "limit_train": limit_train,
        "limit_test": limit_test,
        "data_dir": data_dir,
    }
    # Every device and every chunk needs its share of every batch.
    drop_remainder = strategy != "none" or chunk_size is not None
    train_data, test_data, info = kerassl.data.load(
        dataset, batch_size=batch_size, seed=seed, drop_remainder=drop_remainder, **data
    )
    steps = kerassl.data.num_batches(train_data)
    settings = optimizer_settings(
        method, optimizer, epochs, steps, batch_size, learning_rate, weight_decay, warmup_epochs
    )
    if final_weight_decay is not None:
        settings["final_weight_decay"] = final_weight_decay
    views = build.default_views(method, dataset) if views == "default" else views
    usual = build.default_method_args(method, epochs * steps, epochs * steps < SHORT_RUN, info.num_train)
    method_args = {**usual, **(method_args or {})}
    backbone_args = backbone_args or {}
    if backbone.startswith("resnet"):
        width = width or build.default_width(info.image_shape[0])
        backbone_args = {**METHODS[method].resnet_args, **backbone_args}
    config = {
        "method": method,
        "dataset": dataset,
        "backbone": backbone,
        "width": width,
        "backbone_args": backbone_args,
        "method_args": method_args,
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
        encoder = build.make_encoder(backbone, info.image_shape, width, backbone_args)
        model = build.make_method(method, encoder, views, dataset, info.num_classes, method_args, seed)
        model.compile(
            make_optimizer(method, **settings, epochs=epochs, steps_per_epoch=steps), chunk_size=chunk_size
        )
        place = Workdir(workdir, config)
        if place.finished:
            return train.show_finished(place)
        train.print_settings(config)
        return train.train_in(
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
            verbose=verbose,
        )


if __name__ == "__main__":
    command_line.launch(run)
