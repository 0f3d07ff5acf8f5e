r"""Images per second of the views of a recipe, kerassl against torchvision's v2 transforms, on one core each.

    KERAS_BACKEND=tensorflow taskset -c 0 python -m benchmarks.views --recipe=all --size=32,96,224

Both sides start from raw uint8 images of `--input_size` and end with normalized float32 tensors of all the
views of the recipe (both of two, or all crops); decoding is left out. torchvision has the same crop, flip,
jitter, grayscale, blur, solarize and normalization, one image at a time, as a data-loader worker would: once
on Pillow images and once on uint8 tensors; the ratio is to the faster. Only kerassl draws MAE's permutation
of patches. Reported: the median of `--rounds` interleaved rounds of `--images` images. On JAX and TensorFlow
the views are compiled; torch runs them eagerly.
"""

import os
import sys
import time
from importlib import import_module

# One core for both sides; must be set before a backend is imported.
os.environ.update(
    OMP_NUM_THREADS="1",
    XLA_FLAGS=f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false",
    TF_NUM_INTRAOP_THREADS="1",
    TF_NUM_INTEROP_THREADS="1",
    TF_CPP_MIN_LOG_LEVEL="3",
)

import keras  # noqa: E402
import numpy as np  # noqa: E402
from absl import app, flags  # noqa: E402
from keras import ops  # noqa: E402

from benchmarks import results_file  # noqa: E402
from kerassl import views  # noqa: E402
from kerassl.engine import StepSeed  # noqa: E402

# Presets that are others under their method's name.
ALIASES = ("barlow_twins", "barlow_twins_cifar")

FLAGS = flags.FLAGS
flags.DEFINE_list("recipe", "simclr_cifar", "Names of presets of kerassl.views, or all.")
flags.DEFINE_list("size", "32", "Heights and widths of the views in pixels.")
flags.DEFINE_integer("input_size", None, "Height and width of the raw images in pixels; default: --size.")
flags.DEFINE_integer("batch_size", None, "Images per call of ours; default: 256, or 32 above 64 pixels.")
flags.DEFINE_integer("images", None, "Images per round; default: 1,024, or 128 above 64 pixels.")
flags.DEFINE_integer("rounds", 5, "Interleaved rounds.")
flags.DEFINE_string("torchvision_path", None, "Folder that holds torchvision, if it is not installed.")
flags.DEFINE_string("output", None, "JSON file to write.")


def views_of(layer) -> list:
    """The layer of each view of a preset, in order."""
    if isinstance(layer, views.MultiCrop):
        return [*layer.global_crops, *layer.local_crops]
    if isinstance(layer, views.TwoViews):
        return [layer.view1, layer.view2]
    return [layer.view if isinstance(layer, (views.MaskedView, views.OneView)) else layer]


def compiled_views(view) -> dict:
    """Our views under each compilation of the backend, as functions of (images, step)."""

    def call(images, step):
        return view(images, seed=StepSeed(0, step))

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return {
            "kerassl, TensorFlow graph": tf.function(call),
            "kerassl, TensorFlow XLA": tf.function(call, jit_compile=True),
        }
    if backend == "jax":
        import jax

        return {"kerassl, JAX": jax.jit(call)}
    return {"kerassl, torch eager": call}


def import_transforms():
    """`torchvision.transforms.v2` and its version, or two times `None` if it cannot be imported."""
    if FLAGS.torchvision_path:
        sys.path.append(FLAGS.torchvision_path)
    try:
        import torch

        torch.set_num_threads(1)
        # First, for where torchvision's compiled operators are those of another torch build.
        import_module("benchmarks.import_torchvision")
        from torchvision.transforms import v2
    except ImportError as error:
        print(f"Without torchvision, ours alone: {error}")
        return None, None
    return v2, __import__("torchvision").__version__


def torchvision_transform(transforms, view, from_tensor: bool):
    """The same view in torchvision, on a Pillow image or on a uint8 tensor."""
    import torch

    modes = transforms.InterpolationMode
    steps = [
        transforms.RandomResizedCrop(
            view.size,
            view.scale,
            view.ratio,
            modes.BICUBIC if view.interpolation == "bicubic" else modes.BILINEAR,
            antialias=True,
        )
    ]
    if view.flip:
        steps.append(transforms.RandomHorizontalFlip(view.flip))
    strengths = (view.brightness, view.contrast, view.saturation, view.hue)
    if any(strengths):
        steps.append(transforms.RandomApply([transforms.ColorJitter(*strengths)], view.jitter_probability))
    if view.grayscale_probability:
        steps.append(transforms.RandomGrayscale(view.grayscale_probability))
    if view.blur_probability:
        kernel = view.blur_kernel_size or 2 * max(1, view.size[0] // 10 // 2) + 1
        steps.append(
            transforms.RandomApply([transforms.GaussianBlur(kernel, view.blur_sigma)], view.blur_probability)
        )
    if view.solarize_probability:
        steps.append(transforms.RandomSolarize(128, view.solarize_probability))
    mean, std = (v or d for v, d in ((view.mean, views.IMAGENET_MEAN), (view.std, views.IMAGENET_STD)))
    first = [] if from_tensor else [transforms.ToImage()]
    steps += [*first, transforms.ToDtype(torch.float32, scale=True), transforms.Normalize(mean, std)]
    return transforms.Compose(steps)


def smooth_images(count: int, size: int) -> np.ndarray:
    """uint8 images with the smoothness of photographs, upsampled from noise."""
    noise = np.random.default_rng(0).integers(0, 256, (count, size // 4 + 1, size // 4 + 1, 3), dtype="uint8")
    return noise.repeat(4, axis=1).repeat(4, axis=2)[:, :size, :size]


def measure(recipe: str, size: int) -> dict:
    """Times both sides on one preset and prints the results."""
    large = size > 64
    batch_size = FLAGS.batch_size or (32 if large else 256)
    count = FLAGS.images or (128 if large else 1024)
    extra = {"num_patches": 16} if recipe == "mae" else {}
    layer = views.preset(recipe, size, **extra)
    input_size = FLAGS.input_size or size
    images = smooth_images(count, input_size)
    batches = [ops.convert_to_tensor(images[i : i + batch_size]) for i in range(0, count, batch_size)]
    runs = {}
    for name, function in compiled_views(layer).items():

        def run(function=function):
            for step, batch in enumerate(batches):
                # The copy to NumPy waits for the result.
                made = function(batch, ops.convert_to_tensor(step, "int32"))
                first = made[0] if isinstance(made, (tuple, list)) else made
                ops.convert_to_numpy(first[0, 0, 0, 0])

        runs[name] = run
    transforms, torchvision_version = import_transforms()
    if transforms is not None:
        import torch
        from PIL import Image

        sources = {
            "torchvision v2, Pillow": [Image.fromarray(image) for image in images],
            "torchvision v2, tensors": list(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()),
        }
        for name, pictures in sources.items():
            from_tensor = "tensors" in name
            peers = [torchvision_transform(transforms, view, from_tensor) for view in views_of(layer)]
            runs[name] = lambda pictures=pictures, peers=peers: [
                [peer(picture) for peer in peers] for picture in pictures
            ]

    seconds = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(FLAGS.rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    medians = {name: float(np.median(values)) / count * 1000 for name, values in seconds.items()}
    peer = min((value for name, value in medians.items() if "torchvision" in name), default=None)
    print(f"{recipe}, {input_size} to {size} pixels, one core, batch {batch_size}")
    print(f"{'':28}{'s / 1,000 images':>18}{'images / s':>12}{'x torchvision':>15}")
    for name, value in medians.items():
        ratio = f"{peer / value:15.2f}" if peer else ""
        print(f"{name:28}{value:18.4f}{1000 / value:12.0f}{ratio}", flush=True)
    return {
        "recipe": recipe,
        "views": len(views_of(layer)),
        "size": size,
        "input_size": input_size,
        "batch_size": batch_size,
        "images": count,
        "seconds_per_1000_images": {name: round(value, 4) for name, value in medians.items()},
        "ratio": peer and {n: round(peer / v, 2) for n, v in medians.items() if "torchvision" not in n},
        "rounds_in_seconds": {name: [round(v, 4) for v in values] for name, values in seconds.items()},
        "torchvision": torchvision_version,
    }


def main(_) -> None:
    """Measures every preset at every size and writes the JSON file after each."""
    known = sorted(set(views.PRESETS) - set(ALIASES))
    results = []
    for size in map(int, FLAGS.size):
        for recipe in known if FLAGS.recipe == ["all"] else FLAGS.recipe:
            results.append(measure(recipe, size))
            if FLAGS.output:
                results_file.write(FLAGS.output, {**results_file.describe_run(), "results": results})


if __name__ == "__main__":
    app.run(main)
