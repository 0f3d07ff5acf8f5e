r"""Held-out digits in the plane, by the features of a network before and after training without labels.

    make pretrain
    python -m benchmarks.digits_map --encoder=runs/digits/encoder.keras --output=docs/images/digits.png

UMAP places the features; each image is drawn in the color of its class, which neither training nor UMAP sees.
Needs the extras "data", "plots" and "umap".
"""

import argparse
import pathlib

import keras
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

import kerassl
from kerassl.evaluation import figures, knn_accuracy
from recipes.evaluate import untrained_twin


def draw(axes, title: str, features: np.ndarray, images: np.ndarray, labels: np.ndarray) -> None:
    """One map in `axes`: images as strokes in the color of their class."""
    places = figures.plane(features, "umap")
    axes.scatter(*places.T, s=0)
    for place, image, label in zip(places, images, labels, strict=True):
        color = np.broadcast_to(to_rgb(f"C{label}"), (*image.shape[:2], 3))
        strokes = np.concatenate([color, image / 255.0], axis=-1)
        axes.add_artist(AnnotationBbox(OffsetImage(strokes, zoom=1.3), place, pad=0, frameon=False))
    axes.set(xticks=[], yticks=[], title=title)


def main() -> None:
    """Writes the picture."""
    parser = argparse.ArgumentParser(description="Draws the map of the digits.")
    parser.add_argument("--encoder", required=True, help="encoder.keras of the run.")
    parser.add_argument("--output", required=True, help="the .png file.")
    arguments = parser.parse_args()

    train, test, _ = kerassl.data.load("digits")
    trained = keras.models.load_model(arguments.encoder)
    keras.utils.set_random_seed(0)
    figure = figures.new_figure(9.0, 4.3)
    encoders = {"Random weights": untrained_twin(trained), "SimCLR, 60 epochs, no labels": trained}
    for axes, (name, encoder) in zip(figure.subplots(1, 2), encoders.items(), strict=True):
        bank, held_out = (kerassl.embed(encoder, part.images)[0] for part in (train, test))
        accuracy = knn_accuracy(bank, train.labels, held_out, test.labels)
        draw(axes, f"{name}: kNN {100 * accuracy:.1f}%", held_out, test.images, test.labels)
    pathlib.Path(arguments.output).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(arguments.output, dpi=90)


if __name__ == "__main__":
    main()
