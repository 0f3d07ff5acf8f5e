"""Checkpoints: whole or not at all, the last few kept, and runs that go on where they stood."""

import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import ops
from tiny import images, labels, make

import kerassl
from kerassl.batch import Outputs
from kerassl.callbacks import Checkpoint
from kerassl.data import ImageDataset, OrderedBatches

BATCHES = 6
METHODS = pathlib.Path(__file__).parents[1] / "contract"
# What is Python alone, in a step that JAX would take long to compile.
not_on_jax = pytest.mark.backends("tensorflow", "torch")  # Run on TensorFlow and PyTorch.


class Killed(Exception):
    """Stands for what ends a process."""


class KillAfter(keras.callbacks.Callback):
    """Ends the run before batch number `batches`, as a kill would."""

    def __init__(self, batches):
        super().__init__()
        self.left = batches

    def on_train_batch_begin(self, batch, logs=None):
        if not self.left:
            raise Killed
        self.left -= 1


class Seen(keras.callbacks.Callback):
    """What a user's callback is told."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def on_train_begin(self, logs=None):
        self.calls.append("begin")

    def on_train_end(self, logs=None):
        self.calls.append("end")

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(f"epoch {epoch}")

    def on_train_batch_begin(self, batch, logs=None):
        self.calls.append(batch)


@keras.saving.register_keras_serializable("test_checkpoint")
class Noise(keras.layers.Layer):
    """Two views: with noise and without."""

    def preprocess(self, images):
        return ops.cast(images, "float32") / 255.0

    def call(self, images, seed):
        clean = self.preprocess(images)
        return clean + keras.random.normal(ops.shape(clean), seed=seed), clean


@keras.saving.register_keras_serializable("test_checkpoint")
class Denoise(kerassl.SSLModel):
    """A method that compiles fast."""

    terms = ("denoise",)

    def __init__(self, encoder, views, num_classes=3, seed=0, name=None):
        super().__init__(encoder, views=views, num_classes=num_classes, seed=seed, name=name)

    def loss_terms(self, views, batch, training):
        noisy, clean = (self.encode(self.encoder, view, training) for view in views)
        return Outputs({"denoise": ops.mean(ops.square(noisy - clean))}, features=clean)


def model(width=8, optimizer="adam", **settings):
    keras.utils.set_random_seed(0)
    pooled = keras.layers.AveragePooling2D(4)(inputs := keras.Input((16, 16, 3)))
    features = keras.layers.Dense(width)(keras.layers.Flatten()(pooled))
    encoder = keras.Model(inputs, keras.layers.BatchNormalization()(features))
    made = Denoise(encoder, Noise())
    made.compile(keras.optimizers.get(optimizer), **settings)
    return made


def dino():
    # Its own views would take most of the time; those of a method are drawn in tests/recipes/test_kill.py.
    made = make("DINO", views=Noise())
    made.compile(kerassl.optimizers.AdamW(1e-2))
    return made


def dataset():
    return ImageDataset(images(24), labels(24), batch_size=4, shuffle=True, seed=1)


def everything(model):
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    return [(v.path, ops.convert_to_numpy(v)) for v in variables]


def assert_same(one, other):
    assert len(one) == len(other)
    for (path, a), (_, b) in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=path)


def fit(made, folder, data=None, epochs=2, callbacks=(), y=None, **options):
    settings = {key: options.pop(key) for key in ("every_steps", "keep") if key in options}
    checkpoint = Checkpoint(folder, **settings)
    x = dataset() if data is None else data
    return made.fit(x, y, epochs=epochs, verbose=0, callbacks=[*callbacks, checkpoint], **options)


@pytest.fixture(scope="module")
def whole():
    """An uninterrupted run without a checkpoint."""
    made = model()
    history = made.fit(dataset(), epochs=2, verbose=0)
    return everything(made), history.history


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with the checkpoints of steps 2, 4 and 6 of a run killed in its second epoch."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.raises(Killed):
        fit(model(), folder, callbacks=[KillAfter(7)], every_steps=2)
    return folder


def names(folder):
    return sorted(path.name for path in pathlib.Path(folder).iterdir())


@pytest.mark.parametrize("model", (pytest.param(model, marks=not_on_jax), dino))
def test_a_run_killed_within_each_epoch_equals_one_never_interrupted(model, tmp_path, capsys):
    whole = model()
    expected = whole.fit(dataset(), epochs=2, verbose=0).history
    for batches in (4, 5):
        with pytest.raises(Killed):
            fit(model(), tmp_path, callbacks=[KillAfter(batches)], every_steps=1)
    made, seen = model(), Seen()
    history = fit(made, tmp_path, callbacks=[seen], every_steps=1)
    assert_same(everything(made), everything(whole))
    assert history.epoch == [1] and seen.calls == ["begin", "epoch 1", 1, 2, 3, 4, 5, "end"]
    for name, values in expected.items():
        assert history.history[name] == values[1:], name
    printed = capsys.readouterr().out
    assert printed.splitlines() == [
        "Continuing at epoch 1, batch 4 of 6.",
        "Continuing at epoch 2, batch 2 of 6.",
    ]


def test_the_rest_of_an_epoch_and_the_epochs_after_it_are_one_run(whole, tmp_path):
    with pytest.raises(Killed):
        fit(model(), tmp_path, callbacks=[KillAfter(4)], every_steps=2)
    made, seen = model(), Seen()
    history = fit(made, tmp_path, callbacks=[seen], every_steps=2)
    assert seen.calls == ["begin", "epoch 0", 2, 3, 4, 5, "epoch 1", *range(6), "end"]
    assert history.epoch == [0, 1] and history.history == whole[1]
    assert_same(everything(made), whole[0])


def test_a_complete_run_is_not_trained_again(tmp_path, capsys):
    fit(model(), tmp_path, epochs=1)
    before = names(tmp_path)
    made = model()
    history = fit(made, tmp_path, epochs=1)
    assert "is complete: 1 epochs. Nothing was trained." in capsys.readouterr().out
    assert history.history == {} and int(made.clock.step) == BATCHES and names(tmp_path) == before


def test_a_longer_run_goes_on(tmp_path):
    fit(model(), tmp_path, epochs=1)
    made = model()
    fit(made, tmp_path, epochs=2)
    assert int(made.clock.step) == 2 * BATCHES and int(made.clock.total_steps) == 2 * BATCHES


def test_the_last_ones_are_kept_and_hold_whole_models(trained):
    assert names(trained) == ["step_00000002.keras", "step_00000004.keras", "step_00000006.keras"]
    checkpoint = Checkpoint(trained)
    assert checkpoint.latest().name == "step_00000006.keras"
    loaded = keras.models.load_model(checkpoint.latest())
    assert int(loaded.clock.step) == 6 and int(loaded.optimizer.iterations) == 6
    with zipfile.ZipFile(trained / "step_00000004.keras") as archive:
        position = json.loads(archive.read("position.json"))
    assert position == {"epoch": 0, "batch": 4, "steps_per_epoch": 6}


@pytest.mark.parametrize("harm", ("cut", "flipped", "empty", "no_metrics"))
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(trained, tmp_path, harm):
    shutil.copytree(trained, tmp_path / "run")
    newest = tmp_path / "run" / "step_00000006.keras"
    content = bytearray(newest.read_bytes())
    if harm == "cut":
        newest.write_bytes(content[: len(content) // 2])
    elif harm == "flipped":
        content[len(content) // 2] ^= 1
        newest.write_bytes(content)
    elif harm == "empty":
        newest.write_bytes(b"")
    else:
        with zipfile.ZipFile(newest, "w") as archive:
            archive.writestr("config.json", "{}")
    (tmp_path / "run" / "partial_00000008.keras").write_bytes(b"half")
    made = model()
    with pytest.warns(UserWarning, match="step_00000006.keras is damaged.*The one before is used"):
        position = Checkpoint(tmp_path / "run").restore(made)
    assert (position.epoch, position.batch) == (0, 4) and int(made.clock.step) == 4
    assert names(tmp_path / "run") == ["step_00000002.keras", "step_00000004.keras", "step_00000006.torn"]


def test_with_no_whole_checkpoint_the_run_begins_anew(tmp_path):
    (tmp_path / "step_00000004.keras").write_bytes(b"half")
    with pytest.warns(UserWarning, match="is damaged"):
        assert Checkpoint(tmp_path).restore(model()) is None


def test_a_kill_while_writing_leaves_the_last_one(trained, tmp_path, monkeypatch):
    shutil.copytree(trained, tmp_path / "run")

    def killed(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        fit(model(), tmp_path / "run", every_steps=1)
    assert names(tmp_path / "run") == names(trained)
    assert Checkpoint(tmp_path / "run").latest().name == "step_00000006.keras"


def test_another_model_is_refused(trained):
    with pytest.raises(ValueError, match="step_00000006.keras does not fit this model"):
        fit(model(width=5), trained)
    with pytest.raises(ValueError, match="does not fit this model: .*optimizer"):
        fit(model(optimizer="sgd"), trained)


def test_other_data_is_refused_within_an_epoch(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / "step_00000006.keras").unlink()
    other = ImageDataset(images(16), batch_size=4)
    with pytest.raises(ValueError, match="after batch 4 of an epoch of 6 batches, but the data has 4 now"):
        fit(model(), tmp_path / "run", other)

    def generator():
        while True:
            yield images(4), labels(4)

    with pytest.raises(ValueError, match="after batch 4 of an epoch; to go on it needs data that can be ent"):
        fit(model(), tmp_path / "run", generator(), steps_per_epoch=6)


def test_bad_settings():
    for settings in ({"keep": 0}, {"every_steps": 0}):
        with pytest.raises(ValueError, match="must be at least 1"):
            Checkpoint("anywhere", **settings)
    with pytest.raises(ValueError, match="One Checkpoint is needed among the callbacks, got 2"):
        model().fit(dataset(), callbacks=[Checkpoint("a"), Checkpoint("b")])


def test_a_folder_that_cannot_be_made_is_refused_before_the_first_step(tmp_path):
    (tmp_path / "file").write_text("")
    made = model()
    with pytest.raises(ValueError, match="Checkpoints cannot be written to .*file/run: .*Choose a folder"):
        fit(made, tmp_path / "file" / "run")
    assert int(made.clock.step) == 0


def test_a_disk_too_small_is_refused_before_the_first_step(tmp_path, monkeypatch):
    made = model()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=200_000))
    with pytest.raises(ValueError, match=r"has 0.2 MB free, but 21 checkpoints of 0.\d MB need \d.\d MB"):
        fit(made, tmp_path, keep=20)
    assert int(made.clock.step) == 0
    # The estimate is near the truth, from above.
    monkeypatch.undo()
    fit(made, tmp_path, epochs=1)
    size = Checkpoint(tmp_path).latest().stat().st_size
    assert size <= kerassl.training.checkpoint.checkpoint_bytes(made) < 2 * size


def test_a_write_that_fails_leaves_the_last_one_and_says_so(trained, tmp_path, monkeypatch):
    shutil.copytree(trained, tmp_path / "run")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left.*The last one, step_00000006.keras, is whole"):
        fit(model(), tmp_path / "run", every_steps=1)
    assert names(tmp_path / "run") == names(trained)


PREEMPTED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import keras
from tiny import images, labels, make
from kerassl.callbacks import Checkpoint
from kerassl.data import ImageDataset
model = make("SimCLR")
model.compile(keras.optimizers.Adam(1e-2))
class Preempt(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        if batch == 3 and sys.argv[3] == "preempt":
            os.kill(os.getpid(), signal.SIGTERM)
data = ImageDataset(images(24), labels(24), batch_size=4, shuffle=True, seed=1)
before = signal.getsignal(signal.SIGTERM)
model.fit(data, epochs=2, verbose=0, callbacks=[Preempt(), Checkpoint(sys.argv[2])])
assert signal.getsignal(signal.SIGTERM) is before
print("finished", int(model.clock.step))
"""


def run(code, *arguments):
    command = [sys.executable, "-c", code, str(METHODS), *map(str, arguments)]
    # JAX's second process need not compile what the first did.
    cache = str(pathlib.Path(arguments[0]).parent / "cache")
    environment = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": cache,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@not_on_jax
def test_a_disk_that_becomes_full_in_the_middle_of_a_file(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    class Full(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, before[1]))

    message = "The checkpoint of step 12 could not be written.*The last one, step_00000006.keras, is whole"
    try:
        with pytest.raises(OSError, match=message):
            fit(model(), tmp_path, epochs=3, callbacks=[Full()])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert names(tmp_path) == ["step_00000006.keras"]
    assert (tmp_path / "step_00000006.keras").stat().st_size > 5_000
    assert Checkpoint(tmp_path).latest() is not None


@not_on_jax
def test_sigterm_saves_and_exits_with_zero_and_the_script_goes_on(tmp_path):
    done = run(PREEMPTED, tmp_path, "preempt")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Stopped by SIGTERM. The same script goes on from" in done.stdout and "finished" not in done.stdout
    assert names(tmp_path) == ["step_00000003.keras"]
    done = run(PREEMPTED, tmp_path, "go on")
    assert "Continuing at epoch 1, batch 4 of 6." in done.stdout and "finished 12" in done.stdout, done.stderr


def test_the_handler_of_before_comes_back_after_an_error(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Killed):
        fit(model(), tmp_path, callbacks=[KillAfter(1)])
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_state_with_nan_is_never_saved(tmp_path):
    class Breaks(keras.utils.PyDataset):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            return images(8).astype("float32") * (np.nan if index == 2 else 1.0), labels(8)

    with pytest.raises(FloatingPointError, match="batch 3 of 4"):
        fit(model(), tmp_path, Breaks(), every_steps=1, shuffle=False)
    assert names(tmp_path) == ["step_00000001.keras", "step_00000002.keras"]


def sources():
    """24 images in batches of 4, in every form that can be entered within an epoch."""
    import tensorflow as tf

    x, y = images(24), labels(24)

    class Own(keras.utils.PyDataset):
        def __init__(self):
            super().__init__()
            self.epoch = 0

        def __len__(self):
            return 6

        def __getitem__(self, index):
            order = np.random.default_rng([3, self.epoch]).permutation(24)[4 * index : 4 * index + 4]
            return x[order], y[order]

        def on_epoch_end(self):
            self.epoch += 1

    tensors = tf.data.Dataset.from_tensor_slices((x, y))
    yield "array", x, {"y": y, "batch_size": 4}
    yield "own", Own(), {}
    yield "tf_data", tensors.batch(4), {}
    yield "endless_tf_data", tensors.repeat().batch(5), {"steps_per_epoch": 6}


@not_on_jax
@pytest.mark.parametrize("kind", range(4), ids=("array", "py_dataset", "tf_data", "endless_tf_data"))
def test_data_of_the_user_is_entered_within_an_epoch(kind, tmp_path):
    if kind >= 2 and keras.backend.backend() == "torch":
        pytest.importorskip("tensorflow")

    def source():
        return list(sources())[kind]

    made = model()
    _, data, options = source()
    expected = made.fit(data, epochs=3, verbose=0, **options).history
    with pytest.raises(Killed):
        fit(model(), tmp_path, source()[1], epochs=3, callbacks=[KillAfter(9)], every_steps=4, **options)
    made = model()
    history = fit(made, tmp_path, source()[1], epochs=3, every_steps=4, **options).history
    assert (
        history["loss"] == expected["loss"][1:]
        and history["probe_accuracy"] == expected["probe_accuracy"][1:]
    )


def test_data_without_a_position_saves_at_the_ends_of_epochs_only(tmp_path):
    def generator():
        while True:
            yield images(8), labels(8)

    with pytest.raises(ValueError, match="Leave out every_steps to save at the ends of epochs"):
        fit(model(), tmp_path / "refused", generator(), every_steps=1, steps_per_epoch=2)
    fit(model(), tmp_path / "run", generator(), steps_per_epoch=2)
    assert names(tmp_path / "run") == ["step_00000002.keras", "step_00000004.keras"]


def test_batches_of_a_py_dataset_are_shuffled_by_seed_and_epoch():
    data = ImageDataset(np.zeros((12, 8, 8, 1), "uint8"), np.arange(12), batch_size=2)

    def order(batches):
        return [int(batches[index][1][0]) // 2 for index in range(len(batches))]

    shuffled = OrderedBatches(data, shuffle=True, seed=4)
    first = order(shuffled)
    assert sorted(first) == list(range(6)) and first != sorted(first)
    shuffled.on_epoch_end()
    assert order(shuffled) == first
    shuffled.on_epoch_begin()
    shuffled.on_epoch_end()
    assert shuffled.epoch == data.epoch == 1 and order(shuffled) != first
    assert order(OrderedBatches(data, shuffle=True, seed=4, start=2)) == first[2:]


@pytest.mark.backends("tensorflow", "jax")  # Keras: one step an execution on PyTorch.
def test_several_steps_an_execution(tmp_path):
    def compiled():
        return model(steps_per_execution=2)

    made = compiled()
    made.fit(dataset(), epochs=2, verbose=0)
    with pytest.raises(Killed):
        fit(compiled(), tmp_path, callbacks=[KillAfter(5)], every_steps=3)
    assert names(tmp_path) == ["step_00000004.keras", "step_00000006.keras"]
    again = compiled()
    fit(again, tmp_path)
    assert_same(everything(again), everything(made))


@not_on_jax
def test_a_run_that_another_callback_stops_within_an_epoch_goes_on_there(whole, tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                self.model.stop_training = True

    fit(model(), tmp_path, callbacks=[Stop()])
    assert names(tmp_path) == ["step_00000003.keras"]
    made = model()
    fit(made, tmp_path)
    assert_same(everything(made), whole[0])


def test_a_save_waits_for_the_disk(tmp_path, monkeypatch):
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (synced.append(time.time()), fsync(descriptor)))
    fit(model(), tmp_path, epochs=1)
    assert len(synced) == 2
