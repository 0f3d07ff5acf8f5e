"""Folders whose images are read while training goes on, and files that cannot be read."""

import warnings

import keras
import numpy as np
import pytest
from PIL import Image
from tiny import make, state

import kerassl
from kerassl.data import ImageDataset, ImageFiles, join_images, load, split


@pytest.fixture
def folder(tmp_path):
    """Twenty pictures of two classes, all of them different, and of one size."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3)).astype("uint8")
    for number, picture in enumerate(pixels):
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    return tmp_path / "photos"


@pytest.fixture
def small_memory(monkeypatch):
    monkeypatch.setattr(split, "MAX_BYTES_IN_MEMORY", 0)


def load_both(folder, monkeypatch, **options):
    """The data in memory, and read while it is used."""
    held = load(f"folder:{folder}", batch_size=8, **options)
    with monkeypatch.context() as small:
        small.setattr(split, "MAX_BYTES_IN_MEMORY", 0)
        return held, load(f"folder:{folder}", batch_size=8, **options)


@pytest.mark.parametrize("options", ({}, {"image_size": 12, "limit_train": 9, "limit_test": 3}))
def test_files_are_what_memory_would_hold(folder, monkeypatch, options):
    held, read = load_both(folder, monkeypatch, **options)
    assert held[2] == read[2]
    for one, other in zip(held[:2], read[:2], strict=True):
        assert isinstance(one.images, np.ndarray) and isinstance(other.images, ImageFiles)
        assert other.images.shape == one.images.shape and other.images.nbytes == one.images.nbytes
        np.testing.assert_array_equal(other.images, one.images)
        np.testing.assert_array_equal(other.labels, one.labels)
        for batch in range(len(one)):
            for a, b in zip(one[batch], other[batch], strict=True):
                np.testing.assert_array_equal(a, b)
    for rows in (3, -1, slice(1, 7, 2), np.array([5, 0, 5]), np.arange(len(held[0].images)) % 3 == 0):
        np.testing.assert_array_equal(read[0].images[rows], held[0].images[rows])
    with pytest.raises(IndexError):
        read[0].images[99]


def test_training_and_features_are_those_of_images_in_memory(folder, monkeypatch):
    states, features = [], []
    for train, test, _ in load_both(folder, monkeypatch):
        model = make("SimCLR", num_classes=2)
        model.compile(kerassl.optimizers.AdamW(1e-2))
        diagnostics = kerassl.callbacks.Diagnostics(test, max_images=3, batch_size=3)
        model.fit(train, epochs=2, callbacks=[diagnostics], verbose=0)
        states.append(state(model))
        features.append(kerassl.embed(model, test, batch_size=3))
    for (path, value), other in zip(states[0].items(), states[1].values(), strict=True):
        np.testing.assert_array_equal(value, other, err_msg=path)
    np.testing.assert_allclose(features[1][0], features[0][0], atol=1e-5)
    np.testing.assert_array_equal(features[1][1], features[0][1])


def spoil(folder, name, share):
    """Cuts a file; what is left of it has a header if the share is not too small."""
    path = folder / name
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def test_broken_files_are_left_out_of_memory(folder):
    whole = load(f"folder:{folder}", test_fraction=0)[0]
    spoil(folder, "a/02.png", 0.001)
    spoil(folder, "b/05.png", 0.5)
    with pytest.warns(UserWarning) as seen:
        train, test, info = load(f"folder:{folder}", test_fraction=0)
    said = [str(one.message) for one in seen if "left out" in str(one.message)]
    assert len(said) == 2 and "1 of 20 files cannot be read" in said[0] and "02.png" in said[0]
    assert "1 of 19 files" in said[1] and "05.png" in said[1]
    assert test is None and info.num_train == 18
    kept = [i for i in range(20) if any((train.images == whole.images[i]).all((1, 2, 3)))]
    assert len(kept) == 18
    np.testing.assert_array_equal(train.images, whole.images[kept])
    np.testing.assert_array_equal(train.labels, whole.labels[kept])


def test_the_next_file_of_the_class_takes_the_place_of_one_that_breaks_off(folder, small_memory):
    spoil(folder, "b/05.png", 0.5)
    train = load(f"folder:{folder}", test_fraction=0, batch_size=20)[0]
    images, names = train.images, [path.name for path in train.images.paths]
    place = names.index("05.png")
    after = [*range(place + 1, 20), *range(place)]
    other = next(row for row in after if train.labels[row] == train.labels[place])
    assert train.labels[after[0]] != train.labels[place], "the file after it must be of the other class here"
    with pytest.warns(UserWarning, match=f"05.png is a broken image.*{names[other]} takes its place"):
        found = images[place]
    np.testing.assert_array_equal(found, images[other])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(images[np.array([place])], images[[other]])
    for file in (folder / "a").iterdir():
        spoil(folder, f"a/{file.name}", 0.5)
    with pytest.raises(ValueError, match="No image file of the class of .*a/.*png"):
        train[0]


def test_a_folder_of_broken_files_is_refused(tmp_path, small_memory):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"no image")
    with pytest.raises(ValueError, match="a.png cannot be read as an image"):
        load(f"folder:{tmp_path}", test_fraction=0)
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype("uint8")
    for name in ("a.png", "b.png"):
        Image.fromarray(pixels).save(tmp_path / name)
        spoil(tmp_path, name, 0.5)
    train = load(f"folder:{tmp_path}", test_fraction=0)[0]
    with pytest.raises(ValueError, match="No image file can be read. .*a.png is a broken"):
        train[0]


def test_joined_images_are_the_concatenation(folder, small_memory):
    files = load(f"folder:{folder}", test_fraction=0)[0].images
    held = np.random.default_rng(1).integers(0, 256, (7, 16, 16, 3)).astype("uint8")
    expected = np.concatenate([held, files, held])
    joined = join_images([held, files, held])
    assert joined.shape == expected.shape and joined.dtype == expected.dtype
    for rows in (0, 6, 7, 26, 27, slice(4, 30), np.array([33, 0, 12, 27])):
        np.testing.assert_array_equal(joined[rows], expected[rows])
    data = ImageDataset(joined, np.arange(34) % 2, batch_size=34)
    np.testing.assert_array_equal(data[0][0], expected)
    assert isinstance(join_images([held, held]), np.ndarray)
    with pytest.raises(ValueError, match="There are 34 images but 3 labels"):
        ImageDataset(joined, np.zeros(3, int))
    assert keras.ops.convert_to_numpy(np.asarray(joined, "float32")).dtype == "float32"
