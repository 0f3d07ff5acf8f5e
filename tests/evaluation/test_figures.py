import io
import sys

import numpy as np
import pytest

from kerassl.classifiers import Explanation
from kerassl.evaluation import confidence_interval
from kerassl.evaluation.figures import (
    FRAME,
    confusion_figure,
    map_figure,
    neighbors_picture,
    new_figure,
    plane,
    spectrum_figure,
)
from kerassl.evaluation.page import Page
from kerassl.evaluation.pictures import tiles
from recipes.curves import style_axes


def test_the_interval_is_wilsons():
    # The bounds are the shares p at which |accuracy - p| is z standard errors of p.
    for accuracy, count in ((0.3, 50), (0.95, 2000)):
        for bound in confidence_interval(accuracy, count):
            error = np.sqrt(bound * (1 - bound) / count)
            assert abs(accuracy - bound) / error == pytest.approx(1.959964, rel=1e-5)
    assert confidence_interval(1.0, 10)[1] == pytest.approx(1) and confidence_interval(0.0, 10)[0] >= 0
    with pytest.raises(ValueError, match=r"accuracy must be a finite number"):
        confidence_interval(1.2, 10)


def test_the_plane_keeps_the_widest_directions_whatever_the_rotation():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(50, 5)) * [5, 3, 0.1, 0.1, 0.1] + [20, 0, 0, 0, 0]
    places = plane(features)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    centered = unit - unit.mean(0)
    singular = np.linalg.svd(centered, compute_uv=False)
    np.testing.assert_allclose(np.linalg.norm(places, axis=0), singular[:2], rtol=1e-4)
    rotation = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    turned = plane(features @ rotation)
    np.testing.assert_allclose(np.abs(turned), np.abs(places), atol=1e-4)
    assert plane(rng.normal(size=(4, 1))).shape == (4, 2)
    with pytest.raises(ValueError, match='method must be "pca" or "umap"'):
        plane(features, "tsne")


@pytest.mark.backends("torch")  # No backend in it.
def test_a_umap_keeps_groups_together_and_torchs_threads_as_they_are(monkeypatch):
    import torch

    # Nothing is compiled, which takes longer than 24 images do, and what needs TensorFlow is left out.
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    monkeypatch.setitem(sys.modules, "umap.parametric_umap", None)
    rng = np.random.default_rng(0)
    groups = np.arange(24) % 2
    features = np.eye(6)[groups] + 0.05 * rng.normal(size=(24, 6))
    threads = torch.get_num_threads()
    places = plane(features, "umap")
    assert torch.get_num_threads() == threads
    near = np.linalg.norm(places[:, None] - places, axis=-1) + 1e9 * np.eye(24)
    assert (groups[near.argmin(1)] == groups).all()
    with pytest.raises(ValueError, match="needs more than 15 images, got 9"):
        plane(features[:9], "umap")


def test_neighbors_of_another_class_are_framed():
    images = [np.full((24, 24, 3), 200, "uint8")] * 3
    bank, query = np.array([[1.0, 0.0], [1.0, 0.2], [1.0, 0.5]]), np.array([[1.0, 0.0]])
    arguments = {"count": 3, "size": 24, "bank_labels": np.array([1, 0, -1]), "labels": np.array([1])}
    picture = neighbors_picture(bank, images, query, images[:1], **arguments)
    corners = [picture[0, 30 + 26 * i].tolist() for i in range(3)]
    assert corners == [[200] * 3, list(FRAME), [200] * 3]
    assert picture[12, 30 + 26 + 12].tolist() == [200] * 3


def test_neighbors_stand_in_order_of_similarity():
    images = [np.full((4, 4, 1), value, "uint8") for value in (10, 60, 110, 160)]
    bank = np.array([[1.0, 0.0], [1.0, 0.2], [0.0, 1.0], [1.0, 0.5]])
    picture = neighbors_picture(bank, images, np.array([[1.0, 0.0]]), images, count=3, size=4)
    row = picture[0, :, 0].tolist()
    assert row[:4] == [10] * 4 and row[4:10] == [255] * 6
    assert [row[10], row[16], row[22]] == [10, 60, 160]


def test_confusion_leaves_unlabeled_images_out_and_names_classes():
    figure = confusion_figure([0, 1, 1, 2], [0, 0, -1, 2], ["cat", "dog", "emu"])
    axes = figure.axes[0]
    assert axes.images[0].get_array().tolist() == [[50, 50, 0], [0, 0, 0], [0, 0, 100]]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["cat", "dog", "emu"]
    assert sorted(text.get_text() for text in axes.texts) == ["100", "50", "50"]


def test_a_line_for_each_encoder_and_a_dot_for_each_image():
    rng = np.random.default_rng(0)
    figure = spectrum_figure({"a": rng.normal(size=(30, 6)), "b": rng.normal(size=(30, 4))})
    assert [len(line.get_xdata()) for line in figure.axes[0].lines] == [6, 4]
    images, labels = np.zeros((30, 8, 8, 3), "uint8"), np.arange(30) % 3 - 1
    picture = map_figure(rng.normal(size=(30, 6)), images, labels, ["x", "y"], thumbnails=5)
    axes = picture.axes[0]
    assert [len(dots.get_offsets()) for dots in axes.collections] == [10, 10, 10]
    assert len(axes.artists) == 5


def test_a_page_escapes_what_it_is_given_and_holds_everything_itself(tmp_path):
    figure = new_figure(2, 2)
    figure.add_subplot().plot([0, 1])
    page = Page("<b>", "a & b").section("One & two").table({"r": {"c": "<script>"}, "s": {}}, "x")
    page.figure(figure, "lines").picture(tiles([np.zeros((2, 2, 3))], 1, size=4), '"quoted"')
    text = page.save(tmp_path / "deep" / "page.html").read_text()
    assert "<script>" not in text and "&lt;script&gt;" in text and "<td>-</td>" in text
    assert 'alt="&quot;quoted&quot;"' in text and '<a href="#s1">One &amp; two</a>' in text
    assert text.count("<svg") == 1 and "data:image/png;base64," in text


def test_names_are_no_formulas_and_nothing_is_cut():
    names = ["$x_{$", "a class with a name of forty letters, or so", "caf\udce9", "d"]
    rng, labels = np.random.default_rng(0), np.arange(12) % 4
    features = rng.normal(size=(12, 4))
    figures = (
        map_figure(features, np.zeros((12, 8, 8, 1)), labels, names),
        confusion_figure(labels, labels, names),
        spectrum_figure({names[0]: features, names[2]: features}),
    )
    for figure in figures:
        stream = io.BytesIO()
        figure.savefig(stream, format="png")
        assert stream.getvalue()[:4] == b"\x89PNG"
    (legend,) = figures[0].legends
    box = legend.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figures[0].bbox.x1 and box.y0 >= 0


def test_labels_that_are_large_numbers_make_a_small_confusion():
    shares = confusion_figure(np.array([0, 2**30]), np.array([0, 2**30])).axes[0].images[0]
    assert shares.get_array().tolist() == [[100.0, 0.0], [0.0, 100.0]]


def test_words_and_heat_under_pictures():
    gray = np.full((1, 8, 8, 1), 128, "uint8")
    maps = np.zeros((1, 2, 2), "float32")
    maps[0, 0, 0] = 1.0
    explanation = Explanation(
        gray[0], 0, np.array([0]), np.array([0.9], "float32"), gray, maps, np.array([0.5]), 0.75
    )
    picture = explanation.picture(64, ["cat"], label=0)
    below = picture[64:128, 68:]
    # Red where the map is high, blue elsewhere.
    assert below[0, 0, 0] > below[0, 0, 2] and below[-1, -1, 2] > below[-1, -1, 0]
    assert (picture[128:] < 100).any(), "there are words"
    assert explanation.summary(["cat"]) == "cat (0.90)" and explanation.summary() == "0 (0.90)"


def test_curves_have_ticks_at_whole_epochs_and_say_which_way_is_good():
    figure = new_figure()
    axes = figure.add_subplot()
    axes.plot([1, 2], [0.3, 0.4])
    style_axes(axes, "knn_k20_t0.1")
    figure.canvas.draw()
    assert all(tick == int(tick) for tick in axes.get_xticks())
    assert axes.get_title("right") == "higher is better"
