import keras
import numpy as np
import pytest
from tiny import labels, make, ready_views, state, terms_and_rest

from kerassl import losses

pytestmark = pytest.mark.backends("torch")

TINY = {
    "LOOK": {"arguments": {"projection_dim": 8, "queue_size": 20, "momentum": 0.9, "num_neighbors": 5}},
}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def filled(**kwargs):
    """A model whose queue holds labeled rows."""
    model = make("LOOK", views=None, **kwargs)
    rng = np.random.default_rng(0)
    model.queue.enqueue(rng.normal(size=(20, 8)), np.arange(20) % 3)
    return model


def test_the_first_view_asks_the_queue_and_the_second_ones_key_joins_it():
    model = filled(temperature=0.2, momentum=0.75)
    view1, view2 = ready_views("LOOK")
    q, k = (numpy(model.projector(model.encoder(view, training=True))) for view in (view1, view2))
    expected = losses.look(q, labels(8), numpy(model.queue.features), numpy(model.queue.labels), 5, 0.2)
    classes = keras.ops.convert_to_tensor(labels(8))
    terms, rest = terms_and_rest(model, (view1, view2), classes)
    assert float(terms["look"]) == pytest.approx(float(expected), rel=1e-5) and float(expected) > 0.1
    model.after_update(rest)
    # The teacher began as the student.
    stored = k / np.linalg.norm(k, axis=1, keepdims=True)
    np.testing.assert_allclose(numpy(model.queue.features)[:8], stored, atol=1e-5)
    np.testing.assert_array_equal(numpy(model.queue.labels)[:8], labels(8))


def test_an_empty_queue_and_unlabeled_images_move_nothing():
    model = make("LOOK", views=None)
    before = state(model)
    model.compile(keras.optimizers.SGD(0.1))
    model.fit(ready_views("LOOK"), np.full(8, -1), batch_size=8, verbose=0)
    after = state(model)
    for variable in (*model.encoder.trainable_variables, *model.projector.weights):
        np.testing.assert_array_equal(after[variable.path], before[variable.path], err_msg=variable.path)
    np.testing.assert_array_equal(numpy(model.queue.labels), -1)
    model.fit(ready_views("LOOK"), labels(8), batch_size=8, shuffle=False, verbose=0)
    np.testing.assert_array_equal(numpy(model.queue.labels)[8:16], labels(8))


def test_the_student_learns_and_the_teacher_follows():
    model = filled(momentum=0.75)
    before = state(model)
    model.compile(keras.optimizers.SGD(0.1))
    model.fit(ready_views("LOOK"), labels(8), batch_size=8, verbose=0)
    after = state(model)
    for student, teacher in zip(model.projector.weights, model.teacher_projector.weights, strict=True):
        assert np.abs(after[student.path] - before[student.path]).max() > 0
        expected = 0.75 * before[teacher.path] + 0.25 * after[student.path]
        np.testing.assert_allclose(after[teacher.path], expected, atol=1e-6, err_msg=teacher.path)


def test_data_without_labels_is_refused_by_name():
    model = make("LOOK", views=None)
    with pytest.raises(ValueError, match="LOOK learns from labels, and the data has none"):
        model.fit(ready_views("LOOK"), batch_size=8, verbose=0)
