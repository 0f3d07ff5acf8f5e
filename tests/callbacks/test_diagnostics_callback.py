import csv
import warnings

import keras
import numpy as np
import pytest
from tiny import images, labels, make

import kerassl
from kerassl.callbacks import Diagnostics
from kerassl.callbacks.advice import ADVICE, what_to_try
from kerassl.callbacks.diagnostics import chosen_images
from kerassl.data import ImageDataset

# The numbers come from NumPy, whatever the backend; the runs and the views do not.
once = pytest.mark.backends("torch")  # No backend in it.


def compiled(name="SimCLR", **kwargs):
    model = make(name, **kwargs)
    model.compile(keras.optimizers.SGD(0.0))
    return model


def collapse(model):
    """The last convolution's batch norm gives a constant."""
    for variable in model.encoder.trainable_variables[-2:]:
        variable.assign(variable * 0.0 if "gamma" in variable.path else variable + 1.0)


@once
def test_the_logs_hold_what_the_functions_give_for_csv_and_history(tmp_path):
    model, x = compiled(), images(16)
    callback = Diagnostics((x, labels(16)), ["rankme", "uniformity", "tolerance"], max_images=12)
    log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    history = model.fit(x, batch_size=8, epochs=3, callbacks=[callback, log], verbose=0).history
    chosen, of_chosen = chosen_images((x, labels(16)), 12)
    features, _ = kerassl.embed(model, chosen)
    expected = kerassl.evaluation.diagnose(
        features, ["rankme", "uniformity", "tolerance"], labels=np.asarray(of_chosen)
    )
    for name, value in expected.items():
        assert history[name][-1] == pytest.approx(value, rel=1e-4), name
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["rankme"]) for row in rows] == pytest.approx(history["rankme"])
    np.testing.assert_allclose(callback.spectrum, kerassl.evaluation.eigenspectrum(features), atol=1e-6)
    assert callback.collapse == pytest.approx(kerassl.evaluation.find_collapse(features))


@once
def test_every_few_epochs_and_at_the_first_and_the_last():
    model, seen = compiled(), []

    class Seen(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append("rankme" in logs)

    callbacks = [Diagnostics(images(8), ["rankme"], every=2), Seen()]
    model.fit(images(8), batch_size=8, epochs=5, callbacks=callbacks, verbose=0)
    assert seen == [True, True, False, True, True]


def test_views_are_the_methods_own_and_the_run_stays_as_it_was():
    weights, logs = [], []
    for names in ([], ["alignment", "lidar"]):
        model = make("SimCLR")
        model.compile(keras.optimizers.SGD(0.1))
        callback = Diagnostics(images(12), names, num_views=3, batch_size=8)
        logs.append(model.fit(images(16), batch_size=8, epochs=2, callbacks=[callback], verbose=0).history)
        weights.append(model.get_weights())
    assert set(logs[1]) - set(logs[0]) == {"alignment", "lidar"}
    assert logs[1]["loss"] == logs[0]["loss"]
    assert all(0 < value < 4 for value in logs[1]["alignment"])
    assert all(1 <= value <= model.feature_dim for value in logs[1]["lidar"])
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


@once
def test_a_collapse_is_warned_of_once_with_what_to_try():
    model = compiled()
    collapse(model)
    with pytest.warns(
        UserWarning, match="Complete collapse after epoch 2: every image gets nearly"
    ) as caught:
        model.fit(images(16), batch_size=8, epochs=4, callbacks=[Diagnostics(images(16))], verbose=0)
    found = [str(warning.message) for warning in caught if "collapse after" in str(warning.message)]
    assert len(found) == 1
    assert "Try a higher temperature; or a lower learning rate" in found[0] and "collapse.md" in found[0]


@once
def test_prototypes_that_take_all_images_are_a_cluster_collapse():
    callback = Diagnostics(images(16), patience=1)
    model = compiled()
    callback.set_model(model)
    callback.set_params({"epochs": 1})
    with pytest.warns(UserWarning, match="Cluster collapse after epoch 1: nearly all .* is 0.1, below ln 2"):
        callback.on_epoch_end(0, {"prototype_entropy": 0.1})
    assert callback.warned == {"cluster"}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        callback.on_epoch_end(0, {"prototype_entropy": 5.0})


@once
def test_each_family_of_methods_has_advice_of_its_own():
    families = {"any", "contrastive", "asymmetric", "clustering", "redundancy"}
    for kind, advice in ADVICE.items():
        assert set(advice) == families
        expected = {
            "SimCLR": "contrastive",
            "BYOL": "asymmetric",
            "SwAV": "clustering",
            "DINO": "clustering",
            "LeJEPA": "redundancy",
        }
        for name, family in expected.items():
            assert what_to_try(kind, make(name)).startswith(f"Try {advice[family]}; or {advice['any']};"), (
                name
            )
        for name in ("SSLD", "PALM", "MAE", "RandomTeacher"):
            assert what_to_try(kind, make(name)).startswith(f"Try {advice['any']}; see"), name


@once
def test_a_method_with_an_objective_of_prototypes_gets_the_advice_of_clustering():
    model = make("SimCLR")
    model.attach(kerassl.objectives.SwappedPrototypes(num_prototypes=8, projection_dim=8))
    assert ADVICE["cluster"]["clustering"] in what_to_try("cluster", model)


def test_any_kind_of_data_is_sampled_in_a_fixed_way():
    x, y = images(16), np.arange(16)
    held = ImageDataset(x, y, batch_size=4, shuffle=True)
    for data in ((x, y), held):
        chosen, of_chosen = chosen_images(data, 5)
        np.testing.assert_array_equal(chosen, x[of_chosen])
        assert len(chosen) == 5 and (np.diff(of_chosen) > 0).all()
    assert chosen_images(x, 100)[1] is None
    batches = ((x[i : i + 4], y[i : i + 4]) for i in range(0, 16, 4))
    chosen, of_chosen = chosen_images(batches, 6)
    assert of_chosen.tolist() == list(range(6)) and len(chosen) == 6


def test_what_cannot_be_had_is_named():
    with pytest.raises(ValueError, match="tolerance needs labels"):
        Diagnostics(images(4), ["tolerance"])
    with pytest.raises(ValueError, match="there is no diagnostic 'entropy'"):
        Diagnostics(images(4), ["entropy"])
    with pytest.raises(ValueError, match="num_views must be a whole number of at least 2"):
        Diagnostics(images(4), num_views=1)
