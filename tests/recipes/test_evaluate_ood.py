"""`recipes.evaluate` against a second data set, and with few labels. Nothing in it is a backend's."""

import keras
import numpy as np
import pytest

import kerassl
from recipes import evaluate

pytestmark = pytest.mark.backends("torch")
SETTINGS = {"dataset": "digits", "limit_train": 300, "limit_test": 120}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A .keras file of an untrained encoder."""
    keras.utils.set_random_seed(0)
    resnet = kerassl.backbones.ResNet((8, 8, 1), depths=(1,), width=4, stem="small")
    path = tmp_path_factory.mktemp("ood") / "resnet"
    return str(kerassl.methods.SimCLR(resnet, views="digits").export_encoder(path, format="keras"))


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """A data set of noise, of another size than the digits."""
    path = tmp_path_factory.mktemp("ood") / "noise.npz"
    np.savez(path, images=np.random.default_rng(0).integers(0, 256, (200, 12, 12, 1)).astype("uint8"))
    return f"npz:{path}"


def test_noise_is_told_from_digits_by_scores_of_the_bank(encoder, noise, tmp_path, capsys):
    page = tmp_path / "report.html"
    rows = evaluate.run(encoder=encoder, ood=noise, protocols="knn", report=str(page), **SETTINGS)
    assert "OOD: 40 images of npz:" in capsys.readouterr().out
    assert list(rows) == ["raw pixels", "random encoder", "trained encoder"]
    kinds = ("Mahalanobis", "kNN k50", "probability")
    columns = [f"OOD {kind} {number}" for kind in kinds for number in ("AUROC", "FPR95")]
    for row in rows.values():
        assert list(row) == ["kNN k20 t0.1", *columns]
        assert all(0 <= row[name] <= 1 for name in columns)
    assert rows["raw pixels"]["OOD kNN k50 AUROC"] == 1 and rows["raw pixels"]["OOD kNN k50 FPR95"] == 0
    assert rows["trained encoder"]["OOD Mahalanobis AUROC"] > 0.9
    text = page.read_text()
    assert "OOD Mahalanobis AUROC" in text and "another data set told by its distance from the bank" in text


def test_shares_of_the_labels_and_episodes_are_in_the_table(encoder):
    rows = evaluate.run(
        encoder=encoder, protocols="linear_1pct,linear_10pct,linear,episodes,transductive", **SETTINGS
    )
    row = rows["raw pixels"]
    shots = ("5-way 1-shot q11", "5-way 5-shot q7")
    names = [shot + kind for kind in ("", ", Laplacian", ", k-means") for shot in shots]
    assert list(row) == ["linear, 1 %", "linear, 10 %", "linear", *names]
    assert row["linear, 1 %"][0] < row["linear, 10 %"][0] < row["linear"]
    assert all(0 < row[name][1] < 0.05 for name in names)
    assert row[shots[0]][0] < row[f"{shots[0]}, Laplacian"][0]


def test_what_does_not_fit_is_refused(encoder, tmp_path):
    np.savez(tmp_path / "color.npz", images=np.zeros((20, 8, 8, 3), "uint8"))
    with pytest.raises(ValueError, match="have 3 channels, those of digits 1: both must have as many"):
        evaluate.run(encoder=encoder, ood=f"npz:{tmp_path / 'color.npz'}", protocols="knn", **SETTINGS)
