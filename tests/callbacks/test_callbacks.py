import keras
import numpy as np
import pytest
from tiny import images, labels, make, state

from kerassl.callbacks import CollapseGuard, KNNAccuracy
from kerassl.data import ImageDataset
from kerassl.evaluation import embed, knn_accuracy
from kerassl.training.monitors import check_monitors, log_names


def compiled(learning_rate=0.0, **kwargs):
    model = make("SimCLR", **kwargs)
    model.compile(keras.optimizers.SGD(learning_rate))
    return model


def test_knn_is_logged_under_its_protocol_and_is_that_of_the_embedding():
    model = compiled()
    bank = ImageDataset(images(16, seed=1), labels(16), batch_size=8, shuffle=True)
    queries = (images(12, seed=2), labels(12))
    callback = KNNAccuracy(bank, queries, k=3, temperature=0.07)
    history = model.fit(images(16), labels(16), batch_size=8, epochs=2, callbacks=[callback], verbose=0)
    assert "knn_k3_t0.07" in history.history
    expected = knn_accuracy(*embed(model, bank), *embed(model, queries), k=3, temperature=0.07)
    assert history.history["knn_k3_t0.07"][-1] == pytest.approx(float(expected))
    assert 0 <= expected <= 1


def test_knn_leaves_the_run_as_it_was():
    states = []
    for callbacks in ([], [KNNAccuracy((images(16), labels(16)), (images(8, seed=1), labels(8)), k=3)]):
        model = compiled(0.1)
        model.fit(
            images(16), labels(16), batch_size=8, epochs=2, callbacks=callbacks, shuffle=False, verbose=0
        )
        states.append(state(model))
    for (path, value), other in zip(states[0].items(), states[1].values(), strict=True):
        np.testing.assert_array_equal(value, other, err_msg=path)


def test_knn_may_run_every_few_epochs_and_at_the_last():
    model = compiled()
    callback = KNNAccuracy((images(8), labels(8)), (images(8), labels(8)), k=1, every=2)
    seen = []

    class Seen(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append("knn_k1_t0.1" in logs)

    model.fit(images(8), labels(8), batch_size=8, epochs=3, callbacks=[callback, Seen()], verbose=0)
    assert seen == [False, True, True]


@pytest.mark.parametrize("arguments", ({"k": 0}, {"temperature": 0}, {"every": 2.5}, {"k": 9}))
def test_bad_knn_settings(arguments):
    data = (images(8), labels(8))
    with pytest.raises(ValueError, match=f"{next(iter(arguments))} must be a"):
        KNNAccuracy(data, data, **{"k": 1, **arguments})


def test_knn_says_before_training_that_labels_are_missing():
    x, y = images(8), labels(8)
    unlabeled = (x, (x,), {"images": x}, ImageDataset(x, batch_size=4), [(x,), (x,)])
    for data in unlabeled:
        with pytest.raises(ValueError, match="bank needs labels.*got none"):
            KNNAccuracy(data, (x, y), k=1)
        with pytest.raises(ValueError, match="queries needs labels.*got none"):
            KNNAccuracy([(x, y)], data, k=1)
    with pytest.raises(ValueError, match="read once only"):
        KNNAccuracy((batch for batch in [(x, y)]), (x, y))


@pytest.mark.parametrize(
    "callback, options, text",
    [
        (("EarlyStopping", "val_probe_accuracy"), {}, "Pass validation_data= .* will be: loss, feature_std"),
        (("EarlyStopping", "probe_acuracy"), {}, "Did you mean 'probe_accuracy'"),
        (
            ("ReduceLROnPlateau", "val_losss"),
            {"validated": True},
            "Did you mean 'val_loss'.*val_rankme",
        ),
        (("ModelCheckpoint", "knn_k1_t0.1"), {}, "KNNAccuracy adds it: put that callback first"),
    ],
)
def test_a_monitor_that_no_log_holds_is_named_before_training(callback, options, text, tmp_path):
    model, (kind, monitor) = compiled(num_classes=4), callback
    arguments = {"filepath": str(tmp_path / "x.keras"), "save_best_only": True}
    made = getattr(keras.callbacks, kind)(monitor=monitor, **(arguments if "Model" in kind else {}))
    knn = KNNAccuracy((images(8), labels(8)), (images(8), labels(8)), k=1)
    if options:
        options = {"validation_data": (images(8), labels(8))}
    with pytest.raises(ValueError, match=text):
        model.fit(images(8), labels(8), callbacks=[made, knn], verbose=0, **options)
    assert int(keras.ops.convert_to_numpy(model.clock.step)) == 0


@pytest.mark.parametrize(
    "validation_data",
    [images(8), (images(8),), (images(8), None), ImageDataset(images(8), batch_size=8)],
    ids=("array", "tuple", "no labels", "dataset"),
)
def test_the_probes_accuracy_is_not_awaited_of_data_without_labels(validation_data):
    stop = keras.callbacks.EarlyStopping(monitor="val_probe_accuracy")
    with pytest.raises(ValueError, match="val_probe_accuracy.*which the logs will not hold"):
        compiled(num_classes=4).fit(
            images(8), labels(8), validation_data=validation_data, callbacks=[stop], verbose=0
        )
    stop = keras.callbacks.EarlyStopping(monitor="probe_accuracy")
    with pytest.raises(ValueError, match="probe_accuracy.*which the logs will not hold"):
        compiled(num_classes=4).fit(images(8), callbacks=[stop], verbose=0)


def test_keras_is_told_which_direction_is_better():
    model, data = compiled(num_classes=4), (images(8), labels(8))
    monitors = {"val_probe_accuracy": "max", "val_loss": "min", "val_rankme": "max"}
    stops = [keras.callbacks.EarlyStopping(monitor=monitor, patience=9) for monitor in monitors]
    model.fit(*data, batch_size=8, epochs=2, verbose=0, validation_data=data, callbacks=stops)
    assert [stop.mode for stop in stops] == list(monitors.values())
    with pytest.raises(ValueError, match="EarlyStopping monitors 'mine': pass mode='max' if more of it is"):
        check_monitors([keras.callbacks.EarlyStopping(monitor="mine")], ["mine"])
    check_monitors([keras.callbacks.EarlyStopping(monitor="mine", mode="min")], ["mine"])


def test_monitors_of_what_there_will_be_are_taken():
    model = compiled(num_classes=4)
    names = log_names(model, validation=True)

    class Mine(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["mine"] = 1.0

    stop = keras.callbacks.EarlyStopping
    knn = KNNAccuracy((images(8), labels(8)), (images(8), labels(8)), k=1)
    check_monitors([stop("val_rankme"), knn, stop(knn.name), Mine(), stop("mine")], names)
    history = model.fit(
        images(8), labels(8), validation_data=(images(8), labels(8)), batch_size=8, verbose=0
    ).history
    assert set(history) == set(names)


def test_the_guard_stops_a_collapsed_run(capsys):
    model = compiled()
    # The last convolution's batch norm gives a constant: every image has one embedding.
    for variable in model.encoder.trainable_variables[-2:]:
        variable.assign(variable * 0.0 if "gamma" in variable.path else variable + 1.0)
    guard = CollapseGuard(patience=2)
    history = model.fit(images(16), batch_size=8, epochs=5, callbacks=[guard], verbose=0)
    assert len(history.history["loss"]) == 2
    assert "every image gets nearly the same embedding" in guard.reason
    assert "Training stopped after epoch 2" in capsys.readouterr().out


def test_the_guard_lets_a_healthy_run_go_on():
    guard = CollapseGuard(patience=1)
    history = compiled(0.01).fit(images(16), batch_size=8, epochs=2, callbacks=[guard], verbose=0)
    assert len(history.history["loss"]) == 2 and guard.reason is None


def test_statistics_that_are_nan_are_not_healthy():
    assert "feature_std is nan" in CollapseGuard().diagnose({"feature_std": np.nan})
    assert "effective_rank is nan" in CollapseGuard().diagnose({"effective_rank": np.nan})


def test_the_guard_knows_a_line():
    assert "lie on a line" in CollapseGuard().diagnose(
        {"loss": 1.0, "feature_std": 0.5, "effective_rank": 1.0}
    )
    assert CollapseGuard().diagnose({"loss": 1.0}) is None


def test_bad_patience():
    with pytest.raises(ValueError, match="patience must be a whole number"):
        CollapseGuard(patience=0)
