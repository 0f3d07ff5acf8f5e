"""Runs on unlabeled images that are measured on another data set, and reports that are tried first."""

import json

import numpy as np
import pytest

from recipes import evaluate, pretrain
from recipes.report import try_target

pytestmark = pytest.mark.backends("torch")  # Nothing of a backend in it.


def test_unlabeled_images_are_measured_on_a_labeled_set(tmp_path, capsys):
    images = np.random.default_rng(0).integers(0, 256, (32, 8, 8, 1), dtype="uint8")
    np.savez(tmp_path / "bare.npz", images=images)
    options = {
        "dataset": f"npz:{tmp_path}/bare.npz", "epochs": 1, "batch_size": 16, "width": 4, "views": "digits",
        "saved_model": False, "verbose": 0, "eval_images": 60,
    }  # fmt: skip
    rows = pretrain.run(workdir=str(tmp_path / "run"), eval_dataset="digits", **options)
    assert "kNN k20 t0.1" in rows["trained encoder"] and "linear" in rows["random encoder"]
    assert not any(name.startswith("RankMe") for name in rows["raw pixels"])
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["eval_dataset"] == "digits"
    assert "Frozen features of digits, 60 images" in (tmp_path / "run" / "encoder.md").read_text()
    with pytest.raises(ValueError, match="--eval_dataset=npz:.* must have labels and held-out images"):
        pretrain.run(workdir=str(tmp_path / "other"), eval_dataset=options["dataset"], **options)


def test_a_report_that_cannot_be_written_is_refused_before_the_computing(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="--report=.*cannot be written"):
        evaluate.run(encoder="nothing.keras", dataset="digits", report=f"{tmp_path}/file/page.html")
    with pytest.raises(ValueError, match="must be an .html file"):
        evaluate.run(encoder="nothing.keras", dataset="digits", report=f"{tmp_path}/page.pdf")
    assert try_target(f"{tmp_path}/new/page.html").parent.is_dir()
    assert not list((tmp_path / "new").iterdir())
