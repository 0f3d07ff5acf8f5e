"""A network over a large batch, a chunk at a time, in the memory of one chunk."""

import keras
from keras import KerasTensor, ops


def encode_in_chunks(encoder: keras.Model, images: KerasTensor, chunk_size: int) -> KerasTensor:
    """`encoder(images, training=True)`, computed chunk by chunk in both directions.

    Going forward keeps the features and nothing within the network; going backward computes each chunk
    once more, with the gradient of the whole loss at its features. That is the cached-gradient step of
    Gao et al., arXiv 2101.06983: a loss over the whole batch costs the memory of one chunk and a second
    forward pass. Batch norm takes its statistics chunk by chunk; a network without it gives the
    gradients of the whole batch exactly.

    Args:
        encoder: a built model.
        images: `(batch, ...)`, `chunk_size` dividing `batch`.
        chunk_size: images at a time. Chunk i of n holds the images i, i + n, i + 2n, ..., so that a
            batch that is spread over devices stays where it is.

    Returns:
        The encoder's output, or each of its outputs, in the order of `images`.
    """
    fixed, moving = encoder.trainable_variables, encoder.non_trainable_variables

    def call(chunk: KerasTensor, moved: tuple, values: tuple):
        state = list(zip(fixed, values, strict=True)) + list(zip(moving, moved, strict=True))
        with keras.StatelessScope(state_mapping=state) as scope:
            features = encoder(chunk, training=True)
        after = [scope.get_current_value(variable) for variable in moving]
        return features, tuple(old if new is None else new for new, old in zip(after, moved, strict=True))

    shape = (chunk_size, -1, *images.shape[1:])
    chunks = ops.swapaxes(ops.reshape(images, shape), 0, 1)
    # Copies: on TensorFlow and torch a variable's value would change under the loop.
    moved = tuple(ops.copy(variable.value) for variable in moving)
    values = tuple(ops.convert_to_tensor(variable.value) for variable in fixed)
    loop = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[keras.backend.backend()]
    features, moved = loop(call, chunks, moved, values)
    for variable, value in zip(moving, moved, strict=True):
        variable.assign(value)
    return keras.tree.map_structure(_in_order, features)


def _in_order(chunks: KerasTensor):
    return ops.reshape(ops.swapaxes(chunks, 0, 1), (-1, *chunks.shape[2:]))


def _jax(call, chunks, moved, values):  # noqa: ANN001
    import jax

    @jax.checkpoint
    def body(moved, chunk):  # noqa: ANN001
        features, moved = call(chunk, moved, values)
        return moved, features

    moved, features = jax.lax.scan(body, moved, chunks)
    return features, moved


def _torch(call, chunks, moved, values):  # noqa: ANN001
    from torch.utils.checkpoint import checkpoint

    features = []
    for chunk in chunks:
        one, moved = checkpoint(call, chunk, moved, values, use_reentrant=False)
        features.append(one)
    return keras.tree.map_structure(lambda *parts: ops.stack(parts), *features), moved


def _tensorflow(call, chunks, moved, values):  # noqa: ANN001
    import tensorflow as tf

    again = tf.recompute_grad(call)

    def body(before, chunk):  # noqa: ANN001
        return again(chunk, before[1], values)

    first = tf.nest.map_structure(tf.zeros_like, call(chunks[0], moved, values)[0])
    features, moved = tf.scan(body, chunks, (first, moved))
    return features, tuple(value[-1] for value in moved)
