"""The first batch of each epoch is checked, and Keras sees the data as it was."""

import keras
import numpy as np
import pytest

from kerassl.data import ArrayDataset, ImageDataset, OrderedBatches, checked_batches

INPUTS = np.arange(24, dtype="float32").reshape(12, 2)
LABELS = np.arange(12, dtype="int32")


def grain_map(inputs=INPUTS):
    grain = pytest.importorskip("grain")
    return grain.MapDataset.source(list(zip(inputs, LABELS, strict=True))).batch(4)


def loader(inputs=INPUTS):
    torch = pytest.importorskip("torch")
    tensors = torch.utils.data.TensorDataset(torch.from_numpy(inputs), torch.from_numpy(LABELS))
    return torch.utils.data.DataLoader(tensors, batch_size=4)


def grain_loader(inputs=INPUTS):
    grain = pytest.importorskip("grain")
    return grain.DataLoader(
        data_source=list(zip(inputs, LABELS, strict=True)),
        sampler=grain.samplers.SequentialSampler(12, shard_options=grain.sharding.NoSharding()),
        operations=[grain.transforms.Batch(4)],
    )


MAKERS = {
    "py_dataset": lambda inputs=INPUTS: ArrayDataset(inputs, LABELS, batch_size=4),
    "workers": lambda inputs=INPUTS: ArrayDataset(inputs, LABELS, batch_size=4, workers=2),
    "ordered": lambda inputs=INPUTS: OrderedBatches(ArrayDataset(inputs, LABELS, batch_size=4)),
    "generator": lambda inputs=INPUTS: ((inputs[i : i + 4], LABELS[i : i + 4]) for i in (0, 4, 8)),
    "loader": loader,
    "grain_map": grain_map,
    "grain_iter": lambda inputs=INPUTS: grain_map(inputs).to_iter_dataset(),
    "grain_loader": grain_loader,
}


def fit(data, epochs=1, **options):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(1e-5), "mse")
    model.fit(data, epochs=epochs, verbose=0, shuffle=False, **options)
    return model.get_weights()


@pytest.mark.parametrize("kind", MAKERS)
def test_training_is_the_same_and_the_first_batch_was_checked(kind):
    seen = []

    def check(*batch):
        seen.append([np.asarray(part).tolist() for part in batch])

    checked = checked_batches(MAKERS[kind](), check)
    assert isinstance(checked, keras.utils.PyDataset) or kind == "generator" or hasattr(checked, "__iter__")
    weights = fit(checked)
    assert seen and (kind == "workers" or all(one == [INPUTS[:4].tolist(), [0, 1, 2, 3]] for one in seen))
    for ours, plain in zip(weights, fit(MAKERS[kind]()), strict=True):
        np.testing.assert_array_equal(ours, plain)


@pytest.mark.parametrize("kind", MAKERS)
def test_a_refusal_reaches_the_user(kind):
    def check(inputs, labels):
        raise ValueError("Labels are needed in [0, 3).")

    with pytest.raises(ValueError, match="Labels are needed"):
        fit(checked_batches(MAKERS[kind](), check))


@pytest.mark.parametrize("kind", ("py_dataset", "loader", "grain_map", "grain_iter"))
def test_each_epoch_is_checked(kind):
    calls = []
    checked = checked_batches(MAKERS[kind](), lambda *batch: calls.append(1))
    for passes in (1, 2, 3):
        fit(checked)
        assert len(calls) >= passes


@pytest.mark.parametrize("kind", ("loader", "grain_loader"))
def test_the_class_and_what_it_holds_stay(kind):
    data = MAKERS[kind]()
    checked = checked_batches(data, lambda *batch: None)
    assert isinstance(checked, type(data)) and type(checked).__name__ == type(data).__name__
    assert len(list(checked)) == 3 and type(data) is not type(checked)
    if kind == "loader":
        assert len(checked) == 3 and checked.dataset is data.dataset and checked.batch_size == 4


def test_tf_data_is_checked_at_once_and_stays():
    tf = pytest.importorskip("tensorflow")
    seen, data = [], tf.data.Dataset.from_tensor_slices((INPUTS, LABELS)).batch(4)
    assert checked_batches(data, lambda inputs, labels: seen.append(labels.numpy().tolist())) is data
    assert seen == [[0, 1, 2, 3]]


def test_arrays_stay_and_missing_labels_are_none():
    def check(inputs, labels):
        assert labels is None and inputs.shape == (4, 2)

    for data in (INPUTS, (INPUTS, INPUTS), [INPUTS], {"a": INPUTS}):
        assert checked_batches(data, check) is data
    assert len(checked_batches(ArrayDataset(INPUTS, batch_size=4), check)[0]) == 1
    assert next(checked_batches((x for x in [INPUTS[:4]]), check)).shape == (4, 2)


def test_epochs_of_an_image_dataset_still_advance():
    data = ImageDataset(np.zeros((8, 1, 1, 2), "uint8"), batch_size=4, shuffle=True)
    checked = checked_batches(data, lambda *batch: None)
    checked.on_epoch_begin()
    checked.on_epoch_end()
    assert data.epoch == 1 and repr(checked) == repr(data) and checked.num_batches == 2
