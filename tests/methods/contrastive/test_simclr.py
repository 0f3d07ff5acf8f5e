import keras
import numpy as np
import pytest
from tiny import images, make, ready_views, terms_and_rest, tiny_encoder

import kerassl
from kerassl import losses
from kerassl.heads import FixedReweighting

pytestmark = pytest.mark.backends("torch")

TINY = {
    "SimCLR": {"arguments": {"projection_dim": 8}},
}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def test_the_loss_is_the_papers_on_jointly_normalized_views():
    model = make("SimCLR", views=None, temperature=0.3)
    views = ready_views("SimCLR")
    z = numpy(model.projector(model.encoder(np.concatenate(views), training=True), training=True))
    z = z.astype("float64") / np.linalg.norm(z, axis=1, keepdims=True)
    total = 0.0
    for i in range(16):
        similar = np.array([z[i] @ z[k] / 0.3 for k in range(16)])
        others = [k for k in range(16) if k != i]
        total += -similar[(i + 8) % 16] + np.log(np.sum(np.exp(similar[others])))
    terms, rest = terms_and_rest(model, views)
    assert float(terms["nt_xent"]) == pytest.approx(total / 16, rel=1e-5)
    assert tuple(rest["features"][0].shape) == (8, 16)


def test_temperature_reaches_the_loss():
    views = ready_views("SimCLR")
    values = [
        float(terms_and_rest(make("SimCLR", views=None, temperature=t), views)[0]["nt_xent"])
        for t in (0.1, 0.5)
    ]
    assert abs(values[0] - values[1]) > 0.1


def test_blocks_change_nothing_but_memory():
    views = ready_views("SimCLR")
    values = [
        float(terms_and_rest(make("SimCLR", views=None, block_size=b), views)[0]["nt_xent"])
        for b in (None, 3)
    ]
    assert values[1] == pytest.approx(values[0], rel=1e-5)
    assert make("SimCLR", block_size=3).get_config()["block_size"] == 3


def test_the_head_is_the_papers():
    model = kerassl.methods.SimCLR(tiny_encoder())
    names = [(v.path.split("/")[-1], tuple(v.shape)) for v in model.projector.weights]
    assert names[0] == ("kernel", (16, 16)) and ("kernel", (16, 128)) in names
    assert "bias" not in [name for name, _ in names]
    # The last batch norm has a scale and no offset.
    assert [name for name, _ in names].count("gamma") == 2 and [name for name, _ in names].count("beta") == 1
    assert make("SimCLR", projection_layers=1).projector.count_params() < model.projector.count_params()


def test_permuting_the_batch_changes_nothing():
    model = make("SimCLR", views=None)
    order = np.random.default_rng(0).permutation(8)
    a, b = ready_views("SimCLR")
    first, _ = terms_and_rest(model, (a, b))
    second, _ = terms_and_rest(model, (a[order], b[order]))
    assert float(first["nt_xent"]) == pytest.approx(float(second["nt_xent"]), rel=1e-5)


def test_one_optimizer_step_lowers_the_loss_on_the_same_views():
    model = make("SimCLR", views=None)
    model.compile(keras.optimizers.SGD(0.05))
    history = model.fit(ready_views("SimCLR"), batch_size=8, epochs=5, shuffle=False, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]


def test_seed_and_step_determine_the_run():
    losses = []
    for seed in (0, 0, 1):
        model = make("SimCLR", seed=seed)
        model.compile(keras.optimizers.SGD(0.1))
        losses.append(model.fit(images(16), batch_size=8, shuffle=False, verbose=0).history["loss"][0])
    assert losses[0] == losses[1] != losses[2]


def test_a_head_of_ones_own_takes_the_place_of_the_projector(tmp_path):
    views = ready_views("SimCLR")
    plain = make("SimCLR", views=None, projection_dim=128, projector=FixedReweighting(kappa=1.0))
    features = plain.encoder(np.concatenate(views), training=True)
    z1, z2 = keras.ops.split(features, 2)
    loss = terms_and_rest(plain, views)[0]["nt_xent"]
    assert float(loss) == pytest.approx(float(losses.nt_xent(z1, z2, 0.1)), rel=1e-5)

    model = make("SimCLR", views=None, projection_dim=128, projector=FixedReweighting(kappa=1.5))
    weighted = np.split(keras.ops.convert_to_numpy(features) / 1.5 ** np.arange(16), 2)
    loss = terms_and_rest(model, views)[0]["nt_xent"]
    assert float(loss) == pytest.approx(float(losses.nt_xent(*weighted, 0.1)), rel=1e-4)
    assert {v.path for v in model.trainable_variables} == {v.path for v in model.encoder.trainable_variables}
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.projector.arguments.kappa == 1.5
    again = terms_and_rest(loaded, views)[0]["nt_xent"]
    assert float(again) == pytest.approx(float(loss), rel=1e-5)


def test_an_unbuilt_head_is_built_and_learns():
    model = make("SimCLR", views=None, projection_dim=128, projector=keras.layers.Dense(6))
    assert tuple(model.projector.kernel.shape) == (16, 6)
    assert any(v is model.projector.kernel for v in model.trainable_variables)


def test_a_head_of_ones_own_and_the_description_of_another_are_refused():
    with pytest.raises(ValueError, match="projector= replaces projection_dim="):
        make("SimCLR", projector=FixedReweighting(kappa=1.5))
