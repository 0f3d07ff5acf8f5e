import keras
import numpy as np
import pytest

import kerassl

if keras.backend.backend() != "tensorflow":
    pytest.skip("only TensorFlow's own pipelines are tuned", allow_module_level=True)

from kerassl.engine.feeding import feed

IMAGES = np.arange(10 * 4 * 4 * 1, dtype="uint8").reshape(10, 4, 4, 1)


@pytest.mark.parametrize("kind", ["array", "dataset"])
def test_keras_pipelines_are_not_tuned_and_give_the_same_batches(kind):
    x = IMAGES if kind == "array" else kerassl.data.ImageDataset(IMAGES, batch_size=4)
    adapter, y, options = feed(x, None, {"batch_size": 4, "verbose": 0}, "steps", shuffle=False)
    assert y is None and options == {"batch_size": 4, "verbose": 0}
    dataset = adapter.get_tf_dataset()
    assert dataset.options().autotune.enabled is False
    batches = [keras.tree.flatten(batch)[0].numpy() for batch in dataset]
    assert [len(batch) for batch in batches] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate(batches), IMAGES)


def test_the_users_own_pipeline_stays_as_it_is():
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices(IMAGES).batch(4)
    assert feed(dataset, None, {"shuffle": False}, "steps", shuffle=False) == (
        dataset,
        None,
        {"shuffle": False},
    )


def test_what_keras_refuses_is_still_refused():
    dataset = kerassl.data.ImageDataset(IMAGES, batch_size=4)
    with pytest.raises(ValueError, match="`y` should not be passed"):
        feed(dataset, np.zeros(10), {}, "steps", shuffle=False)
