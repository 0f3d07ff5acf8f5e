import keras
import numpy as np
import pytest
from tiny import images, make

import kerassl
from kerassl.engine import is_chief, is_synchronized, process_index_and_count, process_share

BACKEND = keras.backend.backend()
MISSING = {"tensorflow": "TF_CONFIG", "jax": "KERAS_DISTRIBUTION_JOB_ADDRESSES", "torch": "torchrun"}
only_tensorflow = pytest.mark.backends("tensorflow")  # A strategy of TensorFlow.
only_jax = pytest.mark.backends("jax")  # A distribution of JAX.


def test_unknown_and_foreign_strategies_are_refused():
    with pytest.raises(ValueError, match="none of none, mirrored, multi_worker"), kerassl.distribute("many"):
        pass
    foreign = "data_parallel" if BACKEND == "tensorflow" else "mirrored"
    with pytest.raises(ValueError, match=f"KERAS_BACKEND is {BACKEND}, which has none"):
        with kerassl.distribute(foreign):
            pass


def test_what_several_processes_need_is_named(monkeypatch):
    for name in ("TF_CONFIG", "KERAS_DISTRIBUTION_JOB_ADDRESSES", "RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match=MISSING[BACKEND]), kerassl.distribute("multi_worker"):
        pass


@pytest.mark.backends("tensorflow", "jax")  # Torch has no TPU here.
def test_a_missing_tpu_is_named():
    with pytest.raises(ValueError, match="found no TPU"), kerassl.distribute("tpu"):
        pass


@pytest.mark.backends("tensorflow", "jax")  # With torch, torchrun decides.
def test_too_many_devices_are_refused():
    keras.ops.ones(1) + 1  # the backend has started
    strategy = "mirrored" if BACKEND == "tensorflow" else "data_parallel"
    with pytest.raises(ValueError, match="num_devices=64, but"), kerassl.distribute(strategy, num_devices=64):
        pass


def test_one_process_is_the_chief(monkeypatch):
    assert process_index_and_count() == process_share() == (0, 1)
    assert is_chief()
    if BACKEND == "tensorflow":
        cluster = '"cluster": {"chief": ["a:1"], "worker": ["b:1", "c:1"]}'
        monkeypatch.setenv("TF_CONFIG", f'{{{cluster}, "task": {{"type": "worker", "index": 1}}}}')
        assert process_index_and_count() == (2, 3)
        assert not is_chief()
        # The strategy cuts batches by itself.
        assert process_share() == (0, 1)


@only_tensorflow
def test_what_a_strategy_cannot_run_names_the_alternative():
    with kerassl.distribute("mirrored"):
        model = make("SimCLR")
        with pytest.raises(ValueError, match="gradient_accumulation_steps=2 .*data_parallel"):
            model.compile(keras.optimizers.SGD(0.1, gradient_accumulation_steps=2))
        with pytest.raises(ValueError, match="steps_per_execution=2 .*data_parallel"):
            model.compile(keras.optimizers.SGD(0.1), steps_per_execution=2)


@only_tensorflow
def test_an_optimizer_made_outside_of_the_scope_serves():
    optimizer = keras.optimizers.SGD(0.25)
    with kerassl.distribute("mirrored"):
        model = make("SimCLR")
    model.compile(optimizer)
    assert model.fit(images(16), batch_size=8, verbose=0).history["loss"][0] > 0
    assert float(model.optimizer.learning_rate.numpy()) == 0.25
    assert int(model.optimizer.iterations.numpy()) == 2


@pytest.mark.backends("torch")  # Keras distributes by itself on TensorFlow and JAX.
def test_torch_has_no_steps_per_execution():
    with pytest.raises(ValueError, match="steps_per_execution=2 does not run on torch"):
        make("SimCLR").compile(steps_per_execution=2)


@only_jax
def test_model_shards_must_divide():
    with pytest.raises(ValueError, match="model_shards=3 does not divide the .* devices; choose one of"):
        with kerassl.distribute("model_parallel", model_shards=3):
            pass


@only_jax
def test_only_prototypes_themselves_get_their_layout():
    from kerassl.engine.model_parallel import model_parallel

    layouts = model_parallel(1)
    model = make("SimCLR").attach(kerassl.objectives.SwappedPrototypes(8, projection_dim=6))
    axes = {v.path: tuple(layouts.get_variable_layout(v).axes) for v in model.variables}
    assert [path for path, cut in axes.items() if any(cut)] == ["prototypes/prototypes"]
    assert axes["prototypes/prototypes"] == (None, "model")


def test_synchronized_batch_norm_saves_as_any_other():
    layer = kerassl.engine.batch_norm()
    layer.build((None, 3))
    before = layer.get_config()
    kerassl.engine.synchronize_batch_norm([layer, keras.layers.ReLU()])
    assert is_synchronized(layer)
    assert layer.get_config() == before
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    y = keras.ops.convert_to_numpy(layer(x, training=True))
    np.testing.assert_allclose(y, (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5), rtol=1e-4, atol=1e-5)
