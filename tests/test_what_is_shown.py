"""What a user sees without asking: `dir`, `repr`, and the warning of collapse."""

import types
import warnings

import keras
import numpy as np
import pytest
from tiny import images

import kerassl
from kerassl.callbacks import CollapseGuard


def encoder(name="net"):
    return kerassl.backbones.ResNet((16, 16, 3), depths=(1,), width=4, stem="small", name=name)


def test_the_package_lists_its_public_names_only():
    assert dir(kerassl) == sorted([*kerassl.public.__all__, "__version__"])
    rooms = [getattr(kerassl, name) for name in dir(kerassl)]
    rooms = [room for room in rooms if isinstance(room, types.ModuleType)]
    assert kerassl.schedules in rooms and len(rooms) > 10
    for room in rooms:
        assert dir(room) == sorted(room.__all__)
        assert not [name for name in dir(room) if isinstance(getattr(room, name), types.ModuleType)]


def test_a_method_says_what_it_holds():
    model = kerassl.methods.SimCLR(encoder(), projection_dim=8, temperature=0.2, seed=3)
    expected = "encoder=net of 444 parameters and 4 features, views=TwoViews"
    assert repr(model) == f"SimCLR({expected}, temperature=0.2, projection_dim=8)"
    distilled = kerassl.distillation.Distill(model, encoder("small"), loss="rkd_distance", views=None)
    assert repr(distilled).startswith("Distill(encoder=small of 444 parameters and 4 features, views=None, ")
    assert "loss='rkd_distance'" in repr(distilled)
    with pytest.raises(ValueError, match="projection_dim"):
        kerassl.methods.SimCLR(encoder(), projection_dim=0)


def collapsed():
    """A method whose encoder gives every image the same features."""
    net = encoder()
    net.get_layer("stem_norm").gamma.assign(np.zeros(4))
    net.get_layer("stem_norm").beta.assign(np.ones(4))
    net.trainable = False
    model = kerassl.methods.SimCLR(net, projection_dim=8)
    model.compile(keras.optimizers.SGD(0.01))
    return model


def test_fit_warns_once_of_collapse_and_goes_on():
    with pytest.warns(UserWarning, match="has collapsed after epoch 2: .* Try") as caught:
        history = collapsed().fit(images(16), batch_size=8, epochs=4, verbose=0).history
    assert len(history["loss"]) == 4
    assert len([one for one in caught if "has collapsed" in str(one.message)]) == 1


def test_a_guard_of_the_users_takes_its_place(capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model = collapsed()
        history = model.fit(
            images(16), batch_size=8, epochs=4, verbose=0, callbacks=[CollapseGuard()]
        ).history
    assert len(history["loss"]) == 2 and "Training stopped after epoch 2" in capsys.readouterr().out


def test_healthy_runs_are_not_warned():
    model = kerassl.methods.SimCLR(encoder(), projection_dim=8)
    model.compile(keras.optimizers.SGD(0.01))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "The embedding has collapsed")
        model.fit(images(16), batch_size=8, epochs=3, verbose=0)


def test_a_first_step_that_is_compiled_is_announced(capsys):
    model = kerassl.methods.SimCLR(encoder(), projection_dim=8)
    model.compile(keras.optimizers.SGD(0.01))
    told = []
    for verbose in (2, 2, 0):
        model.fit(images(8), batch_size=8, verbose=verbose)
        told.append("Compiling the training step" in capsys.readouterr().out)
    assert told == [keras.backend.backend() != "torch", False, False]
    model.compile(keras.optimizers.SGD(0.01))
    model.fit(images(8), batch_size=8, verbose=0)
    assert not capsys.readouterr().out


def test_a_run_that_is_complete_announces_no_compilation(capsys, tmp_path):
    for _ in range(2):
        capsys.readouterr()
        keras.utils.set_random_seed(0)
        model = kerassl.methods.SimCLR(encoder(), projection_dim=8)
        model.compile(keras.optimizers.SGD(0.01))
        model.fit(images(8), batch_size=8, verbose=2, callbacks=[kerassl.callbacks.Checkpoint(tmp_path)])
    assert "Compiling" not in capsys.readouterr().out
