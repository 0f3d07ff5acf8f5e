import numpy as np
import pytest

from kerassl.data import load

tfds = pytest.importorskip("tensorflow_datasets")


def write(directory, name, image, splits, label=True):
    """Writes a data set in TFDS' own format; image(i) gives the pixels of example i."""
    first = image(0)
    same = all(image(i).shape == first.shape for i in range(4))
    features = {
        "image": tfds.features.Image(shape=first.shape if same else (None, None, 3)),
        "other": np.int64,
    }
    if label:
        features["label"] = tfds.features.ClassLabel(names=["even", "odd", "never"])
    builder = tfds.core.dataset_builder.GeneratorBasedBuilder

    class Writer(builder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, manager):
            return {split: self._generate_examples(count) for split, count in splits.items()}

        def _generate_examples(self, count):
            for i in range(count):
                yield i, {"image": image(i), "other": i, **({"label": i % 2} if label else {})}

    Writer.name = name
    Writer(data_dir=directory).download_and_prepare()


def constant(i):
    return np.full((6, 5, 1), 2 * i, "uint8")


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = str(tmp_path_factory.mktemp("tfds"))
    write(directory, "tiny", constant, {"train": 20, "test": 10})
    write(directory, "ragged", lambda i: np.full((8 + i % 3, 12, 3), i, "uint8"), {"train": 10}, label=False)
    return directory


def test_arrays_from_tfds(directory):
    train, test, info = load("tfds:tiny", data_dir=directory, batch_size=8)
    assert (info.image_shape, info.num_classes, info.num_train, info.num_test) == ((6, 5, 1), 3, 20, 10)
    assert info.class_names == ("even", "odd", "never")
    assert sorted(train.images[:, 0, 0, 0]) == list(range(0, 40, 2))
    for data in (train, test):
        np.testing.assert_array_equal(data.images[:, 0, 0, 0] // 2 % 2, data.labels)
    again, _, _ = load("tfds:tiny:1.0.0", data_dir=directory)
    np.testing.assert_array_equal(again.images, train.images)


def test_limits_and_labels_from_tfds(directory):
    train, test, info = load("tfds:tiny", data_dir=directory, limit_train=3, limit_test=2, labels=False)
    assert (train.num_examples, test.num_examples) == (3, 2) == (info.num_train, info.num_test)
    assert train.labels is None and info.num_classes is None


def test_several_sizes_and_one_split(directory):
    with pytest.raises(ValueError, match="Pass image_size"):
        load("tfds:ragged", data_dir=directory)
    train, test, info = load("tfds:ragged", data_dir=directory, image_size=8)
    assert train.images.shape == (8, 8, 8, 3) and test.images.shape == (2, 8, 8, 3) and train.labels is None
    values = [*train.images[:, 0, 0, 0].tolist(), *test.images[:, 7, 7, 2].tolist()]
    assert sorted(values) == list(range(10)) and info.num_classes is None
    assert load("tfds:ragged", data_dir=directory, image_size=8, test_fraction=0)[1] is None


def test_large_data_is_streamed(directory, monkeypatch):
    monkeypatch.setattr("kerassl.data.tensorflow_datasets.MAX_BYTES_IN_MEMORY", 10)

    def order(data):
        return np.concatenate([images[:, 0, 0, 0] for images, _ in data.as_numpy_iterator()]).tolist()

    train, test, info = load("tfds:tiny", data_dir=directory, batch_size=8, seed=1)
    assert info.num_train == 20 and int(train.cardinality()) == 3
    images, labels = next(iter(train))
    assert images.shape == (8, 6, 5, 1) and images.dtype == "uint8" and labels.dtype == "int32"
    twin, test_twin, _ = load("tfds:tiny", data_dir=directory, batch_size=8, seed=1)
    train, _, _ = load("tfds:tiny", data_dir=directory, batch_size=8, seed=1)
    first, second = order(train), order(train)
    assert [order(twin), order(twin)] == [first, second], "the same seed must give the same orders"
    assert first != second and sorted(first) == sorted(second) == list(range(0, 40, 2))
    assert order(test) == order(test) == order(test_twin)
    unlabeled, _, _ = load("tfds:tiny", data_dir=directory, labels=False)
    assert len(next(iter(unlabeled))) == 1


def test_unknown_tfds_name(directory):
    with pytest.raises(ValueError, match="no data set 'no_such_set'"):
        load("tfds:no_such_set", data_dir=directory)
