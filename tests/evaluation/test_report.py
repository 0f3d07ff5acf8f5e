import keras
import numpy as np
import pytest

from kerassl.data import ImageDataset, load
from kerassl.evaluation import (
    evaluate_features,
    knn_accuracy,
    linear_probe,
    rankme,
    raw_pixels,
    report,
    table,
)


def test_report_on_digits(capsys):
    train, test, info = load("digits", limit_train=300, limit_test=100)
    encoder = keras.Sequential(
        [keras.Input(info.image_shape), keras.layers.Flatten(), keras.layers.Dense(16)]
    )
    rows = report(train, test, {"random encoder": encoder}, draws=5)
    assert list(rows) == ["raw pixels", "random encoder"]
    assert list(rows["raw pixels"]) == ["1-label", "5-label", "kNN k20 t0.1", "linear", "RankMe"]
    bank, queries = raw_pixels(train.images, test.images)
    assert rows["raw pixels"]["kNN k20 t0.1"] == knn_accuracy(bank, train.labels, queries, test.labels) > 0.85
    assert rows["raw pixels"]["linear"] == linear_probe(bank, train.labels, queries, test.labels) > 0.85
    assert rows["raw pixels"]["RankMe"] == rankme(queries)
    assert 0.3 < rows["raw pixels"]["1-label"][0] < rows["raw pixels"]["5-label"][0]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and lines[2].startswith("random encoder  ")
    assert lines[1].index("±") < lines[1].index(f"{rows['raw pixels']['linear']:.3f}")


def test_names_spell_the_settings():
    features, labels = np.repeat(np.eye(3), 6, axis=0), np.repeat([0, 1, 2], 6)
    row = evaluate_features(features, labels, features, labels, shots=(2,), k=3, temperature=0.07, draws=2)
    assert list(row) == ["2-label", "kNN k3 t0.07", "linear", "RankMe"]
    assert row["RankMe"] == pytest.approx(3, abs=1e-3)


def test_raw_pixels_of_large_images_are_means_of_squares():
    """130 pixels are more than twice 64: squares of three, of which 43 fit."""
    images = np.random.default_rng(0).integers(0, 256, (2, 130, 40, 3)).astype("uint8")
    train, test = raw_pixels(images, images[:1])
    assert train.shape == (2, 43 * 13 * 3) and test.shape == (1, 43 * 13 * 3)
    difference = images[0].astype("float64") - images[1]
    expected = difference[3:6, 6:9].mean((0, 1)) / 255
    np.testing.assert_allclose((train[0] - train[1]).reshape(43, 13, 3)[1, 2], expected, atol=1e-6)


def test_raw_pixels_are_centered_by_the_training_mean():
    train = np.random.default_rng(0).integers(0, 255, (20, 3, 3, 2)).astype("uint8")
    bank, queries = raw_pixels(train, train[:5])
    assert bank.shape == (20, 18) and np.abs(bank.mean(0)).max() < 1e-6
    np.testing.assert_array_equal(bank[:5], queries)


def test_table_has_a_dash_for_a_missing_number():
    text = table({"a": {"x": 0.5}, "bb": {"y": (0.25, 0.125)}})
    assert text.splitlines() == ["    x      y", "a   0.500  -", "bb  -      0.250±0.125"]


def test_report_needs_labels():
    data = ImageDataset(np.zeros((4, 3, 3, 1), "uint8"))
    with pytest.raises(ValueError, match="`train` has none"):
        report(data, data, {})
