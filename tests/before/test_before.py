"""What an older version wrote is loaded, and training goes on."""

import json
import pathlib
import shutil

import keras
import numpy as np
import pytest

import kerassl
from recipes import pretrain
from recipes.workdir import read_metrics

HERE = pathlib.Path(__file__).parent
SHAPE = (16, 16, 3)


def images():
    return np.random.default_rng(0).integers(0, 256, (24, *SHAPE), dtype="uint8")


def byol(**options):
    keras.utils.set_random_seed(0)
    encoder = kerassl.backbones.ResNet(SHAPE, depths=(1,), width=4, stem="small")
    model = kerassl.methods.BYOL(encoder, projection_dim=8, hidden_dim=8, **options)
    model.compile(keras.optimizers.SGD(1e-2, momentum=0.9))
    return model


def test_a_model_with_an_objective_goes_on():
    model = keras.models.load_model(HERE / "simclr.keras")
    features = model.predict(images(), verbose=0)
    np.testing.assert_allclose(features, np.load(HERE / "simclr_features.npy"), atol=1e-5)
    assert int(model.clock.step) == 3 and int(model.optimizer.iterations) == 3
    history = model.fit(images(), np.arange(24) % 3, batch_size=8, epochs=1, verbose=0).history
    assert {"nt_xent", "swapped_prototypes", "probe_accuracy"} <= history.keys()
    assert np.isfinite(history["loss"]).all() and int(model.clock.step) == 6


def test_a_checkpoint_goes_on_in_the_middle_of_its_epoch(tmp_path, capsys):
    folder = shutil.copytree(HERE / "byol", tmp_path / "byol")
    model, checkpoint = byol(), kerassl.callbacks.Checkpoint(folder, keep=1)
    history = model.fit(images(), batch_size=4, epochs=3, verbose=0, callbacks=[checkpoint])
    assert "Continuing at epoch 2, batch 4 of 6." in capsys.readouterr().out
    assert history.epoch == [1, 2] and np.isfinite(history.history["loss"]).all()
    assert int(model.clock.step) == 18
    assert [path.name for path in checkpoint.files()] == ["step_00000018.keras"]
    assert checkpoint.restore(byol()).epoch == 3


def test_a_checkpoint_refuses_another_model(tmp_path):
    folder = shutil.copytree(HERE / "byol", tmp_path / "byol")
    with pytest.raises(ValueError, match="does not fit this model: momentum is 0.996 there, 0.9 here"):
        kerassl.callbacks.Checkpoint(folder).restore(byol(momentum=0.9))


def test_a_workdir_goes_on_to_its_end(tmp_path, capsys):
    workdir = shutil.copytree(HERE / "workdir", tmp_path / "workdir")
    config = json.loads((workdir / "config.json").read_text())
    about = config.pop("about")
    rows = pretrain.run(
        workdir=str(workdir), **config, keep_checkpoints=1, saved_model=False, knn_every=9, verbose=0
    )
    printed = capsys.readouterr().out
    assert "Continuing at epoch 2, batch 1 of 2." in printed
    other = keras.backend.backend() != about["backend"]
    assert ("begun on tensorflow and goes on with" in printed) == other
    assert np.isfinite(rows["trained encoder"]["RankMe"])
    first, second = read_metrics(workdir / "metrics.jsonl")
    before = read_metrics(HERE / "workdir" / "metrics.jsonl")
    assert [first] == before and second["epoch"] == 2 and np.isfinite(second["loss"])
