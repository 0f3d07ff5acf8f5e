r"""Images per second of embedding a folder of JPEGs, over those of `predict` on the same images in memory.

    KERAS_BACKEND=tensorflow python -m benchmarks.embedding --output=embedding.json

ResNet-50 on images of 224 pixels, from JPEGs of 320 x 256 that the script makes. Four ways alternate in
each round, in one process, compiled in advance: bare `predict` of the decoded images; the images
in memory by `kerassl.embed`; batches that a generator decodes, by `kerassl.embed`; the folder, by what
`recipes.embed` runs, with its saving of parts. A ratio is the images per second over those of `predict` in
the same round.
"""

import argparse
import pathlib
import statistics
import tempfile
import time

import keras
import numpy as np
from PIL import Image

import kerassl
from benchmarks import results_file
from recipes import embed

SIDES = (256, 320)


def write_photos(folder: pathlib.Path, count: int) -> None:
    """JPEGs with structure at all scales, which take as long to decode as photographs."""
    rng = np.random.default_rng(0)
    for index in range(count):
        pixels = np.zeros((*SIDES, 3))
        for side in (4, 16, 64):
            coarse = Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype="uint8"))
            pixels += np.asarray(coarse.resize(SIDES[::-1], Image.Resampling.BICUBIC)) / 3
        Image.fromarray(pixels.astype("uint8")).save(folder / f"{index:06d}.jpg", quality=90)


def make_encoder(arguments) -> keras.Model:
    """An encoder of raw images, as a run exports it."""
    keras.utils.set_random_seed(0)
    shape = (arguments.image_size, arguments.image_size, 3)
    if arguments.backbone == "vit":
        backbone = kerassl.backbones.vit(shape, size="small", patch_size=16)
    else:
        backbone = getattr(kerassl.backbones, arguments.backbone)(shape, width=arguments.width)
    return kerassl.export.exportable_encoder(kerassl.methods.SimCLR(backbone), arguments.image_size)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="resnet50", choices=("resnet18", "resnet50", "vit"))
    parser.add_argument("--width", type=int, default=64, help="of a ResNet's first stage")
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--count", type=int, default=512)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output")
    arguments = parser.parse_args()
    model, size = make_encoder(arguments), arguments.batch_size
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        write_photos(folder, arguments.count)
        images = embed.find_images(f"folder:{folder}", model, arguments.image_size, None)
        pixels = np.stack([images.read(index) for index in range(len(images))])

        def batches():
            for start in range(0, len(images), size):
                yield np.stack([images.read(i) for i in range(start, min(start + size, len(images)))])

        def whole_folder():
            parts = embed.Parts(folder / "parts", {})
            for stop, features, skipped in embed.embedded(model, images, 0, size, 10_000):
                if features is not None:
                    parts.add(stop, features, skipped)
            features, _ = parts.whole()
            parts.delete()
            return features

        ways = {
            "predict": lambda: model.predict(pixels, batch_size=size, verbose=0),
            "memory": lambda: kerassl.embed(model, pixels, size)[0],
            "generator": lambda: kerassl.embed(model, batches())[0],
            "folder": whole_folder,
        }
        rounds = []
        for index in range(arguments.rounds + 1):
            rates, features = {}, {}
            # Each way follows each other one in turn.
            names = list(ways)[index % len(ways) :] + list(ways)[: index % len(ways)]
            for name in names:
                begin = time.perf_counter()
                features[name] = ways[name]()
                rates[name] = len(images) / (time.perf_counter() - begin)
            # The first round compiles.
            if not index:
                for name in ways:
                    np.testing.assert_allclose(features[name], features["predict"], rtol=1e-3, atol=1e-3)
                continue
            ratios = {f"{name} over predict": rates[name] / rates["predict"] for name in list(ways)[1:]}
            rounds.append({**{name: rates[name] for name in ways}, **ratios})
            print(", ".join(f"{name} {value:.3g}" for name, value in rounds[-1].items()), flush=True)
    medians = {name: round(statistics.median(r[name] for r in rounds), 3) for name in rounds[0]}
    print("medians: " + ", ".join(f"{name} {value:.3g}" for name, value in medians.items()))
    if arguments.output:
        results_file.write(
            arguments.output, {**results_file.describe_run(), "medians": medians, "rounds": rounds}
        )


if __name__ == "__main__":
    main()
