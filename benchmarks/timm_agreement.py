"""ResNets and ViTs of kerassl with weights of timm, against timm: differences of the features.

    python -m benchmarks.timm_agreement --peer_python=PYTHON --output=timm_agreement.json

Random weights, images of several sizes, for some of which positions are interpolated. Features may differ by
1e-4; the exit status says whether all do, and whether unsupported models are refused.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

import keras
import numpy as np

from benchmarks import results_file
from benchmarks.timm_cases import CASES, NOT_SUPPORTED
from kerassl.backbones import load_timm


def compare(folder: pathlib.Path, name: str) -> dict:
    """The largest difference of the features, and the largest feature."""
    peer = np.load(folder / f"{name}.npz")
    encoder = load_timm(folder / f"{name}.safetensors", image_size=CASES[name])
    found = keras.ops.convert_to_numpy(encoder(peer["images"]))
    difference = np.abs(found - peer["features"]).max()
    return {
        "image_size": CASES[name],
        "difference": float(difference),
        "of": float(np.abs(peer["features"]).max()),
    }


def refusal(folder: pathlib.Path, name: str) -> str:
    """The text of the error; empty if there is none."""
    try:
        load_timm(folder / f"{name}.safetensors")
    except ValueError as error:
        return str(error)
    return ""


def main() -> None:
    """Compares all models, writes the numbers and exits with 1 if one is too far off."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer_python", default=sys.executable, help="a Python that has timm and torch")
    parser.add_argument("--output", default="timm_agreement.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        subprocess.run([arguments.peer_python, "-m", "benchmarks.timm_models", name], check=True)
        folder = pathlib.Path(name)
        results = {case: compare(folder, case) for case in CASES}
        refused = {case: refusal(folder, case) for case in NOT_SUPPORTED}
    for case, result in results.items():
        print(f"{case:28} {result['image_size']:4} {result['difference']:.1e} of {result['of']:.3g}")
    for case, message in refused.items():
        print(f"{case:28} {message}")
    results_file.write(
        arguments.output, {**results_file.describe_run(), "features": results, "refused": refused}
    )
    close = all(result["difference"] <= 1e-4 for result in results.values())
    sys.exit(0 if close and all(refused.values()) else 1)


if __name__ == "__main__":
    main()
