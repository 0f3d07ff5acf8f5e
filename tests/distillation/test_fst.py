import keras
import numpy as np
import pytest
from tiny import images, labels, make, ready_views, terms_and_rest

import kerassl

pytestmark = pytest.mark.backends("torch")

TINY = {
    "FST": {"arguments": {"num_virtual_steps": 2}},
}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def student(model):
    return [numpy(v) for v in model.learned]


def teacher(model):
    learned = {id(v) for v in model.learned}
    of = ((model.teacher_encoder, model.encoder), (model.teacher_classifier, model.classifier))
    return [numpy(t) for a, b in of for t, s in zip(a.weights, b.weights, strict=True) if id(s) in learned]


def assign_teacher(model, value):
    for layer in (model.teacher_encoder, model.teacher_classifier):
        for variable in layer.weights:
            if "moving" not in variable.path:
                variable.assign(np.full(variable.shape, value))


class Recorded:
    """Virtual steps that add their number to the student's weights."""

    def __init__(self, model):
        self.model, self.before = model, student(model)

    def take(self, number):
        for variable in self.model.learned:
            variable.assign(variable + number)

    def restore(self):
        for variable, value in zip(self.model.learned, self.before, strict=True):
            variable.assign(value)


@pytest.mark.parametrize("variant", ("deeper", "wider"))
def test_the_teacher_follows_the_future(variant):
    model = make("FST", views=None, num_virtual_steps=3, variant=variant, max_momentum=0.9)
    model.clock.step.assign(4)
    assign_teacher(model, 0.5)
    own = student(model)
    momentum = 0.8
    model.before_update(Recorded(model))
    if variant == "deeper":
        # The student has moved by 0, 1, 1 + 2 and 1 + 2 + 3 when the teacher follows.
        expected = [np.full(value.shape, 0.5) for value in own]
        for ahead in (0, 1, 3, 6):
            expected = [
                momentum * t + (1 - momentum) * (s + ahead) for t, s in zip(expected, own, strict=True)
            ]
    else:
        expected = [momentum * 0.5 + (1 - momentum) * (s + 2) for s in own]
    for value, wanted in zip(teacher(model), expected, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-5, atol=1e-6)
    for value, before in zip(student(model), own, strict=True):
        np.testing.assert_array_equal(value, before)
    model.clock.step.assign(100)
    assert float(model.momentum(model.clock.update)) == pytest.approx(0.9)


def test_without_learning_the_teacher_covers_its_gap_by_powers_of_the_momentum():
    model = make("FST", views=None, num_virtual_steps=3)
    model.compile(keras.optimizers.SGD(0.0))
    model.clock.step.assign(9)
    assign_teacher(model, 0.5)
    own = student(model)
    model.fit(ready_views("FST"), labels(8), batch_size=8, verbose=0)
    for value, s, after in zip(teacher(model), own, student(model), strict=True):
        np.testing.assert_array_equal(after, s)
        np.testing.assert_allclose(value, s + 0.9**4 * (0.5 - s), rtol=1e-5, atol=1e-6)


def test_without_looking_ahead_the_teacher_is_the_mean_of_all_students_so_far():
    model = make("FST", views=None, num_virtual_steps=0)
    model.compile(keras.optimizers.SGD(0.1))
    students = [student(model)]
    for _ in range(4):
        model.fit(ready_views("FST"), labels(8), batch_size=8, verbose=0)
        students.append(student(model))
        for value, *past in zip(teacher(model), *students, strict=True):
            np.testing.assert_allclose(value, np.mean(past, axis=0), rtol=1e-4, atol=1e-6)


def test_the_teacher_classifies_with_its_own_weights():
    model = make("FST", views=None)
    by_student = model.classify(images(5), batch_size=2)
    np.testing.assert_allclose(model.classify_by_teacher(images(5), batch_size=2), by_student, atol=1e-6)
    assign_teacher(model, 0.0)
    even = model.classify_by_teacher(images(5))
    np.testing.assert_allclose(even, np.full(even.shape, 1 / even.shape[1]), atol=1e-6)
    np.testing.assert_allclose(model.classify(images(5)), by_student, atol=1e-6)


def test_sure_pseudo_labels_teach_the_strong_view_of_unlabeled_images():
    model = make("FST", views=None, unlabeled_weight=2.0)
    strong, weak = ready_views("FST")
    known = labels(8)
    known[:5] = -1
    taught = model.teacher_classifier(model.teacher_encoder(weak, training=True))
    # So that the teacher is sure of half of the unlabeled images.
    model.arguments.threshold = float(np.median(numpy(keras.ops.softmax(taught))[:5].max(axis=1))) - 1e-5
    terms, rest = terms_and_rest(model, (strong, weak), keras.ops.convert_to_tensor(known))
    views = np.concatenate([weak, strong])
    of_weak, of_strong = np.split(numpy(model.classifier(model.encoder(views, training=True))), 2)
    each = numpy(kerassl.losses.pseudo_label(of_strong, taught, model.arguments.threshold, reduction="none"))
    assert np.count_nonzero(each[:5]) == 3
    assert float(terms["pseudo_label"]) == pytest.approx(2 * each[:5].mean(), rel=1e-5)
    assert float(terms["cross_entropy"]) == pytest.approx(
        float(kerassl.losses.cross_entropy(of_weak, known)), rel=1e-5
    )
    np.testing.assert_allclose(numpy(rest["logits"]), of_weak, atol=1e-5)


def test_virtual_steps_draw_views_of_their_own():
    model = make("FST", num_virtual_steps=2)
    model.compile(keras.optimizers.SGD(0.1))
    seen = []
    loss_terms = model.loss_terms

    def watching(views, labels, training):
        seen.append(numpy(views[0]))
        return loss_terms(views, labels, training)

    model.loss_terms = watching
    model.fit(images(8), labels(8), batch_size=8, verbose=0)
    assert len(seen) == 3
    assert all(np.abs(seen[i] - seen[j]).max() > 0.1 for i, j in ((0, 1), (0, 2), (1, 2)))


def test_the_wider_variant_trains_and_is_loaded(tmp_path):
    model = make("FST", num_virtual_steps=2, variant="wider")
    model.compile(keras.optimizers.Adam(1e-2))
    history = model.fit(images(), labels(), batch_size=8, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.arguments.variant == "wider" and loaded.uses_virtual_steps
    for each in (model, loaded):
        each.fit(images(), labels(), batch_size=8, epochs=3, initial_epoch=2, verbose=0)
    for a, b in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(numpy(a), numpy(b), err_msg=a.path)


def test_what_cannot_be_is_named():
    with pytest.raises(ValueError, match="FST needs an update with every batch; take an optimizer without"):
        make("FST").compile(keras.optimizers.SGD(0.1, gradient_accumulation_steps=2))
    with pytest.raises(ValueError, match='nonfinite="skip" is not for FST'):
        make("FST").compile(keras.optimizers.SGD(0.1), nonfinite="skip")
    mean_teacher = make("FST", views=None, num_virtual_steps=0)
    mean_teacher.compile(keras.optimizers.SGD(0.1, gradient_accumulation_steps=2), nonfinite="skip")
    before = teacher(mean_teacher)
    mean_teacher.fit(ready_views("FST"), labels(8), batch_size=8, verbose=0)
    for old, new in zip(before, teacher(mean_teacher), strict=True):
        np.testing.assert_array_equal(old, new)
