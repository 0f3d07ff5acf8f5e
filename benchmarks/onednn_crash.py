r"""TensorFlow 2.21 crashes in the gradient of a strided 1x1 convolution of few channels, shown by one layer.

    python -m benchmarks.onednn_crash                          # segmentation fault (139) or abort (134)
    python -m benchmarks.onednn_crash --channels=16            # fine
    TF_ENABLE_ONEDNN_OPTS=0 python -m benchmarks.onednn_crash  # fine

Expected: the loss is printed. Actual: the process dies within the first training step.

Seen with TensorFlow 2.21.0 and Keras 3.15.1 from pip, Python 3.11, Linux, an Intel Xeon with AVX-512 and AMX,
in float32, with batches of 1 to 64 and with one thread as well as two. Inputs of 1, 2, 3, 4, 6, 8, 12 and 15
channels crash, those of 16, 17, 24 and 32 do not; images of 56, 64, 96, 128 and 224 pixels crash, of 32,
48, 50 and 54 do not. The forward pass is fine. Without Keras, the gradient of the kernel is enough:

    tf.raw_ops.Conv2DBackpropFilter(
        input=tf.zeros((1, 64, 64, 8)),
        filter_sizes=[1, 1, 8, 16],
        out_backprop=tf.zeros((1, 32, 32, 16)),
        strides=[1, 2, 2, 1],
        padding="VALID",
    )

The shortcut of a ResNet stage is such a convolution: a ResNet of width 8 crashes and one of 16 does not.
"""

import argparse
import os

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np


def main() -> None:
    """Takes one training step."""
    parser = argparse.ArgumentParser(description="Trains one strided 1x1 convolution for one step.")
    parser.add_argument("--channels", type=int, default=8, help="channels of the input.")
    parser.add_argument("--size", type=int, default=64, help="height and width of the input.")
    arguments = parser.parse_args()

    inputs = np.zeros((1, arguments.size, arguments.size, arguments.channels), "float32")
    model = keras.Sequential([keras.Input(inputs.shape[1:]), keras.layers.Conv2D(16, 1, strides=2)])
    model.compile("sgd", "mse", jit_compile=False)
    print("loss:", model.train_on_batch(inputs, np.zeros(model.output_shape[1:], "float32")[None]))


if __name__ == "__main__":
    main()
