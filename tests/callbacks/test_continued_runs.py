"""What a run must have in common with the one that it continues, and who may write to its folder."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import threading
import time
import zipfile

import keras
import numpy as np
import pytest
from test_checkpoint import (
    KillAfter,
    Killed,
    Noise,
    assert_same,
    dataset,
    everything,
    fit,
    model,
    names,
    not_on_jax,
)
from tiny import images, labels, make

import kerassl
from kerassl.callbacks import Checkpoint
from kerassl.data import FixedLengthEpochs, ImageDataset
from kerassl.training import folder_lock
from kerassl.training.folder_lock import FolderLock

# Most of this is Python alone.
once = pytest.mark.backends("torch")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with the checkpoints of both epochs of a run of two."""
    folder = tmp_path_factory.mktemp("trained")
    fit(model(), folder)
    return folder


@pytest.fixture
def run(trained, tmp_path):
    """A copy of it."""
    return pathlib.Path(shutil.copytree(trained, tmp_path / "run"))


class Plain(keras.utils.PyDataset):
    """A user's own, without an `epoch`."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return images(24)[4 * index : 4 * index + 4], labels(24)[4 * index : 4 * index + 4]


def source(kind):
    """24 images in batches of 4."""
    if kind == "array":
        return images(24), {"y": labels(24), "batch_size": 4}
    if kind == "tf_data":
        tf = pytest.importorskip("tensorflow")
        return tf.data.Dataset.from_tensor_slices((images(24), labels(24))).batch(4), {}
    return {"image_dataset": dataset, "py_dataset": Plain}[kind](), {}


@not_on_jax
@pytest.mark.parametrize("steps", (4, 9))
@pytest.mark.parametrize(
    "kind",
    [*(pytest.param(kind, marks=once) for kind in ("array", "image_dataset", "py_dataset")), "tf_data"],
)
def test_epochs_of_another_length_than_the_data_go_on_exactly(kind, steps, tmp_path):
    made = model()
    x, options = source(kind)
    made.fit(x, epochs=3, steps_per_epoch=steps, verbose=0, **options)
    assert int(made.clock.step) == 3 * steps
    for batches in (steps + 2, 2):
        x, options = source(kind)
        with pytest.raises(Killed):
            fit(
                model(),
                tmp_path,
                x,
                epochs=3,
                steps_per_epoch=steps,
                callbacks=[KillAfter(batches)],
                every_steps=1,
                **options,
            )
    again = model()
    x, options = source(kind)
    fit(again, tmp_path, x, epochs=3, steps_per_epoch=steps, **options)
    assert_same(everything(again), everything(made))


@once
def test_a_pass_keeps_its_order_where_an_epoch_ends_within_it():
    data = ImageDataset(np.zeros((12, 8, 8, 1), "uint8"), np.arange(12), batch_size=2, shuffle=True, seed=3)
    epochs, seen = FixedLengthEpochs(data, steps_per_epoch=4), []
    for _ in range(3):
        epochs.on_epoch_begin()
        seen += [label for index in range(4) for label in epochs[index][1]]
        epochs.on_epoch_end()
    assert seen == [*data.order(0), *data.order(1)]
    epochs.start_at(5)
    assert epochs[2][1].tolist() == data.order(1)[2:4].tolist()


@once
def test_data_whose_place_is_not_known_is_refused_with_epochs_of_another_length(tmp_path):
    class Reshuffles(Plain):
        def on_epoch_end(self):
            self.order = 1

    with pytest.raises(ValueError, match="Reshuffles, whose on_epoch_end .*Give it an attribute `epoch`"):
        fit(model(), tmp_path, Reshuffles(), steps_per_epoch=4)


@once
def test_backup_and_restore_is_refused(tmp_path):
    made = model()
    with pytest.raises(ValueError, match=r"BackupAndRestore .*Use kerassl.callbacks.Checkpoint\(folder\)"):
        made.fit(dataset(), verbose=0, callbacks=[keras.callbacks.BackupAndRestore(tmp_path)])
    assert int(made.clock.step) == 0


def simclr(name="SimCLR", temperature=0.1, seed=0, optimizer=None):
    made = make(name, views=Noise(), seed=seed, temperature=temperature)
    made.compile(optimizer or kerassl.optimizers.AdamW(1e-3))
    return made


@pytest.fixture(scope="module")
def contrasted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("contrasted")
    fit(simclr(), folder, epochs=1)
    return folder


@pytest.mark.parametrize(
    ("other", "difference"),
    (
        ({"name": "DCL"}, "method is SimCLR there, DCL here"),
        ({"temperature": 0.2}, "temperature is 0.1 there, 0.2 here"),
        ({"seed": 1}, "seed is 0 there, 1 here"),
        ({"optimizer": kerassl.optimizers.AdamW(2e-3)}, r"optimizer.learning_rate is 0.001\d* there, 0.002"),
        ({"optimizer": keras.optimizers.SGD()}, "optimizer is AdamW there, SGD here"),
    ),
)
def test_a_run_of_other_settings_is_refused(contrasted, other, difference):
    before = names(contrasted)
    with pytest.raises(ValueError, match=f"step_00000006.keras does not fit this model: {difference}"):
        fit(simclr(**other), contrasted, epochs=1)
    assert names(contrasted) == before


def test_the_same_model_made_again_fits(contrasted, capsys):
    # Its layers have other names, which Keras counts up.
    fit(simclr(), contrasted, epochs=1)
    assert "is complete" in capsys.readouterr().out


def test_a_rate_that_a_callback_changed_is_no_other_setting(tmp_path):
    class Lower(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.optimizer.learning_rate = 1e-4

    fit(model(), tmp_path, epochs=1, callbacks=[Lower()])
    made = model()
    fit(made, tmp_path, epochs=2)
    assert float(made.optimizer.learning_rate) == pytest.approx(1e-4)
    # Nor in a process that fits the same model twice.
    fit(made, tmp_path, epochs=3)
    fit(model(), tmp_path, epochs=4)


@once
def test_what_changes_no_number_may_change(run):
    fit(model(nonfinite="skip", run_eagerly=True), run, epochs=3)


def scheduled(steps):
    return model(optimizer=keras.optimizers.Adam(kerassl.schedules.WarmupCosine(1e-2, steps)))


@once
def test_a_schedule_may_grow_with_the_epochs_only(tmp_path):
    fit(scheduled(12), tmp_path / "run", epochs=2)
    with pytest.raises(ValueError, match="optimizer.learning_rate.total_steps is 12 there, 24 here"):
        fit(scheduled(24), tmp_path / "run", epochs=2)
    shutil.copytree(tmp_path / "run", tmp_path / "killed")
    longer = scheduled(24)
    fit(longer, tmp_path / "run", epochs=4)
    assert int(longer.clock.total_steps) == 24
    with pytest.raises(Killed):
        fit(scheduled(24), tmp_path / "killed", epochs=4, callbacks=[KillAfter(8)])
    again = scheduled(24)
    fit(again, tmp_path / "killed", epochs=4)
    assert_same(everything(again), everything(longer))


def changed(**others):
    return ImageDataset(**{**vars_of_the_data(), **others})


def vars_of_the_data():
    return {"images": images(24), "labels": labels(24), "batch_size": 4, "shuffle": True, "seed": 1}


@once
@pytest.mark.parametrize(
    ("others", "difference"),
    (
        (
            {"images": images(28), "labels": labels(28)},
            "steps_per_epoch is 6 there, 7 here; num_examples is 24 there, 28 here",
        ),
        ({"images": 255 - images(24)}, "contents is "),
        ({"images": images(24).astype("float32")}, "dtype is uint8 there, float32 here"),
        ({"labels": labels(24)[::-1].copy()}, "labels is "),
        ({"batch_size": 8, "images": images(48), "labels": labels(48)}, "num_examples is 24 there, 48"),
        ({"seed": 2}, "order is "),
    ),
)
def test_a_run_on_other_data_is_refused(run, others, difference):
    for epochs in (2, 3):
        with pytest.raises(ValueError, match=f"was trained on other data: {difference}"):
            fit(model(), run, changed(**others), epochs=epochs)


@once
def test_the_same_images_as_an_array_are_the_same_data(tmp_path):
    data = ImageDataset(images(24), labels(24), batch_size=4, shuffle=True, seed=0)
    fit(model(), tmp_path, data, epochs=1)
    fit(model(), tmp_path, images(24), y=labels(24), batch_size=4, epochs=2)
    with pytest.raises(ValueError, match="other data: kind is arrays there, PyDataset here"):
        fit(model(), tmp_path, Plain(), epochs=3)


@once
def test_another_backend_is_named(run, recwarn):
    newest = Checkpoint(run).latest()
    rewrite(newest, "run.json", lambda text: {**json.loads(text), "backend": "abacus"})
    fit(model(), run, epochs=3)
    assert any("was written on abacus" in str(w.message) for w in recwarn)


def rewrite(path, member, change):
    """Changes one member of a zip whose checksums hold afterwards."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    content = change(members[member])
    members[member] = content if isinstance(content, bytes) else json.dumps(content).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)


@once
@pytest.mark.parametrize(
    ("member", "content"),
    (
        ("position.json", b""),
        ("position.json", b"[1, 2]"),
        ("position.json", b'{"epoch": "two", "batch": 0, "steps_per_epoch": 6}'),
        ("metrics.npz", b"no arrays"),
        ("config.json", b"{"),
        ("run.json", b'{"settings": {}}'),
        ("model.weights.h5", b"no weights"),
    ),
)
def test_a_broken_part_is_named_and_the_checkpoint_before_is_used(run, member, content):
    newest = Checkpoint(run).latest()
    rewrite(newest, member, lambda text: content)
    made = model()
    with pytest.warns(
        UserWarning, match=f"{newest.name} is damaged: .*step_00000006.keras.*put a whole copy"
    ):
        position = Checkpoint(run).restore(made)
    assert position.epoch == 1 and int(made.clock.step) == 6
    assert names(run) == ["step_00000006.keras", "step_00000012.torn"]


@once
def test_every_flipped_bit_of_a_header_is_found_or_harmless(run):
    newest = Checkpoint(run).latest()
    content = newest.read_bytes()
    with zipfile.ZipFile(newest) as archive:
        headers = [range(info.header_offset, info.header_offset + 34) for info in archive.infolist()]
        headers.append(range(archive.start_dir, len(content)))
    places = [place for header in headers for place in header]
    found = set()
    for place in places[::7]:
        for bit in (0, 3, 7):
            harmed = bytearray(content)
            harmed[place] ^= 1 << bit
            newest.write_bytes(harmed)
            found.add(kerassl.training.checkpoint.damage(newest))
    assert len(found) > 5 and all(problem is None or isinstance(problem, str) for problem in found)


@once
def test_files_of_others_are_left_alone(tmp_path):
    others = {
        "partial_results.csv": b"a,b\n",
        "partial_writable": b"mine",
        "step_1.keras": b"mine",
        "step_best.keras": b"mine",
    }
    for name, content in others.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "partial_00000007.keras").mkdir()
    fit(model(), tmp_path, epochs=1, keep=1)
    for name, content in others.items():
        assert (tmp_path / name).read_bytes() == content
    assert (tmp_path / "partial_00000007.keras").is_dir()
    assert Checkpoint(tmp_path).latest().name == "step_00000006.keras"


@once
def test_models_of_others_under_names_of_checkpoints_are_refused(tmp_path):
    made = model()
    made.save(tmp_path / "step_00000004.keras")
    with pytest.raises(ValueError, match="no checkpoints of a run.*step_00000004.keras. Choose another"):
        fit(made, tmp_path)
    assert names(tmp_path) == ["step_00000004.keras"]


@once
def test_the_home_folder_may_be_short(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Checkpoint("~/run").folder == tmp_path / "run"


def write_lock(folder, **others):
    owner = {"host": socket.gethostname(), "pid": os.getpid(), "started": "today", "ticks": None}
    (folder / "lock.json").write_text(json.dumps({**owner, **others}))


@once
def test_a_folder_in_use_is_refused_and_one_left_behind_is_taken(tmp_path):
    code = (
        "import pathlib, runpy, sys; FolderLock = runpy.run_path(sys.argv[1])['FolderLock']\n"
        "FolderLock(pathlib.Path(sys.argv[2])).acquire(); print('locked', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, folder_lock.__file__, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as other:
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(ValueError, match=f"in use by process {other.pid} on .*delete .*lock.json"):
            fit(model(), tmp_path, epochs=1)
        assert Checkpoint(tmp_path).in_use() and names(tmp_path) == ["lock.json"]
        other.kill()
    assert not Checkpoint(tmp_path).in_use()
    fit(model(), tmp_path, epochs=1)
    assert names(tmp_path) == ["step_00000006.keras"]


@once
@pytest.mark.skipif(not pathlib.Path("/proc/self/stat").exists(), reason="start times are Linux's")
def test_a_process_with_the_number_of_one_that_is_gone_does_not_hold_the_folder(tmp_path):
    write_lock(tmp_path, pid=os.getppid(), ticks=1)
    assert FolderLock(tmp_path).owner() is None
    write_lock(tmp_path, pid=os.getppid(), ticks=folder_lock._start_of(os.getppid()))
    assert FolderLock(tmp_path).owner()["pid"] == os.getppid()


@once
@pytest.mark.parametrize("alive", (True, False))
def test_a_process_of_another_host_holds_a_folder_while_it_gives_signs_of_life(tmp_path, monkeypatch, alive):
    monkeypatch.setattr(folder_lock, "PATIENCE", 0.5)
    write_lock(tmp_path, host="elsewhere")
    timer = threading.Timer(0.2, os.utime, (tmp_path / "lock.json",))
    if alive:
        timer.start()
    with pytest.warns(UserWarning, match="of a process on another host. Waiting 0 seconds|Waiting 1 sec"):
        assert (FolderLock(tmp_path).owner() is not None) == alive
    timer.cancel()


@once
def test_a_lock_gives_signs_of_life_and_is_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_lock, "HEARTBEAT", 0.02)
    lock = FolderLock(tmp_path)
    lock.acquire()
    lock.acquire()
    before = lock.path.stat().st_mtime_ns
    time.sleep(0.2)
    assert lock.path.stat().st_mtime_ns > before
    lock.release()
    assert names(tmp_path) == ["lock.json"]
    lock.release()
    assert names(tmp_path) == []


@once
def test_an_error_unlocks_the_folder(run):
    with pytest.raises(ValueError, match="other data"):
        fit(model(), run, changed(seed=2))
    with pytest.raises(Killed):
        fit(model(), run, epochs=3, callbacks=[KillAfter(1)])
    assert "lock.json" not in names(run)
