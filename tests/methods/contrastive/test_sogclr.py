"""What SogCLR and iSogCLR remember of each image, and how they learn which one they see."""

import keras
import numpy as np
import pytest
from tiny import images, labels, make, ready_views, terms_and_rest

import kerassl

pytestmark = pytest.mark.backends("torch")

TINY = {
    "SogCLR": {"arguments": {"num_examples": 24, "projection_dim": 8, "hidden_dim": 16}},
    "iSogCLR": {
        "arguments": {
            "num_examples": 24,
            "projection_dim": 8,
            "hidden_dim": 16,
            "robustness": 0.4,
            "temperature_learning_rate": 0.03,
        }
    },
}


NEVER = -1e30


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def loss(model, indices=None):
    (term,) = terms_and_rest(model, ready_views("SogCLR", indices=indices))[0].values()
    return float(term)


def step(model, indices):
    views = ready_views("SogCLR", indices=indices)
    model.fit(views, labels(8), batch_size=8, shuffle=False, verbose=0)


def test_only_images_of_the_batch_are_remembered_and_unknown_ones_are_not():
    model = make("SogCLR", views=None)
    model.compile(keras.optimizers.SGD(0.0))
    step(model, [3, 1, 20, 23, -1, 24, 7, 99])
    first = numpy(model.memories["log_normalizers"].values)
    seen = [1, 3, 7, 20, 23]
    assert np.flatnonzero(first > NEVER / 2).tolist() == seen
    # Views repeat and the weights stay: gamma of the same value and the rest of it is that value.
    step(model, [3, 1, 20, 23, -1, 24, 7, 99])
    np.testing.assert_allclose(numpy(model.memories["log_normalizers"].values)[seen], first[seen], rtol=1e-5)
    model.memories["log_normalizers"].values.assign(np.where(first > NEVER / 2, 0.0, NEVER))
    step(model, [3, 1, 20, 23, -1, 24, 7, 99])
    mixed = np.log(0.1 + 0.9 * np.exp(first[seen]))
    np.testing.assert_allclose(numpy(model.memories["log_normalizers"].values)[seen], mixed, rtol=1e-5)


def test_the_first_step_and_gamma_one_take_the_normalizers_of_the_batch():
    model = make("SogCLR", views=None)
    new, unknown = loss(model), loss(model, [-1] * 8)
    assert new == pytest.approx(unknown, rel=1e-6)
    model.memories["log_normalizers"].values.assign(np.append(np.full(24, 3.0), NEVER))
    assert loss(model) != pytest.approx(new, rel=1e-3)
    assert loss(model, [-1] * 8) == pytest.approx(new, rel=1e-6)
    forgetful = make("SogCLR", views=None, gamma=1.0)
    forgetful.memories["log_normalizers"].values.assign(np.full(25, 3.0))
    assert loss(forgetful) == pytest.approx(new, rel=1e-6)


def test_renumbered_images_with_their_memories_give_the_same_loss():
    model = make("iSogCLR", views=None)
    rng = np.random.default_rng(0)
    order = np.append(rng.permutation(24), 24)
    values = [rng.uniform(0.1, 0.5, 25).astype("float32") for _ in range(2)]
    memories = model.memories["log_normalizers"].values, model.memories["temperatures"].values
    for memory, value in zip(memories, values, strict=True):
        memory.assign(value)
    before = loss(model)
    for memory, value in zip(memories, values, strict=True):
        memory.assign(value[np.argsort(order)])
    assert loss(model, order[:8]) == pytest.approx(before, rel=1e-6)


def test_constant_temperatures_are_sogclr():
    plain = make("SogCLR", views=None, temperature=0.2, gamma=0.8)
    own = make("iSogCLR", views=None, temperature=0.2, temperature_learning_rate=0.0)
    assert loss(own) == pytest.approx(loss(plain), rel=1e-6)
    own.compile(keras.optimizers.SGD(0.1))
    own.fit(ready_views("iSogCLR"), labels(8), batch_size=8, epochs=2, verbose=0)
    np.testing.assert_allclose(numpy(own.memories["temperatures"].values), 0.2, rtol=1e-6)


@pytest.mark.parametrize(("robustness", "end"), [(100.0, 0.05), (-100.0, 1.0)])
def test_the_price_drives_temperatures_to_their_bounds(robustness, end):
    model = make("iSogCLR", views=None, temperature_learning_rate=1.0)
    # Below 0 the price is a prize, which no one would ask for.
    model.arguments.robustness = robustness
    model.compile(keras.optimizers.SGD(0.0))
    step(model, range(8))
    np.testing.assert_allclose(numpy(model.memories["temperatures"].values)[:8], end, rtol=1e-6)
    # The gradient is clipped to 3, of which the momentum takes 0.9.
    np.testing.assert_allclose(
        numpy(model.memories["temperature_moments"].values)[:8], np.sign(robustness) * 2.7, rtol=1e-5
    )
    np.testing.assert_allclose(numpy(model.memories["temperatures"].values)[8:], 0.07, rtol=1e-6)


def test_fit_tells_the_indices_of_images_in_memory():
    model = make("SogCLR", num_examples=30)
    model.compile(keras.optimizers.SGD(0.1))
    model.fit(images(17), labels(17), batch_size=8, verbose=0)
    assert np.flatnonzero(numpy(model.memories["log_normalizers"].values) > NEVER / 2).tolist() == list(
        range(17)
    )
    data = kerassl.data.ImageDataset(images(24), labels(24), batch_size=8)
    model.fit(data, verbose=0)
    assert np.flatnonzero(numpy(model.memories["log_normalizers"].values) > NEVER / 2).tolist() == list(
        range(24)
    )
    assert not data.with_indices
    data.with_indices = True
    assert model.predict(data, verbose=0).shape == (24, 16)


def test_data_without_indices_is_refused():
    model = make("SogCLR")
    model.compile(keras.optimizers.SGD(0.1))

    class Plain(keras.utils.PyDataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return images(8), labels(8)

    with pytest.raises(ValueError, match="SogCLR remembers each example, so it must know which ones"):
        model.fit(Plain(), verbose=0)


def test_bad_numbers():
    for arguments, message in (
        (
            {"temperature": 2.0},
            "in the order min_temperature <= temperature <= max_temperature, got 0.05, 2.0",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            make("iSogCLR", **arguments)
