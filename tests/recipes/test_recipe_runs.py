import io
import json
import os
import pathlib
import subprocess
import sys
import zipfile

import h5py
import keras
import numpy as np
import pytest

import kerassl
from recipes import classify, distill, evaluate, export, pretrain, train
from recipes.workdir import Journal, Workdir, read_metrics

# A launcher does the same on every backend: each runs one whole, one of them all the rest.
once = pytest.mark.backends("torch")

TINY = {
    "limit_train": 120,
    "limit_test": 64,
    "batch_size": 50,
    "backbone": "vit_tiny",
    "width": 12,
    "backbone_args": {"depth": 1, "num_heads": 3},
    "verbose": 0,
    "saved_model": False,
    "epochs": 4,
    "knn_every": 4,
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run."""
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    return workdir, pretrain.run(workdir=str(workdir), **TINY)


def newest(workdir):
    """The last checkpoint of a run."""
    return kerassl.callbacks.Checkpoint(workdir / "checkpoints").latest()


def state(workdir):
    """All weights and optimizer variables in a checkpoint."""
    with zipfile.ZipFile(newest(workdir)) as archive:
        content = io.BytesIO(archive.read("model.weights.h5"))
    values = {}
    with h5py.File(content) as file:
        file.visititems(
            lambda path, item: values.update({path: item[()]}) if isinstance(item, h5py.Dataset) else None
        )
    return values


def assert_same_state(workdir, other):
    mine, its = state(workdir), state(other)
    assert mine.keys() == its.keys() and any(path.startswith("optimizer") for path in mine)
    for path, value in mine.items():
        np.testing.assert_array_equal(value, its[path], err_msg=path)


def test_run_fills_its_workdir(whole, capsys):
    workdir, rows = whole
    assert list(rows) == ["raw pixels", "random encoder", "trained encoder"]
    assert list(rows["trained encoder"]) == ["1-label", "5-label", "kNN k20 t0.1", "linear", "RankMe"]
    names = {file.name for file in workdir.iterdir()}
    wanted = {
        "config.json",
        "metrics.jsonl",
        "checkpoints",
        "encoder.keras",
        "encoder.md",
        "result.json",
        "views.png",
        "curves.png",
    }
    assert wanted <= names and not any("partial" in name for name in names)
    steps = [path.name for path in sorted((workdir / "checkpoints").iterdir())]
    assert steps == ["step_00000006.keras", "step_00000009.keras", "step_00000012.keras"]
    assert list((workdir / "tensorboard" / "train").iterdir())
    for name in ("views.png", "curves.png"):
        assert (workdir / name).read_bytes()[:4] == b"\x89PNG"

    lines = read_metrics(workdir / "metrics.jsonl")
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]
    assert {"loss", "probe_accuracy", "feature_std", "effective_rank", "learning_rate", "seconds"} <= lines[
        0
    ].keys()
    assert "knn_k20_t0.1" in lines[-1] and lines[-1]["learning_rate"] == pytest.approx(0, abs=1e-8)

    config = json.loads((workdir / "config.json").read_text())
    assert config["method_args"] == {"temperature": 0.2} and config["optimizer"] == "adamw"
    assert config["about"]["backend"] == keras.backend.backend() and config["about"]["steps_per_epoch"] == 3


@once
@pytest.mark.filterwarnings("ignore:1 of 41 files cannot be read as images")
def test_seer_learns_from_a_folder_of_any_images(tmp_path, monkeypatch):
    from PIL import Image

    rng = np.random.default_rng(0)
    for number in range(40):
        height, width = rng.integers(20, 60, 2)
        pixels = rng.integers(0, 256, (height, width, 3)).astype("uint8")
        image = Image.fromarray(pixels).convert(("RGB", "L", "P")[number % 3])
        image.save(tmp_path / f"{number}.{('png', 'jpg', 'webp')[number % 3 if number % 3 != 2 else 0]}")
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    workdir = tmp_path / "run"
    options = {**TINY, "dataset": f"folder:{tmp_path}", "image_size": 24, "batch_size": 16, "epochs": 1}
    options |= {"method": "seer", "backbone": "resnet18", "width": 4, "backbone_args": {}}
    rows = pretrain.run(workdir=str(workdir), **options)
    config = json.loads((workdir / "config.json").read_text())
    assert config["views"] == "seer" and config["method_args"]["sinkhorn_iterations"] == 10
    assert config["method_args"]["sinkhorn_temperature"] == 0.03
    line = read_metrics(workdir / "metrics.jsonl")[0]
    assert np.isfinite(line["loss"]) and line["prototype_entropy"] > 0
    # Without labels there is the spectrum only.
    assert list(rows["trained encoder"]) == ["RankMe"] and (workdir / "encoder.keras").exists()

    # As of a folder too large for memory, below which the pictures of the first run lie now.
    monkeypatch.setattr("kerassl.data.split.MAX_BYTES_IN_MEMORY", 0)
    for picture in workdir.glob("*.png"):
        picture.unlink()
    assert pretrain.run(workdir=str(tmp_path / "again"), **options) == rows
    again = read_metrics(tmp_path / "again/metrics.jsonl")[0]
    assert {**again, "seconds": 0} == {**line, "seconds": 0}


def test_stored_config_repeats_the_run_and_a_finished_run_is_not_trained_again(whole, capsys):
    workdir, rows = whole
    before = newest(workdir).stat().st_mtime_ns
    config = json.loads((workdir / "config.json").read_text())
    config.pop("about")
    again = pretrain.run(workdir=str(workdir), **config, verbose=0)
    assert again == rows and "finished. Nothing was trained." in capsys.readouterr().out
    assert newest(workdir).stat().st_mtime_ns == before


def test_another_config_is_refused(whole):
    workdir, _ = whole
    with pytest.raises(ValueError, match="epochs is 4 there, 5 here; .*warmup_epochs is 0.4 there, 0.5 here"):
        pretrain.run(workdir=str(workdir), **{**TINY, "epochs": 5})


@once
def test_two_and_two_epochs_equal_four(whole, tmp_path, capsys):
    assert pretrain.run(workdir=str(tmp_path), **TINY, stop_after=2) is None
    assert "Stopped after epoch 2 of 4" in capsys.readouterr().out
    assert not (tmp_path / "result.json").exists()
    rows = pretrain.run(workdir=str(tmp_path), **TINY, stop_after=2)
    assert "Continuing at epoch 3, batch 1 of 3." in capsys.readouterr().out
    assert_same_state(tmp_path, whole[0])
    assert rows == whole[1]
    losses = [[line["loss"] for line in read_metrics(w / "metrics.jsonl")] for w in (tmp_path, whole[0])]
    assert losses[0] == losses[1]


@once
def test_a_crash_between_metrics_and_state_is_healed(whole, tmp_path, monkeypatch):
    def crash(self, path, *args, **kwargs):
        if pathlib.Path(path).name == "partial_00000009.keras":
            pathlib.Path(path).write_bytes(b"half")
            raise OSError(28, "disk full")
        return save(self, path, *args, **kwargs)

    save = kerassl.SSLModel.save
    monkeypatch.setattr(kerassl.SSLModel, "save", crash)
    with pytest.raises(OSError, match="disk full.*The last one, step_00000006.keras, is whole"):
        pretrain.run(workdir=str(tmp_path), **TINY)
    assert [line["epoch"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2, 3]
    monkeypatch.undo()
    pretrain.run(workdir=str(tmp_path), **TINY)
    assert [line["epoch"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2, 3, 4]
    assert_same_state(tmp_path, whole[0])


def test_a_workdir_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="--workdir=.*file/run cannot be written"):
        pretrain.run(workdir=str(tmp_path / "file" / "run"), **TINY)


@once
def test_a_collapsed_run_stops_with_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(kerassl.callbacks.CollapseGuard, "diagnose", lambda self, logs: "it is flat")
    with pytest.raises(ValueError, match="Training stopped after epoch 2: it is flat"):
        pretrain.run(workdir=str(tmp_path), **TINY)
    assert newest(tmp_path).name == "step_00000006.keras"


def test_evaluate_repeats_the_table(whole, capsys):
    workdir, rows = whole
    again = evaluate.run(encoder=str(workdir))
    assert "trained encoder" in capsys.readouterr().out
    assert again["raw pixels"] == rows["raw pixels"]
    for name, value in rows["trained encoder"].items():
        assert np.allclose(again["trained encoder"][name], value, rtol=1e-3), name
    assert again["random encoder"] != again["trained encoder"]


@once
def test_distil_and_export(whole, tmp_path):
    small = {**TINY, "epochs": 2, "width": 4, "backbone": "resnet18", "backbone_args": None}
    rows = distill.run(
        workdir=str(tmp_path / "small"), teacher=str(whole[0]), extra_dataset="digits", **small
    )
    assert list(rows) == ["raw pixels", "random encoder", "teacher", "trained encoder"]
    assert np.allclose(rows["teacher"]["linear"], whole[1]["trained encoder"]["linear"])
    config = json.loads((tmp_path / "small" / "config.json").read_text())
    assert config["about"]["num_images"] == 240

    assert "- teacher: " in (tmp_path / "small" / "encoder.md").read_text(encoding="utf-8")
    output = str(tmp_path / "student")
    files = export.run(encoder=str(tmp_path / "small"), formats="keras", output=output, image_size=12)
    assert files == {"keras": tmp_path / "student.keras"}
    exported = keras.models.load_model(files["keras"])
    images = np.random.default_rng(0).integers(0, 256, (3, 12, 12, 1), dtype="uint8")
    model = keras.models.load_model(newest(tmp_path / "small"))
    np.testing.assert_allclose(
        exported.predict(images, verbose=0), model.predict(images, verbose=0), atol=1e-5
    )


@once
def test_export_states_what_8_bits_cost(whole, tmp_path, capsys):
    output = str(tmp_path / "small")
    files = export.run(encoder=str(whole[0]), formats="onnx,keras", int8=True, output=output)
    assert list(files) == ["onnx", "keras"] and "small.onnx: " in capsys.readouterr().out
    card = (tmp_path / "small.md").read_text(encoding="utf-8")
    for fact in (
        "| `encoder` | - | 0.01 | ",
        "Keras' int8: 5 Dense in 8 bits",
        "Change of kNN k20 t0.1, ",
        "It learned from digits by simclr.",
        "- backbone: vit_tiny",
        "bank of 120 training images, 64 held-out images",
        "| `trained encoder` | ",
    ):
        assert fact in card, fact
    with pytest.raises(ValueError, match="needs --dataset"):
        export.run(encoder=str(whole[0] / "encoder.keras"), int8=True, output=output)


@once
@pytest.mark.parametrize("method", ["seed", "rkd"])
def test_other_ways_to_distil_take_a_step(whole, tmp_path, method):
    small = {**TINY, "epochs": 1, "width": 4, "backbone": "resnet18", "backbone_args": None, "knn_every": 1}
    rows = distill.run(workdir=str(tmp_path), teacher=str(whole[0]), method=method, **small)
    assert np.isfinite(rows["trained encoder"]["RankMe"])
    line = read_metrics(tmp_path / "metrics.jsonl")[0]
    assert {"seed": {"loss"}, "rkd": {"rkd_distance", "rkd_angle"}}[method] <= line.keys()


@once
def test_self_distillation_starts_from_an_encoder_and_teaches_another(whole, tmp_path):
    small = {**TINY, "epochs": 1, "knn_every": 1}
    with pytest.raises(ValueError, match="--method=uskd learns from itself: leave --teacher out"):
        distill.run(workdir=str(tmp_path / "no"), teacher=str(whole[0]), method="uskd", **small)
    with pytest.raises(ValueError, match="--method=nkd needs a teacher: --teacher=WORKDIR"):
        distill.run(workdir=str(tmp_path / "no"), method="nkd", **small)
    with pytest.raises(ValueError, match="--init=.* holds a .* weights, which are not those of the student"):
        distill.run(workdir=str(tmp_path / "no"), method="sla", init=str(whole[0]), **{**small, "width": 24})
    classifier = {"method": "sla", "method_args": {"self_distillation": True}, "init": str(whole[0])}
    rows = distill.run(workdir=str(tmp_path / "sla"), **classifier, **small)
    assert 0 <= rows["trained encoder"]["classifier"] <= 1
    # The table's random encoder is the one it starts from.
    assert np.allclose(rows["random encoder"]["linear"], whole[1]["trained encoder"]["linear"])
    rows = distill.run(workdir=str(tmp_path / "nkd"), method="nkd", teacher=str(tmp_path / "sla"), **small)
    assert list(rows) == ["raw pixels", "random encoder", "teacher", "trained encoder"]
    assert 0 <= rows["trained encoder"]["classifier"] <= 1
    rows = distill.run(workdir=str(tmp_path / "ps_kd"), method="ps_kd", **small)
    config = json.loads((tmp_path / "ps_kd" / "config.json").read_text())
    assert config["method_args"] == {"num_examples": 120}
    line = read_metrics(tmp_path / "nkd" / "metrics.jsonl")[0]
    assert {"cross_entropy", "nkd", "accuracy"} <= line.keys()


@once
def test_a_classifier_is_measured_and_written_whole(tmp_path):
    images, held_out, info = kerassl.data.load("digits", limit_train=120, limit_test=64, batch_size=50)
    encoder = kerassl.backbones.ResNet(info.image_shape, depths=(1,), width=4, stem="small")
    model = kerassl.classifiers.Classifier(
        encoder, views=kerassl.views.preset("digits", 8, 1).view1, num_classes=info.num_classes
    )
    model.compile()
    workdir = Workdir(tmp_path, {})
    rows = train.train_in(workdir, model, images, held_out, epochs=1, saved_model=False, verbose=0)
    alone = keras.models.load_model(tmp_path / "classifier.keras")
    predicted = alone.predict(held_out.images, verbose=0).argmax(axis=1)
    assert rows["trained encoder"]["classifier"] == pytest.approx(np.mean(predicted == held_out.labels))
    assert workdir.result["trained encoder"]["classifier"] == rows["trained encoder"]["classifier"]
    assert "classifier" not in rows["random encoder"] and (tmp_path / "encoder.keras").exists()


@once
@pytest.mark.parametrize("method", ["supcon", "dino", "mae"])
def test_other_methods_take_a_step(tmp_path, method):
    tiny = {**TINY, "epochs": 1, "limit_train": 50, "knn_every": 1}
    rows = pretrain.run(workdir=str(tmp_path), method=method, **tiny)
    assert np.isfinite(rows["trained encoder"]["RankMe"])


@once
def test_a_classifier_starts_from_an_encoder_and_is_drawn(whole, tmp_path, capsys):
    small = {**TINY, "epochs": 1, "knn_every": 1}
    rows = classify.run(
        workdir=str(tmp_path / "run"), method="prototypical_network", encoder=str(whole[0]), **small
    )
    for name, value in whole[1]["trained encoder"].items():
        assert np.allclose(rows["pretrained encoder"][name], value, rtol=1e-3), name
    assert "explanation.png: taken for " in capsys.readouterr().out
    for name in ("prototypes.png", "explanation.png"):
        assert (tmp_path / "run" / name).read_bytes()[:4] == b"\x89PNG"
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["encoder"] == str(whole[0]) and config["about"]["num_classes"] == 10
    np.savez(tmp_path / "bare.npz", images=np.zeros((20, 8, 8, 1), "uint8"))
    with pytest.raises(ValueError, match="classifier learns from labels, and npz:.* has none"):
        classify.run(workdir=str(tmp_path / "none"), dataset=f"npz:{tmp_path / 'bare.npz'}", epochs=1)


@once
def test_command_line_in_a_process_of_its_own(tmp_path):
    root = pathlib.Path(pretrain.__file__).parents[1]
    config = tmp_path / "tiny.json"
    tiny = {
        **TINY,
        "epochs": 1,
        "limit_train": 48,
        "knn_every": None,
        "precision": "mixed_bfloat16",
    }
    config.write_text(json.dumps(tiny))

    def call(*arguments):
        command = [sys.executable, "-m", "recipes.pretrain", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(root)}
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    done = call(f"--config={config}", "--workdir=run", "--seed=3")
    assert done.returncode == 0, done.stderr
    assert "trained encoder" in done.stdout and "mixed_bfloat16" in done.stdout
    assert json.loads((tmp_path / "run" / "config.json").read_text())["seed"] == 3

    wrong = call("--workdir=run2", "--method=simclrr")
    assert wrong.returncode == 1 and "Traceback" not in wrong.stderr
    assert "error: Unknown method 'simclrr'" in wrong.stderr and "Did you mean 'simclr'?" in wrong.stderr


def test_journal_counts_only_its_own_epochs():
    assert Journal(None, stop_after=3).epochs_here == 0
