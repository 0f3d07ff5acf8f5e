import keras
import numpy as np
import pytest
from tiny import images, labels, make, ready_views, terms_and_rest

pytestmark = pytest.mark.backends("torch")

TINY = {
    "SMoG": {
        "arguments": {
            "num_groups": 6,
            "reset_updates": 3,
            "bank_size": 16,
            "hidden_dim": 16,
            "projection_dim": 8,
            "momentum": 0.9,
        }
    },
}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.mark.parametrize("step", (0, 1))
def test_the_loss_is_the_contrast_with_the_groups_that_moved(step):
    model = make("SMoG", views=None, group_momentum=0.5)
    model.compile()
    model.clock.step.assign(step)
    views = ready_views("SMoG")
    first, second = views if step == 0 else views[::-1]
    z = numpy(model.projector(model.encoder(first, training=True), training=True))
    x = unit(numpy(model.predictor(z, training=True)))
    y = unit(numpy(model.teacher_projector(model.teacher_encoder(second, training=True), training=True)))
    groups, z = numpy(model.groups), unit(z)
    own, others = (z @ groups.T).argmax(axis=1), (y @ groups.T).argmax(axis=1)
    assert (own != others).any()
    moved = groups.copy()
    for k in set(own):
        moved[k] = unit(0.5 * groups[k] + 0.5 * z[own == k].mean(axis=0))
    logits = x @ moved.T / 0.1
    expected = -np.mean((logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))[np.arange(8), others])
    terms, rest = terms_and_rest(model, views)
    assert float(terms["smog"]) == pytest.approx(expected, rel=1e-4)
    np.testing.assert_array_equal(numpy(rest["assignments"]), others)
    np.testing.assert_allclose(numpy(rest["groups"]), moved, atol=1e-5)
    model.after_update(rest)
    np.testing.assert_allclose(numpy(model.groups), moved, atol=1e-5)
    np.testing.assert_allclose(numpy(model.bank.features)[:8], z, atol=1e-5)
    assert not numpy(model.bank.features)[8:].any()


def test_groups_are_made_anew_when_due_and_the_teacher_becomes_the_student():
    model = make("SMoG", num_groups=3, reset_updates=3)
    model.compile(keras.optimizers.SGD(0.5))
    model.fit(images(16), labels(16), batch_size=8, verbose=0)
    model.start_epoch(None, 0)
    assert int(model.last_reset) == 0
    model.fit(images(16), labels(16), batch_size=8, epochs=2, initial_epoch=1, verbose=0)
    assert int(model.last_reset) == 0
    model.start_epoch(None, 0)
    assert int(model.last_reset) == 4
    bank, groups = numpy(model.bank.features), numpy(model.groups)
    np.testing.assert_allclose(np.linalg.norm(groups, axis=1), 1, atol=1e-5)
    nearest = (bank @ groups.T).argmax(axis=1)
    means = np.array([unit(bank[nearest == k].mean(axis=0)) for k in range(3)])
    np.testing.assert_allclose(groups, means, atol=0.05)
    for teacher, student in (
        (model.teacher_encoder, model.encoder),
        (model.teacher_projector, model.projector),
    ):
        for a, b in zip(teacher.weights, student.weights, strict=True):
            np.testing.assert_array_equal(numpy(a), numpy(b))


def test_groups_are_left_alone_without_resets_or_embeddings():
    model = make("SMoG", reset_updates=0)
    model.compile(keras.optimizers.SGD(0.0))
    model.fit(images(16), labels(16), batch_size=8, epochs=3, verbose=0)
    assert int(model.last_reset) == 0
    early = make("SMoG", num_groups=16, reset_updates=1)
    early.compile()
    early.fit(images(8), labels(8), batch_size=8, epochs=2, verbose=0)
    assert int(early.last_reset) == 0


def test_bad_arguments():
    with pytest.raises(ValueError, match="num_groups must be at most bank_size=16, got 17"):
        make("SMoG", num_groups=17)
