"""SimCLR v2's three steps. Nothing in them is a backend's, and torch has nothing to compile."""

import json

import keras
import numpy as np
import pytest

import kerassl
from recipes import semi_supervised
from recipes.labels import few_labels
from recipes.saved import load_run
from recipes.workdir import read_metrics

pytestmark = pytest.mark.backends("torch")
TINY = {
    "limit_train": 120,
    "limit_test": 64,
    "label_fraction": 0.25,
    "width": 4,
    "epochs": 2,
    "finetune_epochs": 2,
    "distill_epochs": 2,
    "batch_size": 60,
    "finetune_batch_size": 16,
    "saved_model": False,
    "verbose": 0,
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run."""
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    return workdir, semi_supervised.run(workdir=str(workdir), **TINY)


def weights(workdir, step):
    return load_run(workdir / step).get_weights()


def test_three_steps_and_their_table(whole, capsys):
    workdir, rows = whole
    assert list(rows) == ["1 pretrained, linear", "2 fine-tuned", "3 distilled"]
    assert all(0 < row["accuracy"] < 1 for row in rows.values())
    _, test, _ = kerassl.data.load("digits", limit_test=64)
    for step, row in (("finetune", "2 fine-tuned"), ("distill", "3 distilled")):
        model = load_run(workdir / step)
        hits = model.classify(test.images).argmax(axis=1) == test.labels
        assert rows[row]["accuracy"] == pytest.approx(hits.mean())
        lines = read_metrics(workdir / step / "metrics.jsonl")
        assert [line["epoch"] for line in lines] == [1, 2] and "accuracy" in lines[0]
    # The classifier's encoder goes up to the first layer of the head; the student starts as the classifier.
    pretrained = load_run(workdir / "pretrain")
    assert type(pretrained) is kerassl.methods.SimCLRv2
    finetuned, distilled = (load_run(workdir / step) for step in ("finetune", "distill"))
    assert len(finetuned.encoder.weights) == len(pretrained.encoder.weights) + 5
    for mine, its in zip(distilled.teachers[0].weights, finetuned.logits_network().weights, strict=True):
        np.testing.assert_array_equal(*(keras.ops.convert_to_numpy(v) for v in (mine, its)))

    again = semi_supervised.run(workdir=str(workdir), **TINY)
    assert again == rows and "finished. Nothing was trained." in capsys.readouterr().out
    config = json.loads((workdir / "config.json").read_text())
    assert config.pop("about")["num_labels"] == 31
    with pytest.raises(ValueError, match="distill_epochs is 2 there, 3 here"):
        semi_supervised.run(workdir=str(workdir), **{**TINY, "distill_epochs": 3})
    # The later steps began with the first one as it was, so it cannot be lengthened.
    with pytest.raises(ValueError, match="epochs is 2 there, 3 here") as refused:
        semi_supervised.run(workdir=str(workdir), **{**TINY, "epochs": 3})
    assert "--extend" not in str(refused.value)


def test_the_last_layer_starts_at_zero_and_lars_does_not_scale_its_steps():
    encoder = kerassl.backbones.resnet18((8, 8, 1), stem="small", width=4)
    model = semi_supervised.finetuned_classifier(encoder, None, 10, seed=0)
    kernel = model.classifier.kernel
    assert not keras.ops.convert_to_numpy(kernel).any()
    optimizer = kerassl.optimizers.LARS(0.5)
    kernel.assign(np.full(kernel.shape, 0.1))
    optimizer.apply([keras.ops.ones(kernel.shape)], [kernel])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(kernel), 0.1 - 0.5, rtol=1e-6)


def test_stopped_in_each_step_it_ends_the_same(whole, tmp_path):
    for done in ((), ("pretrain",), ("pretrain", "finetune")):
        assert semi_supervised.run(workdir=str(tmp_path), **TINY, stop_after=1) is None
        finished = {path.parent.name for path in tmp_path.glob("*/result.json")}
        assert finished == set(done)
    assert semi_supervised.run(workdir=str(tmp_path), **TINY, stop_after=1) == whole[1]
    for step in ("pretrain", "finetune", "distill"):
        for mine, its in zip(weights(tmp_path, step), weights(whole[0], step), strict=True):
            np.testing.assert_array_equal(mine, its)


def test_a_student_of_another_shape_and_some_labels(whole, tmp_path):
    workdir, _ = whole
    teacher = load_run(workdir / "finetune")
    options = {**TINY, "student_backbone": "resnet18", "student_width": 3, "epochs": 1, "finetune_epochs": 1}
    options |= {"distill_args": {"temperature": 2.0, "distillation_weight": 0.5}, "distill_epochs": 1}
    rows = semi_supervised.run(workdir=str(tmp_path), **options)
    student = load_run(tmp_path / "distill")
    assert student.feature_dim == 24 and teacher.feature_dim == 32 and student.arguments.temperature == 2.0
    (line,) = read_metrics(tmp_path / "distill" / "metrics.jsonl")
    assert {"soft_cross_entropy", "cross_entropy"} <= line.keys() and 0 <= rows["3 distilled"][
        "accuracy"
    ] <= 1


def test_few_labels_are_a_share_of_each_class():
    labels = np.repeat([0, 1, 2, -1], [40, 20, 3, 7])
    images = np.arange(70, dtype="uint8").reshape(70, 1, 1, 1)
    data = kerassl.data.ImageDataset(images, labels, batch_size=20)
    info = kerassl.data.DatasetInfo("these", (1, 1, 1), 3, None, 70, 0)
    few, everything = few_labels(data, info, 0.1, 4, seed=0)
    assert np.bincount(few.labels).tolist() == [4, 2, 1] and few.batch_size == 4
    np.testing.assert_array_equal(few.labels, labels[few.images.ravel()])
    assert everything.num_examples == 70 and everything.batch_size == 20
    known = everything.labels >= 0
    np.testing.assert_array_equal(np.flatnonzero(known), few.images.ravel())
    np.testing.assert_array_equal(everything.labels[known], labels[known])
    other, _ = few_labels(data, info, 0.1, 4, seed=1)
    assert not np.array_equal(other.images, few.images)
    with pytest.raises(ValueError, match=r"must be in \(0, 1\]; got 1.5"):
        few_labels(data, info, 1.5, 4, seed=0)
    bare = kerassl.data.DatasetInfo("bare", (1, 1, 1), None, None, 70, 0)
    with pytest.raises(ValueError, match="bare must have labels and fit in memory"):
        few_labels(data, bare, 0.1, 4, seed=0)
