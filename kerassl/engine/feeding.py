"""Data on its way into TensorFlow's loops, without the pauses of `tf.data`'s tuning.

At the end of each epoch Keras deletes the iterator, and `tf.data` then waits for its tuning thread, which
sleeps for up to twice as long each time: an epoch of six seconds often took ten. What it would tune, Keras'
own pipelines do not have: one batch is prepared while another is trained on, tuned or not.
"""

import tensorflow as tf

from kerassl.engine.keras_internals import data_adapter, is_validation_within_fit


def feed(x: object, y: object, options: dict, steps: str, shuffle: bool) -> tuple[object, object, dict]:
    """The inputs that `keras.Model.fit`, `evaluate` or `predict` reads instead of its arguments.

    Args:
        x: arrays, a `PyDataset` or anything else that Keras takes; a `tf.data.Dataset` is unchanged.
        y: labels, or `None`.
        options: further arguments of the call.
        steps: name of the argument that holds the number of batches.
        shuffle: the default of the call.

    Returns:
        `x`, `y` and `options`.
    """
    if x is None or hasattr(x, "element_spec") or is_validation_within_fit(options):
        return x, y, options
    options = dict(options)
    adapter = data_adapter(
        x,
        y,
        sample_weight=options.pop("sample_weight", None),
        batch_size=options.get("batch_size"),
        steps_per_epoch=options.get(steps),
        shuffle=options.get("shuffle", shuffle),
        class_weight=options.pop("class_weight", None),
    )
    make = adapter.get_tf_dataset

    def get_tf_dataset():
        untuned = tf.data.Options()
        untuned.autotune.enabled = False
        return make().with_options(untuned)

    adapter.get_tf_dataset = get_tf_dataset
    return adapter, None, options
