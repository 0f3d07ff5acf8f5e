import keras
import numpy as np
import pytest
from tiny import images, labels, make, ready_views, terms_and_rest, tiny_vit

import kerassl
from kerassl import losses
from kerassl.distillation import LSSKD
from kerassl.views import quarter_turns

pytestmark = pytest.mark.backends("torch")

TINY = {
    "LSSKD": {"arguments": {"layers": ("early",)}, "sizes": (16,)},
}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def terms_of(model, known=None):
    (view,) = ready_views("LSSKD")
    known = labels(8) if known is None else known
    return terms_and_rest(model, (view,), keras.ops.convert_to_tensor(known))


def test_the_terms_are_those_of_all_classifiers_on_all_rotations():
    model = make("LSSKD", views=None, temperature=2.0, kd_weight=0.5, feature_weight=3.0)
    (view,), known = ready_views("LSSKD"), labels(8)
    known[5] = -1
    rows = numpy(quarter_turns(view)).reshape(-1, 16, 16, 3)
    both = keras.Model(model.encoder.inputs, [model.encoder.output, model.encoder.layers[3].output])
    features, early = both(rows, training=True)
    shallow = model.auxiliaries[0](early, training=True)
    deepest, answer = model.joint_classifier(features), model.auxiliary_classifiers[0](shallow)
    joint = np.repeat(known * 4, 4) + np.tile(np.arange(4), 8)
    joint[known.repeat(4) < 0] = -1
    expected = {
        "cross_entropy": losses.cross_entropy(model.classifier(features)[::4], known),
        "joint": losses.cross_entropy(deepest, joint) + losses.cross_entropy(answer, joint),
        "kd": 0.5 * losses.kd(answer, deepest, 2.0),
        "features": 3.0 * np.mean((numpy(shallow) - numpy(features)) ** 2),
    }
    terms, rest = terms_of(model, known)
    assert list(terms) == list(expected)
    for name, value in expected.items():
        assert float(terms[name]) == pytest.approx(float(value), rel=1e-4), name
    np.testing.assert_allclose(numpy(rest["features"]), numpy(features)[::4], atol=1e-5)


def test_classifiers_that_agree_have_nothing_to_distil():
    model = make("LSSKD", views=None)
    bias = np.random.default_rng(0).normal(size=12)
    for classifier in (model.joint_classifier, *model.auxiliary_classifiers):
        classifier.set_weights([np.zeros((16, 12)), bias])
    terms, _ = terms_of(model)
    assert float(terms["kd"]) == pytest.approx(0, abs=1e-6)


def test_the_deepest_classifier_and_the_encoders_features_are_detached():
    model = make("LSSKD", views=None, feature_weight=1.0)
    terms, _ = terms_of(model)
    (terms["kd"] + terms["features"]).backward()

    def moved(layer):
        gradients = [v.value.grad for v in layer.trainable_variables]
        return any(g is not None and float(g.abs().max()) > 0 for g in gradients)

    assert not moved(model.joint_classifier) and not moved(model.classifier)
    assert moved(model.auxiliary_classifiers[0]) and moved(model.auxiliaries[0])
    # The layers after the tapped one give the target alone.
    assert not moved(model.encoder.layers[4]) and moved(model.encoder.layers[1])


def test_weights_of_zero_leave_the_cross_entropies():
    terms, _ = terms_of(make("LSSKD", views=None, kd_weight=0.0, feature_weight=0.0))
    assert float(terms["kd"]) == float(terms["features"]) == 0 and float(terms["joint"]) > 0


def test_our_networks_say_where_their_stages_end():
    resnet = kerassl.backbones.resnet18((16, 16, 3), stem="small", width=4)
    model = LSSKD(resnet, num_classes=3)
    assert model.intermediate.names == tuple(f"stage{i}_block2_relu2" for i in (1, 2, 3))
    bottleneck = kerassl.backbones.resnet50((16, 16, 3), stem="small", width=2)
    assert bottleneck.get_layer(bottleneck.stages[1]).output.shape == (None, 8, 8, 16)
    transformer = LSSKD(tiny_vit(), views=None, num_classes=3)
    assert transformer.intermediate.names == ("block1",)
    assert all(np.isfinite(float(term)) for term in terms_of(transformer)[0].values())
    deep = kerassl.backbones.vit((16, 16, 3), patch_size=4, hidden_dim=12)
    assert deep.stages == ("block3", "block6", "block9", "block12")


def test_auxiliaries_fall_away_in_the_export(tmp_path):
    model = make("LSSKD")
    path = model.export_classifier(tmp_path / "classifier", format="keras")
    alone = keras.models.load_model(path)
    np.testing.assert_allclose(alone.predict(images(5), verbose=0), model.classify(images(5)), atol=1e-5)
    assert len(alone.weights) == len(model.encoder.weights) + 2


def test_what_does_not_fit_is_named():
    for arguments, message in (({"layers": ("middle",)}, "LSSKD: the encoder .* has no layer 'middle'"),):
        with pytest.raises(ValueError, match=message):
            make("LSSKD", **arguments)
