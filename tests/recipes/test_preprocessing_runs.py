import keras
import pytest

import kerassl
from recipes import evaluate
from recipes.saved import load_encoder

pytestmark = pytest.mark.backends("torch")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """An encoder of digits that were enlarged to 16 pixels."""
    train, _, info = kerassl.data.load("digits", image_size=16, batch_size=64, limit_train=128)
    network = kerassl.backbones.ResNet(info.image_shape, depths=(1,), width=4, stem="small")
    model = kerassl.methods.SimCLR(network, views="digits", projection_dim=8)
    model.compile(keras.optimizers.SGD(0.0))
    model.fit(train, verbose=0)
    return model.export_encoder(tmp_path_factory.mktemp("encoder") / "encoder", format="keras")


LIMITS = {"dataset": "digits", "limit_train": 100, "limit_test": 60, "protocols": "knn"}


def test_images_come_as_in_training_by_default(encoder, recwarn):
    assert evaluate.size_of_training([encoder]) == (16, 16)
    rows = evaluate.run(encoder=str(encoder), **LIMITS)
    assert rows == evaluate.run(encoder=str(encoder), image_size=16, **LIMITS)
    assert not [w for w in recwarn if "otherwise than training" in str(w.message)]


def test_another_size_is_warned_about_with_what_it_makes(encoder):
    with pytest.warns(
        UserWarning, match="the images are 8 x 8 pixels, those of training were 16 x 16"
    ) as found:
        evaluate.run(encoder=str(encoder), image_size=8, **LIMITS)
    texts = [str(w.message) for w in found if "otherwise than training" in str(w.message)]
    assert len(texts) == 1 and "On 359 images" in texts[0] and "lost" not in texts[0]
    model = load_encoder(encoder)
    as_trained = kerassl.data.load("digits", image_size=16)[1]
    given = kerassl.data.load("digits")[1]
    gap = kerassl.evaluation.preprocessing_mismatch(model, given.images, given.labels, as_trained.images)
    assert f"{100 * gap.knn:.1f} % as the images come, {100 * gap.knn_as_trained:.1f} % as in" in texts[0]


def test_encoders_of_several_sizes_and_without_a_record(encoder, tmp_path):
    network = kerassl.backbones.ResNet((8, 8, 1), depths=(1,), width=4, stem="small")
    other = kerassl.methods.SimCLR(network).export_encoder(tmp_path / "other", format="keras")
    assert evaluate.size_of_training([encoder, other]) is None
    assert evaluate.size_of_training([other]) is None
