"""What a method makes of the encoder that it is given."""

import keras
import numpy as np
import pytest
from tiny import images, tiny_encoder

import kerassl
from kerassl.backbones import adapt
from kerassl.methods import SimCLR

HALF = (0.5, 0.5, 0.5)


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def functional(*layers):
    inputs = x = keras.Input((16, 16, 3))
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model that was trained on images normalized by 0.5 and 0.25, and the file of its encoder."""
    views = kerassl.views.preset("simclr_cifar", 16, mean=0.5, std=0.25)
    model = SimCLR(tiny_encoder(), views=views, projection_dim=8)
    path = model.export_encoder(tmp_path_factory.mktemp("encoder") / "encoder", format="keras")
    return model, path


def test_an_encoder_that_rescales_its_input_is_refused():
    net = keras.applications.MobileNetV3Small((32, 32, 3), weights=None, include_top=False)
    with pytest.raises(ValueError, match="rescales its input itself .*include_preprocessing=False"):
        SimCLR(net)
    with pytest.raises(ValueError, match="rescales its input itself"):
        kerassl.distillation.SEED(tiny_encoder(), net)


def test_rescaling_inside_is_allowed_where_the_views_do_not_normalize():
    net = functional(keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(4, 3))
    model = SimCLR(net, views=None, projection_dim=8)
    assert model.feature_dim == 4


def test_a_softmax_top_is_refused_also_with_views_of_ones_own():
    net = functional(keras.layers.Flatten(), keras.layers.Dense(5, activation="softmax", name="top"))
    with pytest.raises(ValueError, match="classification layer 'top'.*keras.Model"):
        SimCLR(net, views=None)


def test_an_encoder_that_is_not_built_or_is_a_method_is_refused():
    with pytest.raises(ValueError, match="must be a built keras.Model"):
        SimCLR(keras.Sequential([keras.layers.Dense(3)]))
    with pytest.raises(ValueError, match=r"is a SimCLR.*model\.encoder"):
        SimCLR(SimCLR(tiny_encoder(), projection_dim=8), views=None)


def test_an_adapted_encoder_passes():
    net = adapt(functional(keras.layers.Conv2D(4, 3)))
    assert SimCLR(net, projection_dim=8).encoder is net


def test_the_encoder_within_an_exported_one_is_taken_with_its_statistics(exported):
    before, path = exported
    loaded = keras.models.load_model(path)
    model = SimCLR(loaded, projection_dim=8)
    assert type(model.encoder) is type(before.encoder)
    assert model.encoder.input_mean == HALF and model.encoder.input_std == (0.25,) * 3
    assert model.views.preprocess.normalize.mean == HALF
    np.testing.assert_allclose(numpy(model(images(4))), numpy(before(images(4))), atol=1e-5)
    # The weights are those of what was loaded, and a teacher is a copy of the inner encoder.
    model.encoder.weights[0].assign(model.encoder.weights[0] + 1)
    np.testing.assert_array_equal(numpy(loaded.weights[0]), numpy(model.encoder.weights[0]))
    teacher = kerassl.methods.BYOL(keras.models.load_model(path)).teacher_encoder
    assert type(teacher) is type(before.encoder)


def test_an_exported_teacher_of_a_distiller_keeps_its_own_normalization(exported):
    before, path = exported
    student = tiny_encoder()
    student.input_mean, student.input_std = (0.1, 0.2, 0.3), HALF
    model = kerassl.distillation.Distill(keras.models.load_model(path), student, loss="rkd_distance")
    batch = images(4)
    outputs = model.teacher.outputs(model, model.preprocess(batch))
    np.testing.assert_allclose(numpy(outputs), numpy(before(batch)), atol=1e-4)


def test_an_exported_classifier_is_refused(tmp_path):
    model = kerassl.classifiers.Classifier(tiny_encoder(), num_classes=3)
    path = model.export_classifier(tmp_path / "classifier", format="keras")
    with pytest.raises(ValueError, match="classification layer 'probabilities'"):
        SimCLR(keras.models.load_model(path))


def test_input_statistics_survive_saving_of_encoder_and_method(tmp_path):
    encoder = kerassl.backbones.ResNet((16, 16, 3), depths=(1,), width=4, stem="small")
    encoder.input_mean, encoder.input_std = HALF, (0.2, 0.3, 0.4)
    encoder.save(tmp_path / "encoder.keras")
    again = keras.models.load_model(tmp_path / "encoder.keras")
    assert (again.input_mean, again.input_std) == (HALF, (0.2, 0.3, 0.4))
    model = SimCLR(again, projection_dim=8)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.encoder.input_std == (0.2, 0.3, 0.4)
    assert loaded.views.preprocess.normalize.std == (0.2, 0.3, 0.4)
    vit = kerassl.backbones.vit((16, 16, 3), patch_size=8, hidden_dim=8, depth=1, num_heads=2)
    vit.input_mean = HALF
    assert type(vit).from_config(vit.get_config()).input_mean == HALF


def test_the_logits_of_an_exported_classifier_teach(exported, tmp_path):
    teacher = kerassl.classifiers.Classifier(tiny_encoder(), num_classes=3)
    path = teacher.export_classifier(tmp_path / "classifier", format="keras")
    model = kerassl.distillation.Distill(keras.models.load_model(path), tiny_encoder())
    outputs = keras.ops.softmax(model.teacher.outputs(model, model.preprocess(images(4))))
    np.testing.assert_allclose(numpy(outputs), teacher.classify(images(4)), atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "mend"),
    [
        ((8, 3, 16, 16), r"16 channels .*takes 3: put the channels last, np.moveaxis\(images, 1, -1\)"),
        ((8, 16, 16, 1), r"1 channels .*takes 3: repeat the channel, np.repeat\(images, 3, axis=-1\)"),
        ((8, 16, 16, 4), r"4 channels .*takes 3: leave out the others.* images\[\.\.\., :3\]"),
    ],
)
def test_images_of_other_channels_are_refused_with_the_mend(shape, mend):
    model = SimCLR(tiny_encoder(), projection_dim=8)
    batch = np.random.default_rng(0).integers(0, 256, shape).astype("uint8")
    for refused in (
        lambda: model.fit(batch, batch_size=8, verbose=0),
        lambda: model.fit(images(8), batch_size=8, validation_data=batch, verbose=0),
        lambda: model.evaluate(batch, verbose=0),
        lambda: model.predict(batch, verbose=0),
        lambda: SimCLR(tiny_encoder(), views=None).fit((batch, batch), batch_size=8, verbose=0),
    ):
        with pytest.raises(ValueError, match=mend):
            refused()
    assert int(model.clock.step) == 0


def test_color_images_into_a_gray_encoder_are_told_to_average():
    gray = kerassl.backbones.ResNet((16, 16, 1), depths=(1,), width=4, stem="small")
    with pytest.raises(ValueError, match=r"takes 1: average the channels, images.mean\(axis=-1"):
        SimCLR(gray, projection_dim=8).fit(images(8), batch_size=8, verbose=0)


def test_views_that_make_images_of_something_else_are_left_alone():
    class Spectrograms(kerassl.views.Views):
        def augment(self, inputs, seed):
            return keras.ops.reshape(inputs, (-1, 16, 16, 3))

        def preprocess(self, inputs):
            return keras.ops.reshape(inputs, (-1, 16, 16, 3))

    model = SimCLR(tiny_encoder(), views=Spectrograms(), projection_dim=8)
    assert model.predict(np.zeros((4, 16, 48, 1), "float32"), verbose=0).shape == (4, 16)
