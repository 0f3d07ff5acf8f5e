import keras
import numpy as np
import pytest
import torch
from tiny import images, labels, make, ready_views, terms_and_rest, tiny_encoder

import kerassl
from kerassl.classifiers import Classifier
from kerassl.distillation import MEALV2, DistilledClassifier, FrozenTeacher

pytestmark = pytest.mark.backends("torch")

TINY = {
    "DistilledClassifier": {"teacher": "Classifier", "teacher_widths": (6,), "sizes": (16,)},
    "MEALV2": {"teacher": "Classifier", "teacher_widths": (6, 5), "sizes": (16,)},
}


def numpy(x):
    return keras.ops.convert_to_numpy(keras.ops.stop_gradient(x))


def softmax(x):
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


def trained_classifier(width=6):
    model = Classifier(tiny_encoder(width), num_classes=3)
    rng = np.random.default_rng(width)
    model.classifier.set_weights([rng.normal(size=w.shape) for w in model.classifier.get_weights()])
    return model


def gradients(model, view, term):
    """Of one term, for the student's kernel and for the discriminator's first."""
    weights = [model.classifier.kernel, model.discriminator.trainable_variables[0]]
    terms, _ = terms_and_rest(model, (view,), training=False)
    found = torch.autograd.grad(terms[term], [w.value for w in weights], allow_unused=True)
    return [0.0 if g is None else numpy(g) for g in found]


def test_the_terms_are_those_of_the_paper():
    model = make("MEALV2", views=None)
    (view,) = ready_views("MEALV2")
    _, logits = model.features_and_logits(view, training=False)
    logits = numpy(logits).astype("float64")
    teachers = [numpy(t.network(view, training=False)).astype("float64") for t in model.teachers]
    target = np.mean([softmax(t) for t in teachers], axis=0)
    terms, rest = terms_and_rest(model, (view,), training=False)
    expected = -np.mean(np.sum(target * np.log(softmax(logits)), axis=1))
    assert float(terms["soft_cross_entropy"]) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(numpy(rest["logits"]), logits, atol=1e-6)

    def scores(x):
        for kernel, bias in zip(*[iter(model.discriminator.get_weights())] * 2, strict=True):
            x = np.maximum(x @ kernel + bias, 0)
        return x

    assert [layer.units for layer in model.discriminator.layers[::2]] == [8, 8, 2]
    student, mean = scores(logits), scores(np.mean(teachers, axis=0))
    signs = np.array([-1, 1])
    expected = np.mean([np.log1p(np.exp(signs * student)), np.log1p(np.exp(-signs * mean))])
    assert float(terms["discriminator"]) == pytest.approx(expected, rel=1e-5)


def test_the_discriminator_is_as_wide_as_the_official_one():
    encoder = tiny_encoder(4)
    teacher = keras.Model(encoder.input, keras.layers.Dense(1000)(encoder.output))
    model = MEALV2([teacher], tiny_encoder(3), views=None)
    assert [layer.units for layer in model.discriminator.layers[::2]] == [125, 15, 2]
    assert model.num_classes == 1000
    nothing = MEALV2([teacher], tiny_encoder(3), views=None, discriminator=None)
    assert nothing.discriminator is None and [mean.name for mean in nothing.step_metrics.term_means] == [
        "soft_cross_entropy"
    ]


def test_the_game_turns_the_students_gradient_round_and_the_rate_scales_the_discriminators():
    (view,) = ready_views("MEALV2")
    found = {}
    for kind, rate in (("added", 1.0), ("added", 0.01), ("adversarial", 1.0), ("added", 0.0)):
        model = make("MEALV2", views=None, discriminator=kind, discriminator_rate=rate)
        rng = np.random.default_rng(0)
        # Biases that keep the ReLUs alive.
        model.discriminator.set_weights(
            [np.abs(rng.normal(size=w.shape)) for w in model.discriminator.get_weights()]
        )
        found[kind, rate] = gradients(model, view, "discriminator")
    student, discriminator = found["added", 1.0]
    assert np.abs(student).max() > 1e-4 and np.abs(discriminator).max() > 1e-4
    np.testing.assert_allclose(found["added", 0.01][0], student, rtol=1e-5)
    np.testing.assert_allclose(found["added", 0.01][1], 0.01 * discriminator, rtol=1e-4)
    np.testing.assert_allclose(found["adversarial", 1.0][0], -student, rtol=1e-5)
    np.testing.assert_allclose(found["adversarial", 1.0][1], discriminator, rtol=1e-5)
    assert not np.any(found["added", 0.0][1])


def test_a_trained_classifier_is_gone_on_with_and_teaches_by_its_logits():
    start, teacher = trained_classifier(3), trained_classifier(6)
    model = DistilledClassifier(teacher, start)
    pictures = images(4)
    np.testing.assert_allclose(model.classify(pictures), start.classify(pictures), atol=1e-6)
    assert model.encoder is start.encoder and model.views.preprocess is not None
    said = model.teachers[0].network(model.preprocess(pictures))
    np.testing.assert_allclose(softmax(numpy(said)), teacher.classify(pictures), atol=1e-5)
    paths = [variable.path for each in make("MEALV2").teachers for variable in each.weights]
    assert len(set(paths)) == len(paths)


def test_labels_enter_by_what_the_teacher_leaves_them():
    (view,) = ready_views("DistilledClassifier")
    some = np.where(np.arange(8) < 3, labels(8), -1)
    model = make("DistilledClassifier", views=None, distillation_weight=0.25, temperature=2.0)
    assert model.step_metrics.terms == ("soft_cross_entropy", "cross_entropy")
    _, logits = model.features_and_logits(view, training=False)
    said = model.teachers[0].network(view, training=False)
    terms, _ = terms_and_rest(model, (view,), some, training=False)
    soft = float(kerassl.losses.soft_cross_entropy(logits, said, 2.0))
    assert float(terms["soft_cross_entropy"]) == pytest.approx(0.25 * soft, rel=1e-5)
    hard = float(kerassl.losses.cross_entropy(logits[:3], some[:3]))
    assert float(terms["cross_entropy"]) == pytest.approx(0.75 * hard, rel=1e-5)
    with pytest.raises(ValueError, match="DistilledClassifier learns from labels, and the data has none"):
        terms_and_rest(model, (view,), training=False)
    # A student that says what its teacher says has the teacher's entropy left.
    start = trained_classifier()
    model = DistilledClassifier(start, start, views=None)
    terms, rest = terms_and_rest(model, (view,), training=False)
    p = softmax(numpy(rest["logits"]).astype("float64"))
    assert float(terms["soft_cross_entropy"]) == pytest.approx(-np.mean(np.sum(p * np.log(p), 1)), rel=1e-4)


def test_it_trains_without_labels_and_its_teachers_stay(tmp_path):
    views = kerassl.views.preset("crop_flip", 16)
    teacher = FrozenTeacher(trained_classifier(), views.preprocess)
    model = DistilledClassifier(
        [teacher, trained_classifier(5)], tiny_encoder(3), views=views, temperature=2.0
    )
    model.compile(keras.optimizers.Adam(1e-2))
    before = [weight for each in model.teachers for weight in each.get_weights()]
    history = model.fit(images(), batch_size=8, epochs=2, verbose=0).history
    assert history["loss"][1] < history["loss"][0] and "accuracy" not in history
    for old, new in zip(before, [w for each in model.teachers for w in each.get_weights()], strict=True):
        np.testing.assert_array_equal(old, new)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for name in ("temperature", "distillation_weight", "num_classes"):
        assert loaded.get_config()[name] == model.get_config()[name]
    assert loaded.teachers[0].preprocess is not None
    for each in (model, loaded):
        each.fit(images(), batch_size=8, epochs=3, initial_epoch=2, verbose=0)
    for a, b in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(numpy(a), numpy(b), err_msg=a.path)


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match=r"must have the same classes; their numbers are \[3, 5\]"):
        DistilledClassifier(trained_classifier(), tiny_encoder(3), num_classes=5)
    with pytest.raises(ValueError, match="At least one teacher is needed; the list is empty"):
        DistilledClassifier([], tiny_encoder(3), num_classes=5)
    with pytest.raises(ValueError, match="SimCLR has no classes; a teacher must"):
        DistilledClassifier(kerassl.methods.SimCLR(tiny_encoder(3), projection_dim=8), tiny_encoder(3))
