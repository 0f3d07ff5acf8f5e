r"""Images per second of a view, ours against torchvision's on Pillow images, on one core each.

    KERAS_BACKEND=tensorflow taskset -c 0 python -m benchmarks.views --recipe=simclr_cifar --size=32

Both sides start from raw uint8 images of `--input_size` and end with normalised float32 tensors; decoding
is left out. torchvision has the same crop, flip, jitter, grayscale, blur, solarise and normalisation, one
image at a time, as a data-loader worker would. Reported: the median of `--rounds` interleaved rounds of
`--images` images of the first view of the recipe. On JAX and TensorFlow the view is compiled; torch runs
it eagerly.
"""

import os
import sys
import time

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

FLAGS = flags.FLAGS
flags.DEFINE_string("recipe", "simclr_cifar", "Name of a recipe of kerassl.views.")
flags.DEFINE_integer("size", 32, "Height and width of the views in pixels.")
flags.DEFINE_integer("input_size", None, "Height and width of the raw images in pixels; default: --size.")
flags.DEFINE_integer("batch_size", None, "Images per call of ours; default: 256, or 32 above 64 pixels.")
flags.DEFINE_integer("images", None, "Images per round; default: 2,048, or 128 above 64 pixels.")
flags.DEFINE_integer("rounds", 5, "Interleaved rounds.")
flags.DEFINE_string("torchvision_path", None, "Folder that holds torchvision, if it is not installed.")
flags.DEFINE_string("output", None, "JSON file to write.")


def first_view(layer):
    """The layer of the first view of a recipe."""
    if isinstance(layer, views.MultiCrop):
        return layer.global_crops[0]
    return layer.view1 if isinstance(layer, views.TwoViews) else layer.view


def compiled_views(view) -> dict:
    """Our view under each compilation of the backend, as functions of (images, step)."""

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


def torchvision_transform(view):
    """The same view in torchvision, or `None` if it cannot be imported."""
    if FLAGS.torchvision_path:
        sys.path.append(FLAGS.torchvision_path)
    try:
        import torch

        torch.set_num_threads(1)
        # torchvision's own operators are compiled for one torch build; the transforms need none of them.
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        from torchvision import transforms
    except ImportError as error:
        print(f"Without torchvision, ours alone: {error}")
        return None, None
    modes = transforms.InterpolationMode
    steps = [
        transforms.RandomResizedCrop(
            view.size,
            view.scale,
            view.ratio,
            modes.BICUBIC if view.interpolation == "bicubic" else modes.BILINEAR,
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
    library_version = __import__("torchvision").__version__
    steps += [transforms.ToTensor(), transforms.Normalize(mean, std)]
    # The library object must outlive the import, or its definitions are withdrawn.
    transform = transforms.Compose(steps)
    transform.library = library
    return transform, library_version


def smooth_images(count: int, size: int) -> np.ndarray:
    """uint8 images with the smoothness of photographs, upsampled from noise."""
    noise = np.random.default_rng(0).integers(0, 256, (count, size // 4 + 1, size // 4 + 1, 3), dtype="uint8")
    return noise.repeat(4, axis=1).repeat(4, axis=2)[:, :size, :size]


def main(_) -> None:
    """Times both sides, prints a table and writes the JSON file."""
    large = FLAGS.size > 64
    batch_size = FLAGS.batch_size or (32 if large else 256)
    count = FLAGS.images or (128 if large else 2048)
    extra = {"num_patches": 16} if FLAGS.recipe == "mae" else {}
    view = first_view(views.recipe(FLAGS.recipe, FLAGS.size, **extra))
    images = smooth_images(count, FLAGS.input_size or FLAGS.size)
    batches = [ops.convert_to_tensor(images[i : i + batch_size]) for i in range(0, count, batch_size)]
    runs = {}
    for name, function in compiled_views(view).items():

        def run(function=function):
            for step, batch in enumerate(batches):
                # The copy to NumPy waits for the result.
                ops.convert_to_numpy(function(batch, ops.convert_to_tensor(step, "int32"))[0, 0, 0, 0])

        runs[name] = run
    transform, torchvision_version = torchvision_transform(view)
    if transform is not None:
        from PIL import Image

        pictures = [Image.fromarray(image) for image in images]
        runs["torchvision, Pillow"] = lambda: [transform(picture) for picture in pictures]

    seconds = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(FLAGS.rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    medians = {name: float(np.median(values)) / count * 1000 for name, values in seconds.items()}
    peer = medians.get("torchvision, Pillow")
    input_size = FLAGS.input_size or FLAGS.size
    print(f"{FLAGS.recipe}, {input_size} to {FLAGS.size} pixels, one core, batch {batch_size}")
    print(f"{'':28}{'s / 1,000 images':>18}{'images / s':>12}{'x torchvision':>15}")
    for name, value in medians.items():
        ratio = f"{peer / value:15.2f}" if peer else ""
        print(f"{name:28}{value:18.4f}{1000 / value:12.0f}{ratio}")
    if FLAGS.output:
        result = {
            **results_file.describe_run(),
            "recipe": FLAGS.recipe,
            "size": FLAGS.size,
            "input_size": input_size,
            "batch_size": batch_size,
            "images": count,
            "seconds_per_1000_images": medians,
            "rounds_in_seconds": seconds,
            "torchvision": torchvision_version,
        }
        results_file.write(FLAGS.output, result)


if __name__ == "__main__":
    app.run(main)
