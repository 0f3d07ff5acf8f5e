import keras
import numpy as np
import pytest
from tiny import labels, make, ready_views, terms_and_rest, tiny_encoder, tiny_vit

import kerassl
from kerassl import losses
from kerassl.backbones.feature_maps import IntermediateFeatures
from kerassl.distillation import USKD

pytestmark = pytest.mark.backends("torch")

TINY = {
    "USKD": {"arguments": {"layer": "early"}, "sizes": (16,)},
}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def test_the_terms_are_those_of_the_losses():
    model = make("USKD", views=None, alpha=0.5, beta=2.0, mu=0.3)
    (view,), known = ready_views("USKD"), labels(8)
    known[:3] = -1
    logits = model.features_and_logits(view, True)[1]
    early = keras.Model(model.encoder.inputs, model.encoder.layers[3].output)
    weak = model.weak_classifier(keras.ops.mean(early(view, training=True), axis=(1, 2)))
    expected = {
        "cross_entropy": losses.cross_entropy(logits, known),
        "uskd_target": 0.5 * losses.uskd_target(logits, known),
        "uskd_non_target": 2.0 * losses.uskd_non_target(logits, weak, known),
        "weak": 0.3 * losses.cross_entropy(weak, known, label_smoothing=0.1),
    }
    terms, _ = terms_and_rest(model, (view,), keras.ops.convert_to_tensor(known))
    assert list(terms) == list(expected)
    for name, value in expected.items():
        assert float(terms[name]) == pytest.approx(float(value), rel=1e-5), name


def test_the_weak_classifier_sees_the_stage_before_the_last():
    resnet = kerassl.backbones.resnet18((16, 16, 3), stem="small", width=4)
    assert USKD(resnet, num_classes=3).intermediate.shapes == [(None, 4, 4, 16)]
    model = USKD(tiny_vit(), views=None, num_classes=3)
    assert model.intermediate.names == ("block1",)
    (view,) = ready_views("USKD")
    features, tokens = model.intermediate(view)
    np.testing.assert_allclose(numpy(features), numpy(model.encoder(view)), atol=1e-6)
    assert tuple(tokens.shape) == (8, 17, 16)
    known = keras.ops.convert_to_tensor(labels(8))
    terms, _ = terms_and_rest(model, (view,), known)
    # Of a ViT the class token.
    weak = losses.cross_entropy(model.weak_classifier(tokens[:, 0]), known, label_smoothing=0.1)
    assert float(terms["weak"]) == pytest.approx(0.005 * float(weak), rel=1e-4)
    deep = kerassl.backbones.vit((16, 16, 3), patch_size=4, hidden_dim=16, depth=5, num_heads=2)
    assert USKD(deep, views=None, num_classes=3).intermediate.names == ("block2",)


def test_intermediate_layers_share_weights_and_run_in_chunks():
    encoder = tiny_encoder()
    both = IntermediateFeatures(encoder, [layer.name for layer in encoder.layers[2:4]], "a method")
    assert {id(v) for v in both.variables} == {id(v) for v in encoder.variables}
    model = make("USKD", views=None)
    model.compile(keras.optimizers.SGD(0.1), chunk_size=4)
    history = model.fit(ready_views("USKD"), labels(8), batch_size=8, verbose=0).history
    assert np.isfinite(history["loss"]).all()


def test_what_does_not_fit_is_named():
    encoder = tiny_encoder()
    with pytest.raises(ValueError, match="does not say where its stages end, or has one only: name"):
        USKD(encoder, num_classes=3)
    with pytest.raises(ValueError, match="USKD: the encoder .* has no layer 'middle'; it has .*conv2d"):
        USKD(encoder, num_classes=3, layer="middle")
    with pytest.raises(ValueError, match=r"gives \(None, 16\); a feature map \(batch, h, w, dim\) or tokens"):
        USKD(encoder, num_classes=3, layer=encoder.layers[-1].name)

    class Closed(keras.Model):
        output_shape = (None, 4)

    with pytest.raises(ValueError, match="is a Closed, whose layers cannot be asked from outside"):
        IntermediateFeatures(Closed(), ("layer",), "a method")
