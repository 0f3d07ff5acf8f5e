"""Fine-tuning with layer-wise decay and few labels. Nothing in it is a backend's."""

import json

import keras
import numpy as np
import pytest

import kerassl
from recipes import fine_tune
from recipes.labels import label_share
from recipes.saved import load_run

pytestmark = pytest.mark.backends("torch")
TINY = {"epochs": 2, "batch_size": 16, "labels": "25%", "saved_model": False, "verbose": 0}


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """The workdir of a run, as far as fine-tuning reads it."""
    folder = tmp_path_factory.mktemp("fine") / "run"
    keras.utils.set_random_seed(0)
    vit = kerassl.backbones.vit((8, 8, 1), patch_size=4, hidden_dim=12, depth=2, num_heads=3, name="vit")
    kerassl.methods.SimCLR(vit, views="digits").export_encoder(folder / "encoder", format="keras")
    config = {"dataset": "digits", "data_dir": None, "image_size": None, "limit_train": 120, "limit_test": 64}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def tuned(pretrained, tmp_path_factory):
    """An uninterrupted run and its rows."""
    workdir = tmp_path_factory.mktemp("fine") / "tuned"
    return workdir, fine_tune.run(encoder=str(pretrained), workdir=str(workdir), **TINY)


def test_a_share_of_the_labels_trains_the_whole_encoder(pretrained, tuned):
    workdir, rows = tuned
    assert list(rows) == ["raw pixels", "pretrained encoder", "trained encoder"]
    assert 0 < rows["trained encoder"]["classifier"] < 1
    config = json.loads((workdir / "config.json").read_text())
    assert (config["labels"], config["layer_decay"], config["optimizer"]) == ("25%", 0.75, "adamw")
    train, _, _ = kerassl.data.load("digits", limit_train=120, limit_test=64)
    assert config["about"]["steps_per_epoch"] == -(-len(kerassl.data.label_subset(train.labels, 0.25)) // 16)
    start = keras.models.load_model(pretrained / "encoder.keras").get_layer("vit")
    model = load_run(workdir)
    assert model.arguments.label_smoothing == 0.1
    moved = {
        its.path: np.abs(keras.ops.convert_to_numpy(mine) - keras.ops.convert_to_numpy(its)).mean()
        for mine, its in zip(model.encoder.weights, start.weights, strict=True)
    }
    assert 0 < moved["vit/block1/qkv/kernel"] < moved["vit/block2/qkv/kernel"]


def test_an_interrupted_run_ends_the_same(pretrained, tuned, tmp_path):
    options = {"encoder": str(pretrained), "workdir": str(tmp_path / "run"), **TINY}
    assert fine_tune.run(**options, stop_after=1) is None
    assert fine_tune.run(**options) == tuned[1]
    for mine, its in zip(
        load_run(tmp_path / "run").get_weights(), load_run(tuned[0]).get_weights(), strict=True
    ):
        np.testing.assert_array_equal(mine, its)
    with pytest.raises(ValueError, match="labels is '25%' there, 'all' here; layer_decay is 0.75 there, 1.0"):
        fine_tune.run(**{**options, "labels": "all", "layer_decay": 1.0})


def test_held_out_labels_do_not_reach_what_is_learned(pretrained, tuned, tmp_path, monkeypatch):
    load = kerassl.data.load

    def other_test_labels(*args, **kwargs):
        train, test, info = load(*args, **kwargs)
        test.labels = np.random.default_rng(0).permutation(test.labels)
        return train, test, info

    monkeypatch.setattr(kerassl.data, "load", other_test_labels)
    rows = fine_tune.run(encoder=str(pretrained), workdir=str(tmp_path / "run"), **TINY)
    for mine, its in zip(
        load_run(tmp_path / "run").get_weights(), load_run(tuned[0]).get_weights(), strict=True
    ):
        np.testing.assert_array_equal(mine, its)
    assert rows["trained encoder"]["classifier"] != tuned[1]["trained encoder"]["classifier"]


def test_what_cannot_be_is_refused(pretrained, tmp_path):
    with pytest.raises(ValueError, match="--labels=ten is neither 'all' nor a percentage up to 100%"):
        label_share("ten")
    for text in ("0%", "101%", "10"):
        with pytest.raises(ValueError, match="neither 'all' nor a percentage"):
            label_share(text)
    with pytest.raises(ValueError, match="--dataset is needed with an encoder's file"):
        fine_tune.run(encoder=str(pretrained / "encoder.keras"), workdir=str(tmp_path))


def test_few_labels_cut_the_batch_and_the_updates_are_said(pretrained, tmp_path, capsys):
    few = {**TINY, "labels": "10%", "epochs": 1}
    fine_tune.run(encoder=str(pretrained), workdir=str(tmp_path / "run"), **few)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    said = capsys.readouterr().out
    assert config["batch_size"] < 16 and config["about"]["steps_per_epoch"] >= 4
    assert f"Batches of {config['batch_size']} in place of 16" in said
    assert f"{config['about']['steps_per_epoch']} updates an epoch" in said
