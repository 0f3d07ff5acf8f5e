"""What a workdir holds on to, what it makes again, and runs in it that go on longer."""

import io
import json
import shutil
import socket
import warnings
import zipfile

import h5py
import numpy as np
import pytest
from tiny import images, labels

from kerassl.callbacks import Checkpoint
from kerassl.training.folder_lock import _start_of
from recipes import pretrain
from recipes.workdir import Workdir, read_metrics

once = pytest.mark.backends("torch")

TINY = {
    "backbone": "vit_tiny",
    "width": 12,
    "backbone_args": {"depth": 1, "num_heads": 3},
    "method_args": {"projection_dim": 8},
    "limit_train": 100,
    "limit_test": 40,
    "eval_images": 40,
    "batch_size": 50,
    "verbose": 0,
    "saved_model": False,
    "knn_every": 9,
    "epochs": 2,
}


def state(workdir):
    """All weights and optimizer variables in the newest checkpoint."""
    with zipfile.ZipFile(Checkpoint(workdir / "checkpoints").latest()) as archive:
        content = io.BytesIO(archive.read("model.weights.h5"))
    values = {}
    with h5py.File(content) as file:
        file.visititems(lambda path, item: values.update({path: item}) if hasattr(item, "dtype") else None)
        return {path: item[()] for path, item in values.items()}


def assert_same_state(one, other):
    one, other = state(one), state(other)
    assert one.keys() == other.keys() and len(one) > 50
    for path, value in one.items():
        np.testing.assert_array_equal(value, other[path], err_msg=path)


def begin(folder):
    """A workdir with a checkpoint, by its name."""
    (folder / "checkpoints").mkdir(exist_ok=True)
    (folder / "checkpoints" / "step_00000004.keras").write_bytes(b"")


def test_a_run_that_has_trained_nothing_takes_corrected_settings(tmp_path):
    Workdir(tmp_path, {"width": -4})
    Workdir(tmp_path, {"width": 4})
    assert json.loads((tmp_path / "config.json").read_text()) == {"width": 4}
    begin(tmp_path)
    with pytest.raises(ValueError, match="width is 4 there, 8 here. Choose another --workdir"):
        Workdir(tmp_path, {"width": 8})


def test_a_run_of_several_parts_has_begun_with_its_first(tmp_path):
    Workdir(tmp_path, {"width": 4})
    (tmp_path / "pretrain").mkdir()
    begin(tmp_path / "pretrain")
    with pytest.raises(ValueError, match="width is 4 there, 8 here"):
        Workdir(tmp_path, {"width": 8})


def test_other_data_is_refused_and_another_backend_is_named(tmp_path, capsys):
    about = {"num_train": 240, "class_names": ["a", "b"], "train_data": "12ab", "backend": "jax"}
    Workdir(tmp_path, {"about": about})
    begin(tmp_path)
    for other in ({"num_train": 280}, {"class_names": ["a", "c"]}, {"train_data": "34cd"}):
        with pytest.raises(
            ValueError, match=f"{next(iter(other))} is .* there, .* here.*the data of that run"
        ):
            Workdir(tmp_path, {"about": {**about, **other}})
    Workdir(tmp_path, {"about": {**about, "num_test": 9}})
    assert capsys.readouterr().out == ""
    Workdir(tmp_path, {"about": {**about, "backend": "torch", "kerassl": "9"}})
    assert "was begun on jax and goes on with torch: not bit for bit." in capsys.readouterr().out


@pytest.mark.parametrize("content", ("", '{"width": 4', "[1]"))
def test_a_broken_config_is_named_and_written_anew(tmp_path, content, capsys):
    Workdir(tmp_path, {"width": 4})
    begin(tmp_path)
    (tmp_path / "config.json").write_text(content)
    Workdir(tmp_path, {"width": 4})
    printed = capsys.readouterr().out
    assert str(tmp_path / "config.json") in printed and "written anew" in printed
    assert json.loads((tmp_path / "config.json").read_text()) == {"width": 4}
    (tmp_path / "config.json").write_text(content)
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(ValueError, match="config.json .*Put a whole copy in its place, or choose another"):
        Workdir(tmp_path, {"width": 4})


@pytest.mark.parametrize("content", ("", '{"a', "3"))
def test_a_broken_result_is_named_and_made_again(tmp_path, content, capsys):
    (tmp_path / "result.json").write_text(content)
    workdir = Workdir(tmp_path, {})
    assert not workdir.finished
    assert f"{tmp_path / 'result.json'} " in capsys.readouterr().out
    with pytest.raises(ValueError, match="result.json"):
        print(workdir.result)


def test_broken_metrics_are_named_and_left_out(tmp_path):
    workdir = Workdir(tmp_path, {})
    workdir.metrics.write_text('{"epoch": 1}\n3\n[1]\n{"a": 1}\n{"epoch": "x"}\n{"epo\n{"epoch": 2}\n{"epo')
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert read_metrics(workdir.metrics) == [{"epoch": 1}, {"epoch": 2}]
        workdir.forget_metrics_after(1)
    assert len(caught) == 10
    assert "metrics.jsonl, line 2, is no JSON object with an epoch" in str(caught[0].message)
    assert read_metrics(workdir.metrics) == [{"epoch": 1}]


def test_a_workdir_may_lie_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Workdir("~/run", {}).path == tmp_path / "run"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of two epochs."""
    workdir = tmp_path_factory.mktemp("runs") / "finished"
    return workdir, pretrain.run(workdir=str(workdir), **TINY)


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished[0], tmp_path / "copy")


@once
def test_a_longer_run_is_asked_for_and_can_be_repeated(finished, copy, tmp_path, capsys):
    with pytest.raises(ValueError, match="epochs is 2 there, 4 here.*repeat --epochs=2 and add --extend=4"):
        pretrain.run(workdir=str(copy), **{**TINY, "epochs": 4})
    with pytest.raises(ValueError, match="--extend=1 is less than the 2 epochs"):
        pretrain.run(workdir=str(copy), **TINY, extend=1)
    with pytest.raises(ValueError, match="has no checkpoint. Pass --epochs=4"):
        pretrain.run(workdir=str(tmp_path / "new"), **TINY, extend=4)
    capsys.readouterr()
    stopped = shutil.copytree(copy, tmp_path / "stopped")
    rows = pretrain.run(workdir=str(copy), **TINY, extend=4)
    assert "Continuing at epoch 3" in capsys.readouterr().out
    lines = read_metrics(copy / "metrics.jsonl")
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]
    # The cosine of four epochs, after its third quarter and at its end.
    peak = json.loads((copy / "config.json").read_text())["learning_rate"]
    assert lines[1]["learning_rate"] == pytest.approx(0, abs=1e-9)
    assert 0.05 * peak < lines[2]["learning_rate"] < 0.3 * peak
    assert lines[3]["learning_rate"] == pytest.approx(0, abs=1e-9)
    config = json.loads((copy / "config.json").read_text())
    assert config["epochs"] == 2
    assert config["about"]["extended"] == [{"from_step": 4, "epochs": 4}]
    before = json.loads((copy / "result_2_epochs.json").read_text())
    assert before == json.loads((finished[0] / "result.json").read_text())

    assert pretrain.run(workdir=str(stopped), **TINY, extend=4, stop_after=1) is None
    # The end is remembered.
    assert pretrain.run(workdir=str(stopped), **TINY) == rows
    assert_same_state(copy, stopped)
    assert pretrain.run(workdir=str(stopped), **TINY) == rows
    assert "finished. Nothing was trained." in capsys.readouterr().out


@once
def test_a_damaged_result_is_measured_again_without_training(finished, copy, capsys):
    (copy / "result.json").write_text('{"raw')
    (copy / "checkpoints" / "partial_of_somebody").mkdir()
    assert pretrain.run(workdir=str(copy), **TINY) == finished[1]
    assert "The evaluation is repeated." in capsys.readouterr().out


@once
def test_a_run_whose_data_grew_is_neither_complete_nor_endless(tmp_path):
    def write(count):
        arrays = {"x_train": images(count), "y_train": labels(count)}
        np.savez(tmp_path / "data.npz", **arrays, x_test=images(20), y_test=labels(20))

    options = {
        **TINY,
        "dataset": f"npz:{tmp_path / 'data.npz'}",
        "batch_size": 24,
        "workdir": str(tmp_path / "r"),
    }
    options |= {"epochs": 4, "limit_train": None, "limit_test": None}
    write(48)
    assert pretrain.run(**options, stop_after=2) is None
    write(72)
    with pytest.raises(
        ValueError, match="num_train is 48 there, 72 here; steps_per_epoch is 2 there, 3 here"
    ):
        pretrain.run(**options, stop_after=2)
    np.savez(
        tmp_path / "data.npz",
        x_train=255 - images(48),
        y_train=labels(48),
        x_test=images(20),
        y_test=labels(20),
    )
    with pytest.raises(ValueError, match="other settings: train_data is '.*' there, '.*' here"):
        pretrain.run(**options, stop_after=2)
    write(48)
    assert pretrain.run(**options, stop_after=2) is not None


@once
def test_a_workdir_in_use_is_refused(copy):
    owner = {"host": socket.gethostname(), "pid": 1, "started": "today", "ticks": _start_of(1)}
    (copy / "checkpoints" / "lock.json").write_text(json.dumps(owner))
    (copy / "result.json").unlink()
    with pytest.raises(ValueError, match="in use by process 1 on"):
        pretrain.run(workdir=str(copy), **TINY)
    with pytest.raises(ValueError, match="Another process trains in .*Wait for it"):
        pretrain.run(workdir=str(copy), **TINY, extend=4)
