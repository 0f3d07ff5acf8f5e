"""What a data set yields, taken apart."""

import numpy as np
import pytest

from kerassl.batch import Batch, Outputs, unpack_batch, with_sample_index

pytestmark = pytest.mark.backends("torch")
X, Y, W, I = np.zeros((2, 5)), np.array([0, 1]), np.array([1.0, 2.0]), np.array([7, 3])  # noqa: E741


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (X, Batch(X)),
        ((X,), Batch(X)),
        ((X, Y), Batch(X, Y)),
        ((X, Y, W), Batch(X, Y, None, W)),
        (({"inputs": X, "sample_index": I}, Y), Batch(X, Y, I)),
        (({"inputs": (X, X), "sample_index": I},), Batch((X, X), None, I)),
        # A dict of inputs keeps the others.
        (({"signal": X, "age": Y, "sample_index": I}, Y), Batch({"signal": X, "age": Y}, Y, I)),
        (({"signal": X, "age": Y},), Batch({"signal": X, "age": Y})),
        (((X, X), Y), Batch((X, X), Y)),
    ],
)
def test_parts_come_to_their_places(data, expected):
    found = unpack_batch(data)
    np.testing.assert_equal(tuple(found), tuple(expected))


@pytest.mark.parametrize("inputs", (X, (X, X), {"signal": X, "age": Y}), ids=("array", "tuple", "dict"))
def test_indices_put_in_come_out_again(inputs):
    batch = unpack_batch((with_sample_index(inputs, I), Y))
    np.testing.assert_equal(batch.inputs, inputs)
    np.testing.assert_array_equal(batch.indices, I)


def test_outputs_have_nothing_that_a_method_does_not_give():
    outputs = Outputs({"loss": 1.0})
    assert outputs.features == () and outputs.state == {}
    assert outputs.embedding is outputs.assignments is outputs.logits is None
