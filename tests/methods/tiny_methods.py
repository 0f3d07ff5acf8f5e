"""Every method, made small enough to train in a test."""

import keras
import numpy as np

import kerassl
from kerassl.batch import Batch, unpack_batch

SHAPE = (16, 16, 3)
METHODS = (
    "SimCLR",
    "BarlowTwins",
    "BYOL",
    "DINO",
    "MAE",
    "SSLD",
    "SupCon",
    "DCL",
    "DCLW",
    "MoCoV2",
    "MoCoV3",
    "NNCLR",
    "NNBYOL",
    "NNSiam",
    "SimSiam",
    "SimCLRv2",
    "MoCHi",
    "CACR",
    "SogCLR",
    "iSogCLR",
    "GroCo",
    "VICReg",
    "DirectPred",
    "DirectCopy",
    "TiCo",
    "MMCR",
    "FroSSL",
    "EMPSSL",
    "LeJEPA",
    "VISReg",
    "DenseCL",
    "ScatSimCLR",
    "FastSiam",
    "ReSSL",
    "AMCL",
    "AMCLBarlowTwins",
    "AMCLMoCo",
    "DirectCLR",
    "GSimCLR",
    "LOOK",
    "MSBReg",
    "All4One",
    "VICRegL",
    "VIbCReg",
    "MixedBarlowTwins",
    "WMSE",
    "SwAV",
    "DeepClusterV2",
    "PCL",
    "SMoG",
    "RKD",
    "SEED",
    "iBOT",
    "DINOv2",
    "RandomTeacher",
    "MSN",
    "PMSN",
    "Mugs",
    "Classifier",
    "POA",
    "NKD",
    "USKD",
    "PSKD",
    "SLA",
    "LSSKD",
    "FST",
    "MEALV2",
    "UNFUSED",
    "PrototypicalNetwork",
    "PrototypeDL",
    "ProtoPNet",
    "STProtoPNet",
    "ProbPSENN",
    "PALM",
)
# Those of kerassl.classifiers, with what makes them small.
CLASSIFIERS = {
    "Classifier": {},
    "PrototypicalNetwork": {"shots": 1},
    "PrototypeDL": {"num_prototypes": 5, "latent_dim": 6, "decoder_width": 4},
    "PALM": {"prototypes_per_class": 2, "projection_dim": 8, "momentum": 0.9},
    "ProbPSENN": {"num_draws": 3, "latent_dim": 6, "decoder_width": 4},
    "ProtoPNet": {"prototypes_per_class": 2, "prototype_dim": 8, "warmup_epochs": 0},
    "STProtoPNet": {"prototypes_per_class": 2, "prototype_dim": 8, "warmup_epochs": 0},
}
# Settings under which a method draws no numbers, since each backend has its own; tests take them as methods.
WITHOUT_CHANCE = {
    "MoCHi without chance": {"num_hardest": 1, "num_query_mixed": 0},
    "LeJEPA without chance": {},
    "MSBReg without chance": {"brownian_weight": 0.0},
    "MSN without chance": {},
    "PMSN without chance": {},
    "POA without chance": {},
    "ProbPSENN without chance": {},
    "MixedBarlowTwins without chance": {},
    "ScatSimCLR without chance": {"dropout": 0.0},
    "VISReg without chance": {},
    "WMSE without chance": {"subbatch_size": 16},
}


def tiny_encoder(width=4, pool=True):
    """A network with batch norm, from 16 px images to 4 * width features, or to a 4 x 4 map of them."""
    inputs = keras.Input(SHAPE)
    x = keras.layers.Conv2D(width, 3, strides=2, padding="same", use_bias=False)(inputs)
    x = kerassl.engine.batch_norm()(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.Conv2D(4 * width, 3, strides=2, padding="same", use_bias=False)(x)
    x = kerassl.engine.batch_norm()(x)
    x = keras.layers.ReLU()(x)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x) if pool else x)


def tiny_vit(**kwargs):
    """A ViT of 16 patches."""
    return kerassl.backbones.vit(SHAPE, patch_size=4, hidden_dim=16, depth=2, num_heads=2, **kwargs)


def make(name, views="default", num_classes=3, seed=0, weights_seed=0, **kwargs):
    """The method `name`, with small heads."""
    if name in WITHOUT_CHANCE:
        kwargs = {**WITHOUT_CHANCE[name], **kwargs}
        model = make(name.removesuffix(" without chance"), views, num_classes, seed, weights_seed, **kwargs)
        if hasattr(model, "directions"):
            shape = model.arguments.projection_dim, model.arguments.num_directions
            drawn = np.random.default_rng(0).normal(size=shape)
            model.directions = lambda training: keras.ops.convert_to_tensor(drawn, "float32")
        if hasattr(model, "draw_mixing"):
            model.draw_mixing = lambda batch, training: (0.3, keras.ops.flip(keras.ops.arange(batch)))
        if hasattr(model, "elastic_network"):
            model.elastic_network = lambda training: (8, keras.ops.convert_to_tensor([1.0, 0.0]))
        if hasattr(model, "draw_noise"):
            # The numbers of predictions.
            model.draw_noise = lambda training: None
        if hasattr(model, "visible_patches"):
            model.visible_patches = lambda anchors, crops, training: keras.ops.tile(
                keras.ops.arange(13), (anchors, keras.ops.shape(crops)[0], 1)
            )
        return model
    keras.utils.set_random_seed(weights_seed)
    common = {"views": views, "num_classes": num_classes, "seed": seed}
    if name in ("SSLD", "RKD", "SEED"):
        teacher = kerassl.methods.SimCLR(tiny_encoder(6), projection_dim=8)
        small = {"queue_size": 20, "hidden_dim": 16} if name == "SEED" else {}
        return getattr(kerassl.distillation, name)(teacher, tiny_encoder(3), **{**common, **small, **kwargs})
    if name in ("DistilledClassifier", "MEALV2"):
        teachers = [
            kerassl.classifiers.Classifier(tiny_encoder(width), num_classes=num_classes or 3)
            for width in ((6, 5) if name == "MEALV2" else (6,))
        ]
        return getattr(kerassl.distillation, name)(teachers, tiny_encoder(3), **{**common, **kwargs})
    if name == "NKD":
        teacher = kerassl.classifiers.Classifier(tiny_encoder(6), num_classes=num_classes)
        return kerassl.distillation.NKD(teacher, tiny_encoder(3), **{**common, "temperature": 2.0, **kwargs})
    if name in ("USKD", "PSKD", "SLA", "LSSKD", "FST"):
        encoder = tiny_encoder()
        small = {
            "USKD": {"layer": encoder.layers[3].name},
            "PSKD": {"num_images": 24},
            "SLA": {"self_distillation": True},
            "LSSKD": {"layers": (encoder.layers[3].name,)},
            "FST": {"num_virtual_steps": 2},
        }[name]
        return getattr(kerassl.distillation, name)(encoder, **{**common, **small, **kwargs})
    if name in CLASSIFIERS:
        encoder = tiny_encoder(pool=not name.endswith("ProtoPNet"))
        return getattr(kerassl.classifiers, name)(encoder, **{**common, **CLASSIFIERS[name], **kwargs})
    if name == "DINO":
        if views == "default":
            common["views"] = kerassl.views.preset("dino_cifar", 16, num_local_crops=2)
        small = {"num_prototypes": 16, "hidden_dim": 16, "bottleneck_dim": 8, "freeze_last_layer_epochs": 0}
        return kerassl.methods.DINO(tiny_vit(), **{**common, **small, **kwargs})
    if name == "Mugs":
        if views == "default":
            common["views"] = kerassl.views.preset("dino_cifar", 16, num_local_crops=2)
        small = {"num_prototypes": 16, "hidden_dim": 16, "bottleneck_dim": 8, "freeze_last_layer_epochs": 0}
        small |= {"queue_size": 20, "memory_size": 12, "num_neighbors": 3, "prediction_hidden_dim": 16}
        return kerassl.methods.Mugs(tiny_vit(), **{**common, **small, **kwargs})
    if name in ("iBOT", "DINOv2", "POA"):
        if views == "default":
            common["views"] = kerassl.views.preset("ibot_cifar", 16, num_local_crops=2)
        small = {"num_prototypes": 16, "hidden_dim": 16, "bottleneck_dim": 8, "freeze_last_layer_epochs": 0}
        if name == "POA":
            small |= {"num_prototypes": (16, 12), "patch_start_epoch": 0}
        return getattr(kerassl.methods, name)(tiny_vit(), **{**common, **small, **kwargs})
    if name in ("MSN", "PMSN"):
        if views == "default":
            common["views"] = kerassl.views.preset("msn_cifar", 16, num_local_crops=2)
        small = {"num_prototypes": 16, "hidden_dim": 16, "projection_dim": 8, "momentum": 0.9}
        return getattr(kerassl.methods, name)(tiny_vit(), **{**common, **small, **kwargs})
    if name == "UNFUSED":
        teacher, student = kerassl.methods.SimCLR(tiny_encoder(6), projection_dim=8), tiny_encoder(3)
        small = {"num_images": 24, "num_clusters": 5, "layers": (student.layers[3].name,), "whitened_dim": 6}
        return kerassl.distillation.UNFUSED(teacher, student, **{**common, **small, **kwargs})
    if name == "FurtherPretraining":
        teacher, student = (make("MAE", weights_seed=weights_seed + seed) for seed in (1, 0))
        return kerassl.distillation.FurtherPretraining(teacher, student, **{**common, **kwargs})
    if name == "MAE":
        small = {"decoder_dim": 16, "decoder_depth": 1, "decoder_num_heads": 2}
        return kerassl.methods.MAE(tiny_vit(), **{**common, **small, **kwargs})
    amcl = {
        "num_heads": 2,
        "projection_dim": 8,
        "hidden_dim": 16,
        "temperature_hidden_dim": 8,
        "min_temperature": 0.05,
        "max_temperature": 0.5,
    }
    small = {
        "SimCLR": {"projection_dim": 8},
        "BarlowTwins": {"projection_dim": 12, "hidden_dim": 12},
        "MixedBarlowTwins": {"projection_dim": 12, "hidden_dim": 12},
        "WMSE": {"projection_dim": 3, "hidden_dim": 12, "subbatch_size": 4},
        "VICReg": {"projection_dim": 12, "hidden_dim": 12},
        "VIbCReg": {"projection_dim": 12, "hidden_dim": 12, "num_groups": 4},
        "VICRegL": {"projection_dim": 12, "hidden_dim": 12, "local_dim": 8, "num_matches": 5},
        "BYOL": {"projection_dim": 8, "hidden_dim": 16, "momentum": 0.9},
        "SupCon": {"projection_dim": 8},
        "DeepClusterV2": {
            "num_images": 24,
            "num_prototypes": 6,
            "num_heads": 2,
            "hidden_dims": (16,),
            "projection_dim": 8,
        },
        "PCL": {
            "num_images": 24,
            "num_prototypes": (5, 8),
            "num_negative_prototypes": 8,
            "warmup_epochs": 0,
            "projection_dim": 8,
            "queue_size": 20,
            "momentum": 0.9,
        },
        "SMoG": {
            "num_groups": 6,
            "reset_updates": 3,
            "bank_size": 16,
            "hidden_dim": 16,
            "projection_dim": 8,
            "momentum": 0.9,
        },
        "SwAV": {
            "num_prototypes": 16,
            "hidden_dims": (16,),
            "projection_dim": 8,
            "queue_size": 16,
            "queue_start_epoch": 0,
            "freeze_prototypes_updates": 0,
        },
        "DCL": {"projection_dim": 8},
        "DCLW": {"projection_dim": 8},
        "MoCoV2": {"projection_dim": 8, "queue_size": 20, "momentum": 0.9},
        "All4One": {
            "projection_dim": 8,
            "hidden_dim": 16,
            "prediction_hidden_dim": 16,
            "queue_size": 20,
            "momentum": 0.9,
            "num_neighbors": 3,
            "transformer_depth": 1,
            "num_heads": 2,
            "dropout": 0.0,
        },
        "MoCHi": {
            "projection_dim": 8,
            "queue_size": 20,
            "momentum": 0.9,
            "num_hardest": 4,
            "num_mixed": 3,
            "num_query_mixed": 2,
            "mixing_start_epoch": 0,
        },
        "DenseCL": {
            "projection_dim": 8,
            "queue_size": 20,
            "momentum": 0.9,
            "dense_warmup_updates": 0,
        },
        "RandomTeacher": {"locality": 0.3, "output_dim": 16, "hidden_dim": 16, "bottleneck_dim": 8},
        "ScatSimCLR": {"projection_dim": 8},
        "ReSSL": {"projection_dim": 8, "hidden_dim": 16, "queue_size": 20, "momentum": 0.9},
        "GSimCLR": {"projection_dim": 8, "num_clusters": 4, "autoencoder_epochs": 1},
        "SimCLRv2": {"projection_dim": 8},
        "CACR": {"projection_dim": 8},
        "SogCLR": {"num_images": 24, "projection_dim": 8, "hidden_dim": 16},
        "iSogCLR": {
            "num_images": 24,
            "projection_dim": 8,
            "hidden_dim": 16,
            "robustness": 0.4,
            "temperature_learning_rate": 0.03,
        },
        "AMCL": amcl,
        "AMCLBarlowTwins": {"num_heads": 2, "projection_dim": 6, "hidden_dim": 12},
        "AMCLMoCo": {**amcl, "queue_size": 20, "momentum": 0.9},
        "LOOK": {"projection_dim": 8, "queue_size": 20, "momentum": 0.9, "num_neighbors": 5},
        "GroCo": {"projection_dim": 8, "num_negatives": 3},
        "DirectPred": {"projection_dim": 8, "hidden_dim": 16, "momentum": 0.9},
        "DirectSet": {"projection_dim": 8, "hidden_dim": 16, "momentum": 0.9},
        "DirectCopy": {"projection_dim": 8, "hidden_dim": 16, "momentum": 0.9},
        "EMPSSL": {"num_patches": 3, "projection_dim": 8, "hidden_dim": 16},
        "FroSSL": {"projection_dim": 8, "hidden_dim": 16},
        "LeJEPA": {"num_directions": 12, "projection_dim": 8, "hidden_dim": 16},
        "VISReg": {
            "num_views": 2,
            "num_global_views": 2,
            "num_directions": 12,
            "projection_dim": 8,
            "hidden_dim": 16,
        },
        "DirectCLR": {"subvector_dim": 5},
        "MSBReg": {"projection_dim": 8, "hidden_dim": 16, "momentum": 0.9},
        "MMCR": {"projection_dim": 8, "hidden_dim": 16},
        "TiCo": {"projection_dim": 8, "hidden_dim": 16, "momentum": 0.9},
        "MoCoV3": {"projection_dim": 8, "hidden_dim": 16, "momentum": 0.9},
        "NNCLR": {"projection_dim": 8, "hidden_dim": 16, "prediction_hidden_dim": 16, "queue_size": 20},
        "NNBYOL": {"projection_dim": 8, "hidden_dim": 16, "momentum": 0.9, "queue_size": 20},
        "NNSiam": {"projection_dim": 8, "prediction_hidden_dim": 16, "queue_size": 20},
        "FastSiam": {"projection_dim": 8, "prediction_hidden_dim": 16},
        "SimSiam": {"projection_dim": 8, "prediction_hidden_dim": 16},
    }[name]
    encoder = tiny_vit() if name == "MoCoV3" else tiny_encoder(pool=name not in ("DenseCL", "VICRegL"))
    return getattr(kerassl.methods, name)(encoder, **{**common, **small, **kwargs})


def images(n=24, seed=0):
    """uint8 images with structure: one random colour gradient each."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 1, 16)[None, :, None, None]
    low, high = rng.uniform(0, 255, (2, n, 1, 1, 3))
    noise = rng.normal(0, 10, (n, *SHAPE))
    return np.clip(low + (high - low) * ramp + noise, 0, 255).astype("uint8")


def labels(n=24):
    """Three classes."""
    return (np.arange(n) % 3).astype("int32")


def ready_views(name, n=8, seed=0, indices=None):
    """Normalised views as the method takes them with `views=None`, float32; with indices if it needs them."""
    name = name.removesuffix(" without chance")
    rng = np.random.default_rng(seed)

    indices = np.arange(n, dtype="int32") if indices is None else np.asarray(indices, "int32")

    def view(size=16):
        return rng.normal(size=(n, size, size, 3)).astype("float32")

    if name in ("MAE", "FurtherPretraining"):
        return view(), np.argsort(rng.uniform(size=(n, 16)), axis=1).astype("int32")
    if name in ("DINO", "MSN", "PMSN", "Mugs"):
        return view(), view(), view(8), view(8)
    if name in ("iBOT", "DINOv2", "POA"):
        # One crop in two is masked.
        shares = rng.uniform(size=(2, n, 1)) * (rng.uniform(size=(2, n, 1)) < 0.5)
        masks = rng.uniform(size=(2, n, 16)) < shares
        return view(), view(), view(8), view(8), *masks
    if name == "SwAV":
        return view(), view(), view(), view()
    if name == "VICRegL":
        boxes = rng.uniform([0, 0, 8, 8, 0], [8, 8, 16, 16, 2], size=(2, n, 5)).astype("float32")
        boxes[..., 4] = boxes[..., 4] > 1
        return view(), view(), *boxes
    one_view = (
        "SSLD", "RKD", "SEED", "RandomTeacher", "NKD", "USKD", "SLA", "LSSKD", "DistilledClassifier",
        "MEALV2",
    )  # fmt: skip
    if name in one_view or name in CLASSIFIERS and name != "PALM":
        return (view(),)
    if name in ("PSKD", "UNFUSED"):
        return {"inputs": (view(),), "sample_index": indices}
    if name in ("SogCLR", "iSogCLR", "DeepClusterV2", "PCL"):
        return {"inputs": (view(), view()), "sample_index": indices}
    if name == "FastSiam":
        return view(), view(), view()
    return view(), view()


def terms_and_rest(model, data, labels=None, training=True):
    """The loss terms of ready views, and all else that a step hands on, by name."""
    batch = unpack_batch((data,))
    views = batch.inputs if isinstance(batch.inputs, tuple) else (batch.inputs,)
    outputs = model.loss_terms(views, Batch(views, labels, batch.indices), training)
    rest = {name: value for name, value in outputs._asdict().items() if name not in ("terms", "state")}
    return outputs.terms, {name: value for name, value in rest.items() if value is not None} | outputs.state


def accuracy_of(model):
    """The name of the accuracy in the logs: a classifier's own, or that of the online probe."""
    return "accuracy" if hasattr(model, "classify") else "probe_accuracy"


def state(model):
    """All of a model's weights, by path, as arrays."""
    return {variable.path: keras.ops.convert_to_numpy(variable) for variable in model.weights}
