"""The contract of a modality, with kinds of data that the library does not know."""

import keras
import numpy as np
import pytest
from keras import ops

from kerassl import views
from kerassl.engine import StepSeed

RNG = np.random.default_rng(0)


@keras.saving.register_keras_serializable("test_modality")
class Signals(views.Views):
    """Signals `(batch, time, channels)` with NaN for a missing value."""

    modality, allows_nan = "signals", True

    def augment(self, inputs, seed):
        clean = self.preprocess(inputs)
        return clean + 0.1 * keras.random.normal(ops.shape(clean), seed=seed)

    def preprocess(self, inputs):
        return ops.where(ops.isnan(inputs), 0.0, inputs)


class Pairs(views.Views):
    """Pairs of an image and a text, of which the text is masked."""

    modality = "pairs"

    def augment(self, inputs, seed):
        text = inputs["text"]
        kept = keras.random.uniform(ops.shape(text), seed=seed) < 0.5
        return {"image": ops.cast(inputs["image"], "float32"), "text": ops.where(kept, text, 0)}


def signals(number=4):
    return RNG.normal(size=(number, 10, 3)).astype("float32")


def pairs(number=4):
    return {
        "image": RNG.integers(0, 256, (number, 4, 4, 3)).astype("uint8"),
        "text": RNG.integers(1, 100, (number, 7)).astype("int32"),
    }


def numpy(tree):
    return keras.tree.map_structure(ops.convert_to_numpy, tree)


def test_a_subclass_with_augment_makes_two_views_of_a_seed():
    x = signals()
    first, again = (numpy(Signals()(x, seed=StepSeed(0, 3))) for _ in range(2))
    assert isinstance(first, tuple) and [view.shape for view in first] == [(4, 10, 3)] * 2
    np.testing.assert_array_equal(first[0], again[0])
    assert not np.allclose(first[0], first[1])
    assert np.isfinite(numpy(Signals()(np.full_like(x, np.nan)))[0]).all()


def test_views_without_augment_say_what_to_write():
    with pytest.raises(NotImplementedError, match=r"must define `augment\(inputs, seed\)`, one view, or"):
        views.Views().augment(None, None)


@pytest.mark.parametrize(
    "make",
    [
        lambda: views.TwoViews(Pairs()),
        lambda: views.MultiCrop([Pairs()], [Pairs()]),
        lambda: views.TwoViews(Pairs(), Pairs(name="other")),
    ],
)
def test_multi_view_layers_take_pytrees(make):
    x = pairs()
    first, second = numpy(make()(x, seed=StepSeed(0, 0)))
    for view in (first, second):
        assert view["image"].shape == (4, 4, 4, 3) and view["text"].shape == (4, 7)
        assert set(np.unique(view["text"])) <= {0, *np.unique(x["text"])}
    assert not np.array_equal(first["text"], second["text"])


def test_masked_and_single_views_answer_for_the_kind_of_their_source():
    x = signals()
    one, masked = views.OneView(Signals()), views.MaskedView(Signals(), num_patches=5)
    assert len(one(x)) == 1 and one.num_views == 1
    signal, permutation = numpy(masked(x))
    assert signal.shape == (4, 10, 3) and permutation.shape == (4, 5)
    for layer in (one, masked, views.TwoViews(one), views.MaskedCrops(one, (2, 2), num_global_crops=1)):
        assert layer.modality == "signals" and layer.allows_nan
        np.testing.assert_array_equal(numpy(layer.preprocess(np.full((1, 2, 3), np.nan))), 0)
        layer.check(np.full((2, 3, 1), np.nan, "float32"))
    with pytest.raises(ValueError, match="makes 2 views where one is needed"):
        views.OneView(views.TwoViews(Signals()))(x)


def test_the_layers_are_saved_with_their_source():
    config = keras.saving.serialize_keras_object(views.TwoViews(Signals(seed=3)))
    copy = keras.saving.deserialize_keras_object(config)
    assert type(copy.view1) is Signals and copy.view1.seed == 3 and copy.modality == "signals"


@pytest.mark.parametrize(
    ("layer", "x", "labels", "message"),
    [
        (
            Pairs(),
            {**pairs(), "text": np.zeros((3, 7))},
            None,
            "pairs must have one first axis.*image of",
        ),
        (Pairs(), {}, None, "No pairs were given"),
        (Pairs(), pairs(0), None, "The pairs are empty: got image of shape"),
        (
            Pairs(),
            {"text": np.array([[1.0], [np.nan]])},
            None,
            "1 of 2 pairs hold NaN or .* of 'text'",
        ),
        (
            Signals(),
            np.array([[1.0], [np.inf]]),
            None,
            "1 of 2 signals hold infinite .* is number 1",
        ),
        (Signals(), signals(), np.zeros(3), "There are 4 signals but 3 labels"),
    ],
)
def test_bad_inputs_are_refused_in_the_words_of_the_modality(layer, x, labels, message):
    with pytest.raises(ValueError, match=message):
        layer.check(x, labels)


def test_good_inputs_pass():
    Pairs().check(pairs(), np.zeros(4))
    Signals().check(ops.convert_to_tensor(np.array([[np.nan], [3.0]], "float32")))
    # A sum that overflows is no infinite value.
    views.Views().check(np.full((3, 2), 3e38, "float32"))


def test_describe_gives_plain_values():
    assert Signals().describe(signals()) == {"shape": [10, 3], "dtype": "float32"}
    found = Pairs().describe(pairs())
    assert found["shape"] == {"image": [4, 4, 3], "text": [7]}
    assert found["dtype"] == {"image": "uint8", "text": "int32"}


def test_statistics_are_those_of_the_finite_values():
    x = signals()
    x[0, 0] = [np.nan, np.inf, -np.inf]
    found = {name: float(value) for name, value in Signals().statistics(ops.convert_to_tensor(x)).items()}
    finite = x[np.isfinite(x)]
    expected = {
        "minimum": finite.min(),
        "maximum": finite.max(),
        "mean": finite.mean(),
        "variance": finite.var(),
        "nonfinite": 3,
    }
    assert found == pytest.approx(expected, rel=1e-4)


def test_statistics_of_a_pytree_are_those_of_all_its_numbers():
    x = pairs()
    found = Pairs().statistics(keras.tree.map_structure(ops.convert_to_tensor, x))
    together = np.concatenate([part.ravel() for part in x.values()]).astype("float64")
    assert float(found["mean"]) == pytest.approx(together.mean(), rel=1e-5)
    assert float(found["variance"]) == pytest.approx(together.var(), rel=1e-4)
    assert float(found["maximum"]) == together.max() and float(found["nonfinite"]) == 0


def test_raw_inputs_are_like_those_of_the_encoder():
    inputs = {
        "image": keras.Input((4, 4, 3), name="image"),
        "text": keras.Input((7,), name="text", dtype="int32"),
    }
    encoder = keras.Model(inputs, keras.layers.Flatten()(inputs["image"]))
    spec = Pairs().raw_input_spec(encoder)
    assert spec["text"].shape == (None, 7) and spec["text"].dtype == "int32"
    assert spec["image"].shape == (None, 4, 4, 3)


def test_a_preprocessing_layer_takes_the_place_of_the_method():
    class Own(views.Views):
        def __init__(self):
            super().__init__()
            self.preprocess = keras.layers.Rescaling(0.5)

        def augment(self, inputs, seed):
            return self.preprocess(inputs)

    assert isinstance(Own().preprocess, keras.layers.Rescaling)
    np.testing.assert_array_equal(numpy(Own()(np.ones((1, 2), "float32"))[0]), 0.5)
