import keras
import numpy as np
import pytest
from tiny import labels, make, ready_views, terms_and_rest, tiny_encoder

import kerassl

pytestmark = pytest.mark.backends("torch")

TINY = {
    "Mugs": {
        "encoder": "tokens",
        "arguments": {
            "num_prototypes": 16,
            "hidden_dim": 16,
            "bottleneck_dim": 8,
            "freeze_last_layer_epochs": 0,
            "queue_size": 20,
            "memory_size": 12,
            "num_neighbors": 3,
            "prediction_hidden_dim": 16,
        },
        "views": ("dino_cifar", {"num_local_crops": 1}),
        "sizes": (16, 16, 8, 8),
    },
}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def tokens_of(encoder, view):
    tokens = encoder.encode_tokens(encoder.embed_patches(view), training=True, normalize=False)
    return numpy(encoder.final_norm(tokens))[:, 0], numpy(tokens).mean(axis=1)


def contrast(prediction, key, queue):
    logits = (
        np.concatenate([np.sum(prediction * key, axis=1, keepdims=True), prediction @ queue.T], axis=1) / 0.2
    )
    return -np.mean(logits[:, 0] - np.log(np.exp(logits).sum(axis=1)))


def halves(pairs):
    """Half the mean over other large crops and half that over small ones; the first two crops are large."""
    return ((pairs[0][1] + pairs[1][0]) / 2 + np.mean([pairs[u][v] for u in (0, 1) for v in (2, 3)])) / 2


def test_the_terms_are_the_three_supervisions():
    model = make("Mugs", views=None, group_weight=2.0)
    model.compile()
    views = ready_views("Mugs")
    student = [tokens_of(model.encoder, view) for view in views]
    teacher = [tokens_of(model.teacher_encoder, view) for view in views[:2]]
    features = np.concatenate([f for f, _ in student])

    def related(encoder, block, memory, parts):
        outputs = []
        rows = numpy(memory.features)
        for _, mean in parts:
            nearest = np.argsort(-(mean @ rows.T), axis=1)[:, :3]
            # Of any length: the block normalizes them.
            group = np.concatenate([mean[:, None], rows[nearest] * 10.0], axis=1)
            outputs.append(numpy(encoder.final_norm(block(group)))[:, 0])
        return np.concatenate(outputs)

    inputs = (features, related(model.encoder, model.block, model.memory, student))
    teacher_inputs = (
        np.concatenate([f for f, _ in teacher]),
        related(model.teacher_encoder, model.teacher_block, model.teacher_memory, teacher),
    )
    expected = []
    for part in range(2):
        z = unit(numpy(model.projectors[part](inputs[part], training=True)))
        p = np.split(unit(numpy(model.predictors[part](z, training=True))), 4)
        k = np.split(unit(numpy(model.teacher_projectors[part](teacher_inputs[part], training=True))), 2)
        queue = numpy(model.queues[part].features)
        expected.append(halves([[contrast(p[v], k[u], queue) for v in range(4)] for u in range(2)]))
    logits = np.split(numpy(model.head(features)) / 0.1, 4)
    targets = np.split(numpy(model.teacher_head(teacher_inputs[0])) / 0.04, 2)
    log_p = [x - np.log(np.exp(x).sum(axis=1, keepdims=True)) for x in logits]
    t = [np.exp(x) / np.exp(x).sum(axis=1, keepdims=True) for x in targets]
    expected.append(halves([[-np.mean(np.sum(t[u] * log_p[v], axis=1)) for v in range(4)] for u in range(2)]))

    terms, _ = terms_and_rest(model, views)
    for (name, value), share, wanted in zip(terms.items(), (0.25, 0.25, 0.5), expected, strict=True):
        assert float(value) == pytest.approx(share * wanted, rel=1e-3), name


def test_the_group_term_alone_is_dino_of_large_crops():
    model = make("Mugs", views=None, instance_weight=0.0, local_group_weight=0.0)
    dino = make("DINO", views=None)
    for name in ("encoder", "teacher_encoder", "head", "teacher_head"):
        getattr(dino, name).set_weights(getattr(model, name).get_weights())
    views = ready_views("Mugs")[:2]
    terms, _ = terms_and_rest(model, views)
    expected, _ = terms_and_rest(dino, views)
    assert float(terms["dino"]) == pytest.approx(float(expected["dino"]), rel=1e-5)
    assert float(terms["instance"]) == float(terms["local_group"]) == 0.0


def test_a_common_factor_of_the_weights_changes_nothing():
    views = ready_views("Mugs")
    values = []
    for factor in (1.0, 3.0):
        weights = {"instance_weight": factor, "local_group_weight": factor, "group_weight": factor}
        terms, _ = terms_and_rest(make("Mugs", views=None, **weights), views)
        values.append([float(v) for v in terms.values()])
    np.testing.assert_allclose(values[0], values[1], rtol=1e-5)


def test_queues_and_memories_take_the_batch_once_after_the_step():
    model = make("Mugs", views=None, momentum=1.0)
    model.compile(keras.optimizers.SGD(0.0))
    views = ready_views("Mugs")
    _, rest = terms_and_rest(model, views)
    before = [numpy(queue.features) for queue in (*model.queues, model.memory)]
    model.fit(views, labels(8), batch_size=8, verbose=0, shuffle=False)
    for part in range(2):
        keys = unit(numpy(rest["keys"][part]).reshape(16, -1))
        np.testing.assert_allclose(numpy(model.queues[part].features)[:16], keys, atol=1e-4)
        np.testing.assert_array_equal(numpy(model.queues[part].features)[16:], before[part][16:])
    means = unit(tokens_of(model.encoder, views[0])[1])
    np.testing.assert_allclose(numpy(model.memory.features)[:8], means, atol=1e-4)
    np.testing.assert_array_equal(numpy(model.memory.features)[8:], before[2][8:])
    assert int(numpy(model.memory.position)) == 8
    assert [int(numpy(queue.position)) for queue in model.queues] == [16, 16]


def test_bad_arguments():
    with pytest.raises(ValueError, match="Mugs uses the patches of an image"):
        kerassl.methods.Mugs(tiny_encoder())
    with pytest.raises(ValueError, match="One of the three weights must be > 0, got 0 for all"):
        make("Mugs", instance_weight=0, local_group_weight=0, group_weight=0)
    with pytest.raises(ValueError, match="num_neighbors must be at most memory_size=12, got 13"):
        make("Mugs", num_neighbors=13)
    with pytest.raises(ValueError, match="at least two views; got 1"):
        terms_and_rest(make("Mugs", views=None), ready_views("Mugs")[:1])
