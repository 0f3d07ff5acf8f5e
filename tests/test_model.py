"""What a user can do wrong with an `SSLModel`, and the data that it takes."""

import warnings

import keras
import numpy as np
import pytest
from tiny import images, labels, make, ready_views, tiny_encoder

import kerassl
from kerassl.batch import Outputs

BACKEND = keras.backend.backend()


@pytest.fixture(scope="module")
def model():
    model = make("SimCLR", num_classes=3)
    model.compile(keras.optimizers.SGD(0.01))
    return model


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((0, 16, 16, 3)), None, "images are empty"),
        (np.zeros((8, 16, 16)), None, "must have shape"),
        (np.full((8, 16, 16, 3), np.nan), None, "NaN or infinite"),
        (images(8), np.full(8, 3), "Labels must be in"),
        (images(8), np.full(8, 0.5), "Labels must be integers.*with labels.astype"),
        (images(8), np.array(["cat", "dog"] * 4), "got dtype <U3. Convert them with np.unique"),
        (images(8), labels(7), "8 images but 7 labels"),
        (images(1), None, "holds one of the images"),
        (images(8), images(8), "Keras would take the second view for labels"),
    ],
)
def test_bad_data_is_refused_before_training(model, x, y, message):
    step = int(model.clock.step)
    with pytest.raises(ValueError, match=message):
        model.fit(x, y, batch_size=8, verbose=0)
    assert int(model.clock.step) == step


def test_a_batch_size_of_one_is_refused(model):
    with pytest.raises(ValueError, match="at least two are needed"):
        model.fit(images(8), batch_size=1, verbose=0)


def test_bare_views_are_refused():
    with pytest.raises(ValueError, match=r"\(\(view1, view2, ...\), labels\)"):
        make("SimCLR", views=None).fit(*ready_views("SimCLR"), batch_size=8, verbose=0)


def test_views_need_views_none(model):
    class Pairs(keras.utils.PyDataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return (ready_views("SimCLR"),)

    with pytest.raises(ValueError, match="views=None"):
        model.fit(Pairs(), verbose=0)


def test_unknown_views_name_the_nearest():
    with pytest.raises(ValueError, match="simclr_cifar"):
        make("SimCLR", views="simclr_cifra")


def test_views_of_another_kind_are_refused():
    with pytest.raises(ValueError, match="views must be a string, a Keras layer or None, got 3"):
        make("SimCLR", views=3)


def test_an_encoder_without_features_is_refused():
    class Unbuilt(keras.Model):
        """A network whose output nobody knows yet."""

    with pytest.raises(ValueError, match="kerassl.backbones.adapt"):
        kerassl.methods.SimCLR(Unbuilt())


def test_a_size_is_needed_for_default_views():
    encoder = keras.Sequential([keras.Input((None, None, 3)), keras.layers.GlobalAveragePooling2D()])
    with pytest.raises(ValueError, match="the encoder's fixed input shape must say"):
        kerassl.methods.SimCLR(encoder)


def test_a_feature_map_is_pooled():
    encoder = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(5, 3, strides=2)])
    model = kerassl.methods.SimCLR(encoder)
    assert tuple(model(images(2)).shape) == (2, 5)


@pytest.mark.parametrize("argument", ("loss", "metrics"))
def test_a_loss_of_the_users_is_refused(argument):
    with pytest.raises(ValueError, match="the loss is the method's own"):
        make("SimCLR").compile("sgd", **{argument: "mse"})


def test_terms_must_be_declared():
    class Wrong(kerassl.SSLModel):
        terms = ("mine",)

        def loss_terms(self, views, batch, training):
            return Outputs({"other": keras.ops.mean(self.encode(self.encoder, views[0], training))})

    model = Wrong(tiny_encoder(), views=None)
    model.compile()
    with pytest.raises(ValueError, match=r"returned the terms \('other',\)"):
        model.fit(ready_views("SimCLR"), batch_size=8, verbose=0)


def test_several_terms_are_logged_and_summed():
    class Two(kerassl.SSLModel):
        terms = ("a", "b")

        def loss_terms(self, views, batch, training):
            z = self.encode(self.encoder, views[0], training)
            return Outputs({"a": keras.ops.mean(z), "b": 2 * keras.ops.mean(z)}, features=z)

    model = Two(tiny_encoder(), views=None)
    model.compile(keras.optimizers.SGD(0.0))
    history = model.fit(ready_views("SimCLR"), batch_size=8, verbose=0).history
    assert history["loss"][0] == pytest.approx(history["a"][0] + history["b"][0], rel=1e-5)
    assert history["b"][0] == pytest.approx(2 * history["a"][0], rel=1e-5)


def test_a_subclass_without_a_loss_says_what_to_write():
    model = kerassl.SSLModel(tiny_encoder(), views=None)
    model.compile()
    with pytest.raises(NotImplementedError, match="must define `loss_terms"):
        model.fit(ready_views("SimCLR"), batch_size=8, verbose=0)


def sources():
    """16 labeled images in batches of 8 (2 steps), in every form that `fit` takes."""
    x, y = images(16), labels(16)
    yield "array", (x, y), {"batch_size": 8}
    yield "image_dataset", (kerassl.data.ImageDataset(x, y, batch_size=8, shuffle=True),), {}

    def generator():
        while True:
            for start in (0, 8):
                yield x[start : start + 8], y[start : start + 8]

    yield "generator", (generator(),), {"steps_per_epoch": 2}

    import tensorflow as tf

    yield "tf_data", (tf.data.Dataset.from_tensor_slices((x, y)).batch(8),), {}

    import torch

    pairs = torch.utils.data.TensorDataset(torch.as_tensor(x), torch.as_tensor(y))
    yield "data_loader", (torch.utils.data.DataLoader(pairs, batch_size=8),), {}

    import grain

    source = [(image, label) for image, label in zip(x, y, strict=True)]
    yield "grain", (grain.MapDataset.source(source).batch(8),), {}


def test_every_kind_of_dataset_trains():
    model = make("SimCLR", num_classes=3)
    model.compile(keras.optimizers.SGD(0.01))
    names = []
    for name, arguments, options in sources():
        step = int(model.clock.step)
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*shuffle=True.*")
            history = model.fit(*arguments, epochs=2, verbose=0, **options)
        assert np.isfinite(history.history["loss"]).all(), name
        assert int(model.clock.step) == step + 4, name
        names.append(name)
    assert len(names) == 6


def test_images_in_memory_come_in_an_order_of_seed_and_epoch_and_may_be_split():
    runs = []
    for x, y, options in (
        (images(20), labels(20), {"batch_size": 4, "validation_split": 0.2}),
        (
            kerassl.data.ImageDataset(images(20)[:16], labels(20)[:16], 4, shuffle=True, seed=5),
            None,
            {"validation_data": (images(20)[16:], labels(20)[16:])},
        ),
    ):
        model = make("SimCLR", num_classes=3, seed=5)
        model.compile(keras.optimizers.SGD(0.1))
        runs.append(model.fit(x, y, epochs=2, verbose=0, **options).history)
        assert int(model.clock.total_steps) == 8
    assert runs[0] == runs[1] and "val_loss" in runs[0]


def test_an_unknown_length_moves_no_counter_at_its_end_and_is_told():
    import tensorflow as tf

    model = make("SimCLR", num_classes=3)
    model.compile(keras.optimizers.SGD(0.01))

    def generator():
        for start in (0, 8):
            yield images(16)[start : start + 8]

    signature = tf.TensorSpec((None, 16, 16, 3), tf.uint8)
    with pytest.warns(UserWarning, match="does not say how many batches"):
        model.fit(tf.data.Dataset.from_generator(generator, output_signature=signature), epochs=3, verbose=0)
    assert int(model.clock.step) == 6 and int(model.optimizer.iterations) == 6


def test_seeded_runs_read_the_same_order_and_differ_between_epochs():
    data = kerassl.data.ImageDataset(images(16), labels(16), batch_size=8, shuffle=True, seed=1)
    model = make("SimCLR", num_classes=3)
    model.compile(keras.optimizers.SGD(0.0))
    losses = model.fit(data, epochs=2, verbose=0).history["loss"]
    again = make("SimCLR", num_classes=3)
    again.compile(keras.optimizers.SGD(0.0))
    data = kerassl.data.ImageDataset(images(16), labels(16), batch_size=8, shuffle=True, seed=1)
    assert again.fit(data, epochs=2, verbose=0).history["loss"] == losses
    assert losses[0] != losses[1]


def test_fit_compiles_a_model_that_was_not():
    model = make("SimCLR")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.fit(images(8), labels(8), batch_size=8, verbose=0)
    assert isinstance(model.optimizer, kerassl.optimizers.AdamW)


def test_the_whole_step_is_compiled_where_the_backend_can():
    model = make("SimCLR")
    if keras.backend.backend() == "torch":
        with pytest.raises(
            ValueError, match='jit_compile=True does not run on torch: .*Use jit_compile="auto"'
        ):
            model.compile("sgd", jit_compile=True)
    else:
        model.compile("sgd", jit_compile=True)
        assert model.jit_compile is True


def test_a_model_that_another_backend_compiled_whole_loads():
    model = make("SimCLR")
    model.compile("sgd")
    model.compile_from_config({**model.get_compile_config(), "jit_compile": True})
    assert model.jit_compile is (keras.backend.backend() != "torch")


def test_the_config_round_trip_keeps_every_argument():
    model = make("SimCLR", temperature=0.3, seed=5)
    again = type(model).from_config(model.get_config())
    assert again.arguments.temperature == 0.3 and again.seed == 5
    assert again.views.get_config().keys() == model.views.get_config().keys()
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(again.views.preprocess(images(2))),
        keras.ops.convert_to_numpy(model.views.preprocess(images(2))),
    )
