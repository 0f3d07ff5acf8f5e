"""What kerassl relies on inside Keras: each test bears the name of what a new Keras has changed."""

import keras
import numpy as np
import pytest
from keras import ops
from tiny import images, labels, make

import kerassl
from kerassl.engine import keras_internals as internals

BACKEND = keras.backend.backend()


@pytest.fixture(autouse=True)
def checks_anew():
    internals.assert_hook.cache_clear()
    yield
    internals.assert_hook.cache_clear()


def network():
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.BatchNormalization()])
    model = keras.Sequential([keras.Input((4,)), inner, keras.layers.Dense(2)])
    model.build((None, 4))
    return model


def built(optimizer):
    variables = [keras.Variable(np.ones((2, 2), "float32"), name=name) for name in ("kernel", "other")]
    optimizer.build(variables)
    return optimizer, variables


class Without:
    """An object of Keras that has lost its private parts."""


def gone(name, call):
    """Asserts that a call says what Keras has changed, and with which version it worked."""
    version = rf"Keras {keras.__version__} has changed .*{name}.*pip install keras=={internals.TESTED}"
    with pytest.raises(RuntimeError, match=version):
        call()


def test_the_tested_version_is_the_pinned_one():
    import pathlib

    pins = (pathlib.Path(__file__).parents[2] / "constraints.txt").read_text().splitlines()
    assert f"keras=={internals.TESTED}" in pins


def test_flatten_layers():
    model = network()
    layers = internals.layers_of(model, include_self=False)
    names = [type(layer).__name__ for layer in layers if layer.weights]
    assert sorted(names) == ["BatchNormalization", "Dense", "Dense", "Sequential"]
    assert [*map(id, internals.layers_of(model))] == [id(model), *map(id, layers)]
    gone("_flatten_layers", lambda: internals.layers_of(Without()))


def test_trainable_variables_of_a_layer_itself():
    model = network()
    assert internals.own_trainable_variables(model) == []
    assert [v.name for v in internals.own_trainable_variables(model.layers[-1])] == ["kernel", "bias"]
    gone("_trainable_variables", lambda: internals.own_trainable_variables(Without()))


def test_untrack_variable():
    layer = keras.layers.Layer()
    first, second = (layer.add_weight(shape=(2,), name=name) for name in ("first", "second"))
    internals.untrack_variable(layer, first)
    assert [id(v) for v in layer.weights] == [id(second)]
    gone("_untrack_variable", lambda: internals.untrack_variable(Without(), first))


def test_loss_tracker(monkeypatch):
    model = network()
    model.compile("sgd", "mse")
    tracker = internals.loss_tracker(model)
    assert tracker.name == "loss" and any(metric is tracker for metric in model.metrics)
    tracker.update_state(3.0)
    model.reset_metrics()
    assert float(tracker.result()) == 0
    gone("_loss_tracker", lambda: internals.loss_tracker(Without()))
    gone("_loss_tracker", lambda: internals.loss_tracker(network()))


def test_model_of_a_callback_within_an_epoch():
    seen = []

    class Look(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            seen.append(internals.model_of(self))

    model = network()
    model.compile("sgd", "mse")
    model.fit(np.zeros((4, 4)), np.zeros((4, 2)), callbacks=[Look()], verbose=0)
    assert len(seen) == 1 and seen[0] is model
    gone("_model", lambda: internals.model_of(Without()))


def test_moments_of_batch_norm_are_asked_for():
    layer = keras.layers.BatchNormalization()
    layer.build((None, 3))
    assert not internals.has_replaced_moments(layer)

    def moments(of, local_moments, inputs, mask):
        mean, variance = local_moments(inputs, mask)
        assert of is layer and tuple(mean.shape) == tuple(variance.shape) == (3,)
        return mean + 1.0, variance

    x = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")
    before = ops.convert_to_numpy(layer(x, training=True))
    internals.replace_moments(layer, moments)
    assert internals.has_replaced_moments(layer)
    after = ops.convert_to_numpy(layer(x, training=True))
    np.testing.assert_allclose(
        before - after, np.broadcast_to(1 / np.sqrt(x.var(0) + 1e-3), x.shape), rtol=1e-3
    )


def test_batch_norm_that_does_not_ask_for_moments_cannot_be_synchronized(monkeypatch):
    layer = kerassl.engine.batch_norm()
    layer.build((None, 3))
    with monkeypatch.context() as patch:
        patch.delattr(keras.layers.BatchNormalization, "_moments")
        gone("_moments", lambda: kerassl.engine.synchronize_batch_norm([layer]))
    # The method is there, and nothing calls it.
    monkeypatch.setattr(keras.layers.BatchNormalization, "call", lambda self, inputs, training=None: inputs)
    gone("_moments", lambda: kerassl.engine.synchronize_batch_norm([layer]))
    assert not kerassl.engine.is_synchronized(layer)


def test_reduction_axes():
    layer = keras.layers.BatchNormalization()
    layer.build((None, 4, 4, 3))
    assert list(internals.reduction_axes(layer)) == [0, 1, 2]
    gone("_reduction_axes", lambda: internals.reduction_axes(keras.layers.BatchNormalization()))
    gone("_reduction_axes", lambda: internals.reduction_axes(Without()))


def test_get_data_adapter(monkeypatch):
    adapter = internals.data_adapter(
        np.zeros((10, 2)), None, batch_size=4, steps_per_epoch=None, shuffle=False
    )
    assert adapter.num_batches == 3 and callable(adapter.get_tf_dataset)
    import keras.src.trainers.data_adapters as adapters

    monkeypatch.delattr(adapters, "get_data_adapter")
    gone("get_data_adapter", lambda: internals.data_adapter(np.zeros((10, 2)), None))


@pytest.mark.backends("tensorflow")  # Only TensorFlow's own pipelines are tuned.
def test_fit_takes_an_adapter_and_asks_it_for_its_pipeline():
    adapter = internals.data_adapter(
        np.zeros((4, 4)), np.zeros((4, 2)), batch_size=4, steps_per_epoch=None, shuffle=False
    )
    make_dataset, asked = adapter.get_tf_dataset, []

    def get_tf_dataset():
        asked.append(1)
        return make_dataset()

    adapter.get_tf_dataset = get_tf_dataset
    model = network()
    model.compile("sgd", "mse")
    model.fit(adapter, verbose=0)
    assert asked


def test_use_cached_eval_dataset():
    options = []

    class Recorded(keras.Model):
        def call(self, x):
            return x

        def evaluate(self, *args, **kwargs):
            options.append(kwargs)
            return super().evaluate(*args, **kwargs)

    model, x = Recorded(), np.zeros((4, 2))
    model.compile("sgd", "mse")
    model.fit(x, x, validation_data=(x, x), verbose=0)
    model.evaluate(x, x, verbose=0)
    assert [internals.is_validation_within_fit(given) for given in options] == [True, False]


@pytest.mark.backends("tensorflow")  # Strategies are TensorFlow's.
def test_distribute_strategy():
    import tensorflow as tf

    assert internals.strategy_of(network()) is None
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    with strategy.scope():
        assert internals.strategy_of(network()) is strategy
    gone("_distribute_strategy", lambda: internals.strategy_of(Without()))


@pytest.mark.backends("tensorflow")  # It replaces a build of TensorFlow's trainer.
def test_maybe_symbolic_build():
    internals.assert_hook(keras.Model, "_maybe_symbolic_build", "nothing")
    assert type(make("SimCLR"))._maybe_symbolic_build is internals.NoSymbolicBuild._maybe_symbolic_build


def test_seed_generator_without_a_variable():
    def draw():
        generator = kerassl.engine.StepSeed(3, step=5)
        dropped = keras.random.dropout(ops.ones((64,)), 0.5, seed=generator)
        return [
            ops.convert_to_numpy(x)
            for x in (dropped, *(keras.random.normal((4,), seed=generator) for _ in range(2)))
        ]

    for one, other in zip(draw(), draw(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(*draw()[1:])
    assert internals.StatelessSeedGenerator("any").seed == "any"


def test_attributes_of_variables():
    for value in (True, False):
        variable = keras.Variable([[1.0]])
        assert internals.marked(variable, "is_decayed", default=True)
        internals.mark(variable, "is_decayed", value)
        assert internals.marked(variable, "is_decayed", default=not value) is value
    for call in (
        lambda: internals.mark(variable, "decayed", False),
        lambda: internals.marked(variable, "decayed", default=True),
    ):
        with pytest.raises(
            ValueError, match="The mark 'decayed' is unknown; use one of is_decayed, starts_late"
        ):
            call()


def test_variables_that_keep_no_attributes_are_refused(monkeypatch):
    variable = keras.Variable([[1.0]])

    def refuse(self, name, value):
        raise AttributeError(name)

    with monkeypatch.context() as patch:
        patch.setattr(type(variable), "__setattr__", refuse)
        gone("refuses attributes", lambda: internals.mark(variable, "is_decayed", False))
    monkeypatch.setattr(type(variable), "__setattr__", lambda self, name, value: None)
    gone("loses attributes", lambda: internals.mark(variable, "is_decayed", False))


def test_marks_reach_the_optimizer_of_a_loaded_model(tmp_path):
    model = make("SwAV")
    model.compile(kerassl.optimizers.AdamW(1e-3))
    model.save(tmp_path / "model.keras")
    for one in (model, keras.models.load_model(tmp_path / "model.keras")):
        one.fit(images(8), labels(8), batch_size=8, verbose=0)
        (late,) = (v for v in one.trainable_variables if v.name == "prototypes")
        assert not internals.marked(late, "is_decayed", default=True)
        optimizer = one.optimizer
        assert not optimizer.decays(late) and optimizer.decays(one.encoder.trainable_variables[0])
        assert [v.name for v in optimizer.variables].count("idle_steps") == 1


def test_var_key():
    optimizer, (first, second) = built(kerassl.optimizers.SGD(0.1))
    assert internals.variable_key(optimizer, first) == internals.variable_key(optimizer, first)
    assert internals.variable_key(optimizer, first) != internals.variable_key(optimizer, second)
    if BACKEND == "tensorflow":
        # `update_step` receives the backend's variables.
        assert internals.variable_key(optimizer, first.value) == internals.variable_key(optimizer, first)
    gone("_var_key", lambda: internals.variable_key(Without(), first))


def test_get_variable_index():
    optimizer, variables = built(kerassl.optimizers.SGD(0.1))
    assert [internals.variable_index(optimizer, v) for v in variables] == [0, 1]
    gone("_get_variable_index", lambda: internals.variable_index(Without(), variables[0]))


def test_iterations_count_batches():
    optimizer, variables = built(keras.optimizers.SGD(0.1, gradient_accumulation_steps=2))
    for _ in range(3):
        optimizer.apply([ops.ones((2, 2))] * 2, variables)
    assert int(internals.batches_seen(optimizer)) == 3 and int(optimizer.iterations) == 1
    gone("_iterations", lambda: internals.batches_seen(Without()))


def test_decay_hooks_are_asked():
    class Halved(internals.DecayHooks, keras.optimizers.SGD):
        def decays(self, variable):
            return super().decays(variable) and self.asked_for(variable)

        def asked_for(self, variable):
            return internals.variable_key(self, variable) == self.only

        def decay(self, variables):
            super().decay([v for v in variables if self.decays(v)])

    optimizer = Halved(0.5, weight_decay=0.5)
    variables = [keras.Variable(np.ones((2, 2), "float32"), name=name) for name in ("first", "second")]
    optimizer.only = internals.variable_key(optimizer, variables[1])
    optimizer.apply([ops.zeros((2, 2))] * 2, variables)
    np.testing.assert_array_equal(ops.convert_to_numpy(variables[0]), np.ones((2, 2)))
    np.testing.assert_allclose(ops.convert_to_numpy(variables[1]), np.full((2, 2), 0.75))


@pytest.mark.parametrize("hook", ("_use_weight_decay", "_apply_weight_decay"))
def test_an_optimizer_without_decay_hooks_is_refused(hook, monkeypatch):
    for owner in keras.optimizers.Optimizer.__mro__:
        if hook in vars(owner):
            monkeypatch.delattr(owner, hook)
    gone(hook, lambda: kerassl.optimizers.AdamW(1e-3))


def test_a_hook_that_nothing_calls_is_refused():
    class Base:
        def _hook(self):
            return 1

        def step(self):
            return [self._hook() for _ in range(2)]

    class Renamed(Base):
        pass

    Base.__module__ = "keras.src.base"
    internals.assert_hook(Renamed, "_hook", "nothing works")
    Base.step = lambda self: self._other_hook()
    internals.assert_hook.cache_clear()
    gone("Renamed._hook", lambda: internals.assert_hook(Renamed, "_hook", "nothing works"))
    gone("Renamed._gone", lambda: internals.assert_hook(Renamed, "_gone", "nothing works"))
