"""Folders of parts (train, test, validation), linked folders, and files that are or are not images."""

import os
import warnings

import numpy as np
import pytest
from PIL import Image

from kerassl.data import list_images, load


def picture(path, value=9):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 6), (value,) * 3).save(path)


def parts(root, **counts):
    for value, (part, count) in enumerate(counts.items()):
        for name in ("a", "b"):
            for number in range(count):
                picture(root / part / name / f"{number}.png", 50 * value)


@pytest.mark.parametrize("train", ("train", "Train", "TRAINING"))
@pytest.mark.parametrize("held_out", ("test", "Val", "valid", "VALIDATION", "testing"))
def test_parts_have_many_names(tmp_path, train, held_out):
    parts(tmp_path, **{train: 3, held_out: 2})
    train_data, test_data, info = load(f"folder:{tmp_path}")
    assert (info.num_train, info.num_test, info.class_names) == (6, 4, ("a", "b"))
    assert train_data.images.max() == 0 and test_data.images.min() == 50
    files, labels, class_names = list_images(tmp_path)
    assert len(files) == 10 and labels.tolist().count(1) == 5 and class_names == ("a", "b")


def test_test_stands_before_validation_and_says_what_is_left_out(tmp_path):
    parts(tmp_path, train=3, valid=2, Test=1)
    with pytest.warns(UserWarning, match="'Test' is the test part; the images of 'valid' are left out"):
        _, test, info = load(f"folder:{tmp_path}")
    assert info.num_train == 6 and test.num_examples == 2 and (test.images == 100).all()


def test_train_alone_is_split(tmp_path):
    parts(tmp_path, train=5)
    train, test, info = load(f"folder:{tmp_path}")
    assert info.class_names == ("a", "b") and (info.num_train, info.num_test) == (8, 2)


def test_parts_without_training_images_and_mixtures_are_refused(tmp_path):
    parts(tmp_path, valid=1)
    with pytest.raises(ValueError, match="has 'valid' but no folder 'train'.*\"folder:.*valid\""):
        load(f"folder:{tmp_path}")
    parts(tmp_path, train=1)
    (tmp_path / "empty").mkdir()
    load(f"folder:{tmp_path}")
    picture(tmp_path / "cats" / "0.png")
    for read in (lambda: load(f"folder:{tmp_path}"), lambda: list_images(tmp_path)):
        with pytest.raises(
            ValueError, match=r"mixes folders of parts \('train', 'valid'\) and of classes \('cats'\)"
        ):
            read()


def test_two_folders_of_one_part_are_refused(tmp_path):
    parts(tmp_path, train=1, Training=1)
    with pytest.raises(ValueError, match="Two folders of .* name the same part"):
        load(f"folder:{tmp_path}")


def test_loose_images_beside_parts_are_counted(tmp_path):
    parts(tmp_path, train=1, test=1)
    picture(tmp_path / "sample.png")
    with pytest.warns(UserWarning, match="1 images next to the parts .* are left out, e.g. 'sample.png'"):
        load(f"folder:{tmp_path}")


def test_linked_folders_jfif_and_files_without_a_suffix_are_read(tmp_path):
    picture(tmp_path / "elsewhere" / "0.png")
    picture(tmp_path / "photos" / "a" / "1.jpg")
    os.rename(tmp_path / "photos" / "a" / "1.jpg", tmp_path / "photos" / "a" / "1.jfif")
    picture(tmp_path / "photos" / "a" / "2.png")
    os.rename(tmp_path / "photos" / "a" / "2.png", tmp_path / "photos" / "a" / "2")
    (tmp_path / "photos" / "a" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "photos" / "a" / "loop").symlink_to(tmp_path / "photos" / "a")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        files, labels, _ = list_images(tmp_path / "photos")
        train, _, _ = load(f"folder:{tmp_path}/photos", test_fraction=0)
    assert [file.name for file in files] == ["1.jfif", "2", "0.png"] and labels.tolist() == [0, 0, 0]
    assert train.num_examples == 3


def test_files_that_are_not_read_are_counted(tmp_path):
    picture(tmp_path / "a" / "0.png")
    (tmp_path / "a" / "1.heic").write_bytes(b"1")
    (tmp_path / "a" / "LICENSE").write_text("text")
    (tmp_path / "a" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "a" / ".hidden").write_text("text")
    with pytest.warns(UserWarning, match="3 files below .* are not read") as seen:
        assert len(list_images(tmp_path)[0]) == 1
    assert all(kind in str(seen[0].message) for kind in ("1 .heic", "1 no suffix", "1 .png"))


def test_home_and_bare_paths(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    picture(tmp_path / "photos" / "a" / "0.png")
    np.savez(tmp_path / "a.npz", images=np.zeros((4, 4, 4, 1), "uint8"))
    assert load("folder:~/photos", test_fraction=0)[2].num_train == 1
    assert load("npz:~/a.npz", test_fraction=0)[2].num_train == 4
    for name, meant in (
        (f"{tmp_path}/photos", f"folder:{tmp_path}/photos"),
        ("~/photos", "folder:~/photos"),
        ("~/a.npz", "npz:~/a.npz"),
        (f"{tmp_path}/photos/a/0.png", f"folder:{tmp_path}/photos/a"),
        ("cifar-10", "tfds:cifar10"),
        ("Folder:photos", "folder:photos"),
    ):
        with pytest.raises(ValueError, match=f"Did you mean '{meant}'"):
            load(name)
    with pytest.raises(ValueError, match="must be text"):
        load(tmp_path)
