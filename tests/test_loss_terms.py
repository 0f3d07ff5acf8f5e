"""What a class declares of its loss, and what `loss_terms` may return."""

import keras
import pytest
from tiny import images, make, tiny_encoder

import kerassl
from kerassl import Outputs


def mean(model, views):
    return keras.ops.mean(model.encode(model.encoder, views[0], True))


def method(returns, declared=("size",)):
    class Mine(kerassl.SSLModel):
        terms = declared

        def loss_terms(self, views, batch, training):
            return returns(self, views)

    return Mine


def fit(cls):
    model = cls(tiny_encoder(), views="simclr_cifar")
    model.compile("sgd", run_eagerly=True)
    return model.fit(images(8), batch_size=8, verbose=0).history


@pytest.mark.parametrize(
    ("returns", "got"),
    [
        (mean, r"a tensor of the shape \(\)"),
        (lambda m, v: {"size": mean(m, v)}, r"a dict with the keys \('size',\)"),
        (lambda m, v: ({"size": mean(m, v)}, {"features": v[0]}), "a tuple of 2"),
        (lambda m, v: None, "None"),
        (lambda m, v: Outputs(mean(m, v)), r"Outputs whose terms are a tensor of the shape \(\)"),
    ],
)
def test_what_is_not_outputs_is_told_what_to_return(returns, got):
    told = rf'Mine.loss_terms returned {got}: return kerassl.Outputs\({{"size": ...}}, features=features\)'
    with pytest.raises(ValueError, match=told):
        fit(method(returns))


def test_terms_are_scalars_with_the_declared_names():
    with pytest.raises(ValueError, match=r"the terms \('sise',\).*declares terms=\('size',\).*may be 'size'"):
        fit(method(lambda m, v: Outputs({"sise": mean(m, v)})))
    each = method(lambda m, v: Outputs({"size": keras.ops.mean(m.encode(m.encoder, v[0], True), axis=1)}))
    with pytest.raises(ValueError, match=r"the term 'size' with the shape \(8,\): a term is a scalar"):
        fit(each)
    with pytest.raises(ValueError, match="whose state is None"):
        fit(method(lambda m, v: Outputs({"size": mean(m, v)}, state=None)))


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ((), r"must declare the names of its loss terms.*got terms=\(\)"),
        ("size", "must be a tuple of names.*got 'size'"),
        (("size", "size"), "has 'size' twice"),
        (("size", 3), r"got terms=\('size', 3\)"),
        (("loss",), "'loss', which is the logs' name of another number"),
    ],
)
def test_a_class_declares_its_terms(declared, message):
    with pytest.raises(ValueError, match=f"Mine.*{message}"):
        method(None, declared)(tiny_encoder(), views=None)


def test_a_method_need_not_return_features():
    history = fit(method(lambda m, v: Outputs({"size": mean(m, v)})))
    assert history["loss"][0] == history["loss"][0] and "size" not in history


def test_an_objective_that_returns_a_scalar_is_told_too():
    class Plain(kerassl.objectives.Objective):
        def __init__(self):
            super().__init__(terms=("size",), name="plain")

        def loss_terms(self, model, features, batch, training):
            return keras.ops.mean(features[0])

    model = make("SimCLR", views="simclr_cifar").attach(Plain())
    model.compile("sgd", run_eagerly=True)
    with pytest.raises(ValueError, match="Plain.loss_terms returned a tensor"):
        model.fit(images(8), batch_size=8, verbose=0)
