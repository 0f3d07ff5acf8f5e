"""Every method, made small enough to train in a test.

What makes a method small stands in the file of its tests, `TINY = {"SimCLR": {...}}`, with the keys

- `arguments`: of the constructor;
- `encoder`: "features" (the default), "feature map" or "tokens";
- `teacher`: the method that made the teacher, and `teacher_widths` for several teachers;
- `views`: name and options of its usual views, where the class's own are too many;
- `sizes`: of ready views, `(16, 16)` by default, and `with`, what comes beside them;
- `without_chance`: arguments with which the method draws no numbers, since each backend has its own.
"""

import ast
import pathlib

import keras
import numpy as np

import kerassl
from kerassl.batch import Batch, unpack_batch

SHAPE = (16, 16, 3)
TESTS = pathlib.Path(__file__).parents[1]


def collected():
    """`TINY` of every file of tests, together, read without running them."""
    found = {}
    for room in ("methods", "classifiers", "distillation"):
        for path in sorted((TESTS / room).rglob("test_*.py")):
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "TINY":
                    found |= ast.literal_eval(node.value)
    return found


TINY = collected()
METHODS = tuple(TINY)
WITHOUT_CHANCE = tuple(f"{name} without chance" for name in METHODS if "without_chance" in TINY[name])


def tiny_encoder(width=4, pool=True):
    """A network with batch norm, from 16 px images to 4 * width features, or to a 4 x 4 map of them."""
    inputs = keras.Input(SHAPE)
    x = keras.layers.Conv2D(width, 3, strides=2, padding="same", use_bias=False)(inputs)
    x = kerassl.engine.batch_norm()(x)
    x = keras.layers.ReLU(name="early")(x)
    x = keras.layers.Conv2D(4 * width, 3, strides=2, padding="same", use_bias=False)(x)
    x = kerassl.engine.batch_norm()(x)
    x = keras.layers.ReLU()(x)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x) if pool else x)


def tiny_vit(**kwargs):
    """A ViT of 16 patches."""
    return kerassl.backbones.vit(SHAPE, patch_size=4, hidden_dim=16, depth=2, num_heads=2, **kwargs)


def method_class(name):
    """The class of a method, classifier or distiller."""
    rooms = kerassl.methods, kerassl.classifiers, kerassl.distillation
    return next(getattr(room, name) for room in rooms if hasattr(room, name))


def make(name, views="default", num_classes=3, seed=0, weights_seed=0, **kwargs):
    """The method `name`, with small heads."""
    if name in WITHOUT_CHANCE:
        name = name.removesuffix(" without chance")
        kwargs = {**TINY[name]["without_chance"], **kwargs}
        return without_chance(make(name, views, num_classes, seed, weights_seed, **kwargs))
    keras.utils.set_random_seed(weights_seed)
    tiny = TINY[name]
    if views == "default" and "views" in tiny:
        preset, options = tiny["views"]
        views = kerassl.views.preset(preset, 16, **options)
    common = {"views": views, "num_classes": num_classes, "seed": seed}
    networks = make_networks(tiny, num_classes, weights_seed)
    return method_class(name)(*networks, **{**common, **tiny.get("arguments", {}), **kwargs})


def make_networks(tiny, num_classes, weights_seed):
    """What the constructor gets first: an encoder, or a teacher or several, and a student."""
    teacher, widths = tiny.get("teacher"), tiny.get("teacher_widths", 6)
    if teacher == "MAE":
        return [make("MAE", weights_seed=weights_seed + seed) for seed in (1, 0)]
    if teacher == "SimCLR":
        return method_class(teacher)(tiny_encoder(widths), projection_dim=8), tiny_encoder(3)
    if teacher == "Classifier":
        several = isinstance(widths, tuple)
        teachers = [
            method_class(teacher)(tiny_encoder(width), num_classes=num_classes or 3)
            for width in (widths if several else (widths,))
        ]
        return teachers if several else teachers[0], tiny_encoder(3)
    if tiny.get("encoder") == "tokens":
        return (tiny_vit(),)
    return (tiny_encoder(pool=tiny.get("encoder") != "feature map"),)


def without_chance(model):
    """A model whose own draws are replaced by numbers."""
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


def images(n=24, seed=0):
    """uint8 images with structure: one random color gradient each."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 1, 16)[None, :, None, None]
    low, high = rng.uniform(0, 255, (2, n, 1, 1, 3))
    noise = rng.normal(0, 10, (n, *SHAPE))
    return np.clip(low + (high - low) * ramp + noise, 0, 255).astype("uint8")


def labels(n=24):
    """Three classes."""
    return (np.arange(n) % 3).astype("int32")


def ready_views(name, n=8, seed=0, indices=None):
    """Normalized views as the method takes them with `views=None`, float32; with indices if it needs them."""
    name = name.removesuffix(" without chance")
    beside, rng = TINY[name].get("with"), np.random.default_rng(seed)
    further = ()
    if beside == "masks":
        # One crop in two is masked.
        shares = rng.uniform(size=(2, n, 1)) * (rng.uniform(size=(2, n, 1)) < 0.5)
        further = rng.uniform(size=(2, n, 16)) < shares
    elif beside == "boxes":
        further = rng.uniform([0, 0, 8, 8, 0], [8, 8, 16, 16, 2], size=(2, n, 5)).astype("float32")
        further[..., 4] = further[..., 4] > 1
    sizes = TINY[name].get("sizes", (16, 16))
    views = [rng.normal(size=(n, size, size, 3)).astype("float32") for size in sizes]
    if beside == "permutation":
        further = [np.argsort(rng.uniform(size=(n, 16)), axis=1).astype("int32")]
    views = (*views, *further)
    if not method_class(name).needs_sample_index:
        return views
    indices = np.arange(n) if indices is None else np.asarray(indices)
    return {"inputs": views, "sample_index": indices.astype("int32")}


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
