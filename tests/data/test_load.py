import io

import numpy as np
import pytest
from PIL import Image

from kerassl.data import load


def picture(path, value, size=(10, 8), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    fill = value if mode in ("L", "I;16") else (value,) * len(mode)
    Image.new(mode, size, fill).save(path)


def jpeg(value, size=(8, 8)):
    buffer = io.BytesIO()
    Image.new("L", size, int(value)).save(buffer, "JPEG")
    return np.frombuffer(buffer.getvalue(), "uint8")


def test_digits():
    train, test, info = load("digits", batch_size=100)
    assert (info.name, info.image_shape, info.num_classes) == ("digits", (8, 8, 1), 10)
    assert info.num_train + info.num_test == 1797 and info.class_names == tuple("0123456789")
    assert train.images.dtype == np.uint8 and train.images.max() == 255
    shares = np.bincount(test.labels) / (np.bincount(test.labels) + np.bincount(train.labels))
    np.testing.assert_allclose(shares, 0.2, atol=0.003)
    assert train.shuffle and not test.shuffle
    other, _, _ = load("digits", seed=5, test_fraction=0.2)
    np.testing.assert_array_equal(other.images, train.images), "the split must not move with the seed"
    assert other.order().tolist() != train.order().tolist()


def test_limits_size_and_labels():
    train, test, info = load("digits", limit_train=50, limit_test=7, image_size=(12, 16), labels=False)
    assert train.images.shape == (50, 12, 16, 1) and test.images.shape == (7, 12, 16, 1)
    assert train.labels is None and len(train[0]) == 1
    assert (info.num_classes, info.class_names, info.num_train, info.num_test) == (None, None, 50, 7)
    assert len(np.unique(load("digits", limit_train=50)[0].labels)) > 5, "the first images must be mixed"
    assert load("digits", limit_train=1)[2].num_classes == 10


def test_no_test_part():
    train, test, info = load("digits", test_fraction=0)
    assert test is None and info.num_test == 0 and train.num_examples == 1797


@pytest.mark.parametrize(
    "name, text",
    [
        ("digit", "Did you mean 'digits'"),
        ("tfd:cifar10", "Did you mean 'tfds:cifar10'"),
        ("cifar10", "known: digits, folder:, npz:, tfds:"),
        ("npz:", "names no source"),
        ("npz:nowhere.npz", "no file 'nowhere.npz'"),
        ("folder:nowhere", "no folder 'nowhere'"),
    ],
)
def test_unknown_names(name, text):
    with pytest.raises(ValueError, match=text):
        load(name)


@pytest.mark.parametrize(
    "options", [{"limit_train": 0}, {"test_fraction": 1.0}, {"image_size": (3, 3, 1)}, {"data_dir": "x"}]
)
def test_bad_options_of_load(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        load("digits", **options)


def test_folder_of_classes(tmp_path):
    for label, name in enumerate(("cat", "dog")):
        for i in range(5):
            picture(tmp_path / name / "deep" / f"{i}.PNG", 100 * label + 10)
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    picture(tmp_path / ".cache" / "0.png", 1)
    with pytest.warns(UserWarning, match="1 files below .* are not read.*1 .txt.*notes.txt"):
        train, test, info = load(f"folder:{tmp_path}")
    assert (info.image_shape, info.class_names, info.num_classes) == ((8, 10, 3), ("cat", "dog"), 2)
    assert np.bincount(train.labels).tolist() == [4, 4] and np.bincount(test.labels).tolist() == [1, 1]
    for data in (train, test):
        np.testing.assert_array_equal(data.images[:, 0, 0, 0], 100 * data.labels + 10)


def test_flat_folder_has_no_labels(tmp_path):
    for i in range(5):
        picture(tmp_path / f"{i}.png", 50 * i, mode="L")
    train, test, info = load(f"folder:{tmp_path}")
    assert train.labels is None and info.num_classes is None and info.class_names is None
    assert info.image_shape == (8, 10, 1) and (info.num_train, info.num_test) == (4, 1)
    values = sorted([*train.images[:, 0, 0, 0].tolist(), *test.images[:, 0, 0, 0].tolist()])
    assert values == [0, 50, 100, 150, 200]


def test_loose_images_beside_classes_are_unlabeled(tmp_path):
    for i in range(4):
        picture(tmp_path / "a" / f"{i}.png", 1)
        picture(tmp_path / f"{i}.png", 2)
    train, test, info = load(f"folder:{tmp_path}", test_fraction=0.5)
    assert info.num_classes == 1 and test.labels.tolist() == [0, 0]
    assert sorted(train.labels) == [-1, -1, -1, -1, 0, 0]


def test_folder_with_train_and_test(tmp_path):
    for part, count in (("train", 3), ("test", 2)):
        for name in ("a", "b"):
            for i in range(count):
                picture(tmp_path / part / name / f"{i}.png", 9)
    _, _, info = load(f"folder:{tmp_path}")
    assert (info.num_train, info.num_test, info.class_names) == (6, 4, ("a", "b"))
    picture(tmp_path / "test" / "c" / "0.png", 9)
    with pytest.raises(ValueError, match="only one of them has c"):
        load(f"folder:{tmp_path}")


def test_folder_sizes(tmp_path):
    picture(tmp_path / "a.png", 1, size=(30, 20))
    picture(tmp_path / "b.png", 1, size=(20, 40))
    assert load(f"folder:{tmp_path}", test_fraction=0)[2].image_shape == (224, 224, 3)
    assert load(f"folder:{tmp_path}", test_fraction=0, image_size=16)[2].image_shape == (16, 16, 3)


def test_resize_shorter_side_and_centre_crop(tmp_path):
    stripes = np.zeros((10, 30, 3), "uint8")
    stripes[:, 10:20] = 255
    Image.fromarray(stripes).save(tmp_path / "a.png")
    train, _, _ = load(f"folder:{tmp_path}", test_fraction=0, image_size=10)
    assert train.images.shape == (1, 10, 10, 3) and train.images.min() == 255


def test_modes_are_brought_to_one(tmp_path):
    picture(tmp_path / "a.png", 120, mode="L")
    picture(tmp_path / "b.png", 120, mode="RGBA")
    picture(tmp_path / "c.png", 120 * 256, mode="I;16")
    with pytest.warns(
        UserWarning, match="1 of 3 files hold gray values of more than 8 bits.*16-bit integers"
    ):
        train, _, _ = load(f"folder:{tmp_path}", test_fraction=0)
    assert train.images.shape == (3, 8, 10, 3) and train.images.dtype == "float32"
    assert sorted(train.images[:, 0, 0, 0]) == pytest.approx([120 * 256 / 257, 120, 120])


def test_empty_folders(tmp_path):
    with pytest.raises(ValueError, match="no image in"):
        load(f"folder:{tmp_path}")
    picture(tmp_path / "good.jpg", 3, size=(64, 64))
    with pytest.raises(ValueError, match="leaves none to test"):
        load(f"folder:{tmp_path}")


def test_npz_with_parts(tmp_path):
    images, labels = np.arange(12 * 16, dtype="uint8").reshape(12, 4, 4, 1), np.arange(12) % 3
    np.savez(
        tmp_path / "a.npz", x_train=images[:8], y_train=labels[:8, None], x_test=images[8:], y_test=labels[8:]
    )
    train, test, info = load(f"npz:{tmp_path}/a.npz")
    np.testing.assert_array_equal(train.images, images[:8])
    np.testing.assert_array_equal(test.labels, labels[8:])
    assert info.num_classes == 3 and info.class_names is None
    assert load(f"npz:{tmp_path}/a.npz", limit_train=1, limit_test=1)[2].num_classes == 3


def test_npz_with_images_and_unlabeled_entries(tmp_path):
    images, labels = np.ones((10, 4, 4, 5), "float32") * 9, np.array([0, 1, -1, -1, -1] * 2)
    np.savez(tmp_path / "a.npz", images=images, labels=labels, class_names=["x", "y"])
    train, test, info = load(f"npz:{tmp_path}/a.npz", test_fraction=0.5, image_size=6)
    assert info.class_names == ("x", "y") and info.image_shape == (6, 6, 5)
    assert sorted(test.labels) == [0, 1] and (train.labels == -1).sum() == 6
    np.testing.assert_allclose(train.images, 9, rtol=1e-6)
    np.savez(tmp_path / "b.npz", images=images)
    assert load(f"npz:{tmp_path}/b.npz")[0].labels is None


@pytest.mark.parametrize(
    "arrays, text",
    [
        ({"image": np.zeros((4, 4, 4, 1))}, "image -> images"),
        ({"images": np.zeros((4, 4, 4))}, r"shape \(4, 4, 4\)"),
        ({"images": np.zeros((4, 4, 4, 1)), "labels": np.zeros(3, int)}, "4 training images but 3 labels"),
        (
            {
                "x_train": np.zeros((4, 4, 4, 1)),
                "y_train": np.zeros(4, int),
                "x_test": np.zeros((4, 4, 4, 1)),
            },
            "add both",
        ),
        ({"x_train": np.zeros((4, 4, 4, 1)), "x_test": np.zeros((4, 5, 4, 1))}, "Pass image_size"),
        ({"images": np.full((4, 4, 4, 1), np.nan)}, "NaN"),
        ({"jpeg_bytes": np.zeros(4, "uint8")}, "no offsets"),
        ({"jpeg_bytes": np.zeros(4, "uint8"), "offsets": np.array([0, 2])}, "must grow from 0 to the 4"),
        ({"jpeg_bytes": np.zeros(4, "uint8"), "offsets": np.array([0, 4])}, "cannot be read as an image"),
    ],
)
def test_bad_npz(tmp_path, arrays, text):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=text):
        load(f"npz:{tmp_path}/a.npz", test_fraction=0)


def test_a_file_that_is_no_npz(tmp_path):
    (tmp_path / "a.npz").write_text("hello")
    with pytest.raises(ValueError, match="not a readable .npz"):
        load(f"npz:{tmp_path}/a.npz")


def archive(path, values, **more):
    files = [jpeg(value) for value in values]
    np.savez(path, jpeg_bytes=np.concatenate(files), offsets=np.cumsum([0, *map(len, files)]), **more)


def test_jpeg_archive(tmp_path):
    values = np.arange(10) * 20
    archive(
        tmp_path / "a.npz",
        values,
        labels=(np.arange(10) % 2).astype("uint8"),
        is_test=(np.arange(10) >= 7).astype("uint8"),
        class_names=np.array(["even", "odd"]),
    )
    train, test, info = load(f"npz:{tmp_path}/a.npz", limit_train=4)
    assert (info.image_shape, info.class_names, info.num_train, info.num_test) == (
        (8, 8, 1),
        ("even", "odd"),
        4,
        3,
    )
    np.testing.assert_allclose(train.images[:, 0, 0, 0], values[:4], atol=1)
    np.testing.assert_allclose(test.images[:, 0, 0, 0], values[7:], atol=1)
    assert train.labels.tolist() == [0, 1, 0, 1] and test.labels.tolist() == [1, 0, 1]
    assert load(f"npz:{tmp_path}/a.npz", image_size=4)[2].image_shape == (4, 4, 1)


def test_jpeg_archive_without_parts(tmp_path):
    archive(tmp_path / "a.npz", range(0, 200, 20), labels=np.arange(10) // 5)
    train, test, info = load(f"npz:{tmp_path}/a.npz", limit_train=1)
    assert (info.num_train, info.num_test, info.num_classes) == (1, 2, 2)
    assert sorted(test.labels) == [0, 1]
    archive(tmp_path / "b.npz", range(0, 200, 20), labels=np.arange(9))
    with pytest.raises(ValueError, match="10 files but labels of shape"):
        load(f"npz:{tmp_path}/b.npz")


def test_decoding_shows_progress_only_when_slow(tmp_path, monkeypatch, capsys):
    archive(tmp_path / "a.npz", range(0, 200, 2))
    load(f"npz:{tmp_path}/a.npz")
    assert capsys.readouterr().out == ""
    monkeypatch.setattr("kerassl.data.image.decode._SECONDS_BEFORE_PROGRESS", -1.0)
    load(f"npz:{tmp_path}/a.npz")
    assert "100/100" in capsys.readouterr().out


@pytest.mark.parametrize(
    "y_train, y_test", [(["b", "a", "c"], ["c", "a"]), (np.eye(3)[[1, 0, 2]], np.eye(3)[[2, 0]])]
)
def test_npz_labels_are_names_or_one_hot_rows(tmp_path, y_train, y_test):
    images = np.zeros((5, 4, 4, 1), "uint8")
    np.savez(tmp_path / "a.npz", x_train=images[:3], y_train=y_train, x_test=images[3:], y_test=y_test)
    train, test, info = load(f"npz:{tmp_path}/a.npz")
    assert train.labels.tolist() == [1, 0, 2] and test.labels.tolist() == [2, 0] and info.num_classes == 3
    assert info.class_names == (("a", "b", "c") if isinstance(y_train, list) else None)


def test_npz_names_go_by_class_names(tmp_path):
    images = np.zeros((2, 4, 4, 1), "uint8")
    np.savez(tmp_path / "a.npz", images=images, labels=["dog", "cat"], class_names=["dog", "bird", "cat"])
    train, _, info = load(f"npz:{tmp_path}/a.npz", test_fraction=0)
    assert sorted(train.labels) == [0, 2] and info.class_names == ("dog", "bird", "cat")
    np.savez(tmp_path / "a.npz", images=images, labels=["dog", "cow"], class_names=["dog", "cat"])
    with pytest.raises(ValueError, match="labels that are not among class_names: cow"):
        load(f"npz:{tmp_path}/a.npz")


@pytest.mark.parametrize(
    "labels, text",
    [
        ([0, 2**32], "looks like an identifier"),
        ([0, 2**40], "looks like an identifier"),
        ([[0, 1], [1, 1]], r"labels of .* has shape \(2, 2\) and is not one-hot"),
        ([0.5, 1.0], "Labels must be integers"),
    ],
)
def test_bad_labels_of_npz(tmp_path, labels, text):
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 4, 4, 1), "uint8"), labels=labels)
    with pytest.raises(ValueError, match=text):
        load(f"npz:{tmp_path}/a.npz", test_fraction=0)
    archive(tmp_path / "b.npz", [20, 40], labels=labels)
    with pytest.raises(ValueError, match=text):
        load(f"npz:{tmp_path}/b.npz", test_fraction=0)


def test_names_in_one_part_only(tmp_path):
    images = np.zeros((2, 4, 4, 1), "uint8")
    np.savez(tmp_path / "a.npz", x_train=images, y_train=["a", "b"], x_test=images, y_test=[0, 1])
    with pytest.raises(ValueError, match="names the classes in y_train only"):
        load(f"npz:{tmp_path}/a.npz")
