import keras
import numpy as np
import pytest
from tiny import labels, make, ready_views, terms_and_rest

pytestmark = pytest.mark.backends("torch")

TINY = {
    "MoCHi": {
        "arguments": {
            "projection_dim": 8,
            "queue_size": 20,
            "momentum": 0.9,
            "num_hardest": 4,
            "num_mixed": 3,
            "num_query_mixed": 2,
            "mixing_start_epoch": 0,
        },
        "without_chance": {"num_hardest": 1, "num_query_mixed": 0},
    },
}


SMALL = {"num_hardest": 4, "num_mixed": 3, "num_query_mixed": 2, "mixing_start_epoch": 0}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def loss(model):
    return float(terms_and_rest(model, ready_views("MoCHi"))[0]["info_nce"])


def test_without_mixtures_it_is_moco_v2():
    moco = loss(make("MoCoV2", views=None))
    assert loss(
        make("MoCHi", views=None, **{**SMALL, "num_mixed": 0, "num_query_mixed": 0})
    ) == pytest.approx(moco, rel=1e-6)
    # Before the first epoch of mixing, too.
    model = make("MoCHi", views=None, **{**SMALL, "mixing_start_epoch": 1})
    model.clock.steps_per_epoch.assign(5)
    model.clock.step.assign(4)
    assert loss(model) == pytest.approx(moco, rel=1e-6)
    model.clock.step.assign(5)
    assert loss(model) > moco + 1e-3


def test_mixtures_of_equal_rows_are_more_copies_of_them():
    model = make("MoCHi", views=None, **{**SMALL, "num_query_mixed": 0})
    more = make("MoCoV2", views=None, queue_size=23)
    row = np.ones((1, 8), "float32")
    model.queue.features.assign(np.repeat(row, 20, axis=0))
    more.queue.features.assign(np.repeat(row, 23, axis=0))
    assert loss(model) == pytest.approx(loss(more), rel=1e-5)


def test_mixtures_differ_between_steps_and_repeat_within_one():
    model = make("MoCHi", views=None, **SMALL)
    first = loss(model)
    assert loss(model) == first
    model.clock.step.assign(1)
    assert loss(model) != first


def test_no_mixture_enters_the_queue():
    model = make("MoCHi", views=None, **SMALL)
    model.compile(keras.optimizers.SGD(0.0))
    old = numpy(model.queue.features)
    model.fit(ready_views("MoCHi"), labels(8), batch_size=8, verbose=0)
    np.testing.assert_array_equal(numpy(model.queue.features)[8:], old[8:])


def test_bad_numbers():
    with pytest.raises(ValueError, match="hard_fraction is MoCoV2's"):
        make("MoCHi", hard_fraction=0.1)
    with pytest.raises(ValueError, match="num_hardest must be at most queue_size=20, got 21"):
        make("MoCHi", num_hardest=21)
