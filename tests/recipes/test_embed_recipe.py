import os
import shutil
import time

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

import kerassl
from recipes import embed
from recipes.saved import load_encoder

pytestmark = pytest.mark.backends("tensorflow", "torch")  # Nothing of a backend in it.


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """An exported encoder of 16 px images."""
    path = tmp_path_factory.mktemp("encoder") / "encoder.keras"
    network = kerassl.backbones.ResNet((16, 16, 3), depths=(1,), width=4, stem="small")
    kerassl.methods.SimCLR(network).export_encoder(path, format="keras")
    return path


@pytest.fixture
def photos(tmp_path):
    """Two classes of images of several sizes, a loose one, and two files that are none."""
    root, rng = tmp_path / "photos", np.random.default_rng(0)
    for name in ("b/2.png", "a/1.png", "a/10.png", "b/1.png", "loose.png", "a/deep/3.png"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        size = rng.integers(14, 24, 2)
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype="uint8")).save(path)
    (root / "a/broken.jpg").write_bytes(b"no image")
    whole = (root / "b/1.png").read_bytes()
    (root / "b/cut.png").write_bytes(whole[: len(whole) // 2])
    return root


ORDER = ["a/1.png", "a/10.png", "a/deep/3.png", "b/1.png", "b/2.png", "loose.png"]


def expected(encoder, root):
    images = [kerassl.data.decode_image(root / name, name, (16, 16), 3) for name in ORDER]
    return load_encoder(encoder).predict(np.stack(images), verbose=0)


def test_a_folder_comes_in_the_order_of_paths_and_lists_what_it_skips(encoder, photos, tmp_path, capsys):
    out = tmp_path / "features.npz"
    arguments = {"encoder": str(encoder), "dataset": f"folder:{photos}", "batch_size": 3, "verbose": 0}
    assert embed.run(out=str(out), **arguments) == out
    with np.load(out) as result:
        assert result["paths"].tolist() == ORDER
        np.testing.assert_allclose(result["features"], expected(encoder, photos), atol=1e-5)
        assert result["labels"].tolist() == [0, 0, 0, 1, 1, -1]
        assert result["class_names"].tolist() == ["a", "b"]
        assert [line.split(":")[0] for line in result["skipped"]] == ["a/broken.jpg", "b/cut.png"]
    printed = capsys.readouterr().out
    assert "6 images, 4 features each; 2 skipped." in printed and "a/broken.jpg: " in printed
    assert not list(tmp_path.glob("*.partial"))
    with pytest.raises(ValueError, match="is there already"):
        embed.run(out=str(out), **arguments)

    embed.run(out=str(tmp_path / "features.parquet"), **arguments)
    table = parquet.read_table(tmp_path / "features.parquet")
    assert table.column("path").to_pylist() == ORDER
    assert table.column("class").to_pylist() == ["a", "a", "a", "b", "b", None]
    np.testing.assert_allclose(
        np.array(table.column("features").to_pylist()), expected(encoder, photos), atol=1e-5
    )
    assert b"b/cut.png" in table.schema.metadata[b"skipped"]


def test_the_order_is_that_of_the_paths_whichever_is_read_first(encoder, photos, tmp_path, monkeypatch):
    decode = kerassl.data.decode_image

    def slow_at_first(file, name, *rest):
        time.sleep(0.1 if name in ORDER[:2] else 0.0)
        return decode(file, name, *rest)

    monkeypatch.setattr(kerassl.data, "decode_image", slow_at_first)
    # With one image a batch, some batches hold nothing but a file that cannot be read.
    for size in (1, 8):
        out = tmp_path / f"{size}.npz"
        embed.run(str(encoder), f"folder:{photos}", str(out), batch_size=size, verbose=0)
        with np.load(out) as result:
            assert result["paths"].tolist() == ORDER and len(result["skipped"]) == 2
            np.testing.assert_allclose(result["features"], expected(encoder, photos), atol=1e-5)


def test_a_folder_of_broken_files_is_refused(encoder, tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("1.jpg", "2.jpg"):
        (tmp_path / "photos" / name).write_bytes(b"no image")
    with pytest.raises(ValueError, match="None of 2 images could be read; the first: .*1.jpg"):
        embed.run(str(encoder), f"folder:{tmp_path}/photos", str(tmp_path / "f.npz"), verbose=0)


def test_an_interrupted_command_goes_on_and_gives_the_same(encoder, photos, tmp_path, capsys, monkeypatch):
    out = tmp_path / "features.npz"
    arguments = {
        "encoder": str(encoder),
        "dataset": f"folder:{photos}",
        "out": str(out),
        "batch_size": 2,
        "save_every": 2,
        "verbose": 0,
    }
    add, read = embed.Parts.add, []

    def add_and_stop(self, stop, features, skipped):
        add(self, stop, features, skipped)
        if stop == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(embed.Parts, "add", add_and_stop)
    with pytest.raises(KeyboardInterrupt):
        embed.run(**arguments)
    assert not out.exists()
    monkeypatch.setattr(embed.Parts, "add", add)
    decode = kerassl.data.decode_image

    def noted(file, name, *rest):
        read.append(name)
        return decode(file, name, *rest)

    monkeypatch.setattr(kerassl.data, "decode_image", noted)
    with pytest.raises(ValueError, match="holds the part of another command"):
        embed.run(**{**arguments, "batch_size": 3})
    embed.run(**arguments)
    assert "Continuing at image 5 of 8." in capsys.readouterr().out
    assert sorted(read) == sorted([*ORDER[3:], "b/cut.png"])
    with np.load(out) as result:
        assert result["paths"].tolist() == ORDER and len(result["skipped"]) == 2
        np.testing.assert_allclose(result["features"], expected(encoder, photos), atol=1e-5)


def half_done(arguments, monkeypatch):
    """Embeds until 4 images are done."""
    add = embed.Parts.add

    def add_and_stop(self, stop, features, skipped):
        add(self, stop, features, skipped)
        if stop == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(embed.Parts, "add", add_and_stop)
        with pytest.raises(KeyboardInterrupt):
            embed.run(**arguments)


def in_parts(encoder, photos, out):
    return {
        "encoder": str(encoder), "dataset": f"folder:{photos}", "out": str(out), "batch_size": 2,
        "save_every": 2, "verbose": 0,
    }  # fmt: skip


def test_a_missing_or_broken_part_is_made_again(encoder, photos, tmp_path, monkeypatch):
    for name in ("first", "cut"):
        out = tmp_path / f"{name}.npz"
        half_done(in_parts(encoder, photos, out), monkeypatch)
        first, *_ = sorted((tmp_path / f"{name}.npz.partial").glob("*.npz"))
        if name == "first":
            first.unlink()
        else:
            first.write_bytes(first.read_bytes()[:100])
        embed.run(**in_parts(encoder, photos, out))
        with np.load(out) as result:
            assert result["paths"].tolist() == ORDER
            np.testing.assert_allclose(result["features"], expected(encoder, photos), atol=1e-5)


def test_replaced_images_and_another_precision_are_not_mixed(encoder, photos, tmp_path, monkeypatch):
    out = tmp_path / "features.npz"
    half_done(in_parts(encoder, photos, out), monkeypatch)
    with pytest.raises(ValueError, match="holds the part of another command: other precision"):
        embed.run(**in_parts(encoder, photos, out), precision="mixed_bfloat16")
    (photos / ORDER[0]).write_bytes((photos / ORDER[1]).read_bytes())
    with pytest.raises(ValueError, match="holds the part of another command: other images"):
        embed.run(**in_parts(encoder, photos, out))
    (tmp_path / "features.npz.partial" / "settings.json").write_text("{")
    with pytest.raises(ValueError, match="settings.json is damaged"):
        embed.run(**in_parts(encoder, photos, out))


def test_a_name_that_is_no_text_is_written_in_escapes(encoder, photos, tmp_path):
    folder = os.fsencode(tmp_path / "latin")
    os.mkdir(folder)
    shutil.copy(photos / ORDER[0], os.path.join(folder, b"caf\xe9.png"))
    embed.run(str(encoder), f"folder:{tmp_path}/latin", str(tmp_path / "f.npz"), verbose=0)
    with np.load(tmp_path / "f.npz") as result:
        assert result["paths"].tolist() == ["caf\\xe9.png"]


def test_a_data_set_in_memory(tmp_path):
    network = kerassl.backbones.ResNet((8, 8, 1), depths=(1,), width=4, stem="small")
    path = kerassl.methods.SimCLR(network, views="digits").export_encoder(tmp_path / "e", format="keras")
    embed.run(str(path), "digits", str(tmp_path / "digits.npz"), verbose=0)
    train, test, _ = kerassl.data.load("digits", shuffle=False)
    with np.load(tmp_path / "digits.npz") as result:
        assert len(result["features"]) == 1797
        assert result["paths"][0] == "train/0" and result["paths"][-1] == f"test/{len(test.images) - 1}"
        np.testing.assert_array_equal(result["labels"], np.concatenate([train.labels, test.labels]))
        own = load_encoder(path).predict(test.images[-3:], verbose=0)
        np.testing.assert_allclose(result["features"][-3:], own, atol=1e-5)


def test_what_does_not_fit_is_named(encoder, tmp_path, photos):
    with pytest.raises(ValueError, match="--out=features.csv must end in .npz or .parquet"):
        embed.run(str(encoder), "digits", "features.csv")
    with pytest.raises(ValueError, match="takes images of 3 channels, those of digits have 1"):
        embed.run(str(encoder), "digits", str(tmp_path / "f.npz"))
    with pytest.raises(ValueError, match="There is no folder"):
        embed.run(str(encoder), f"folder:{tmp_path}/nothing", str(tmp_path / "f.npz"))
    with pytest.raises(ValueError, match="save_every must be >= 1"):
        embed.run(str(encoder), f"folder:{photos}", str(tmp_path / "f.npz"), save_every=0)


def test_train_and_test_folders_share_their_classes(tmp_path):
    for name in ("train/cat/1.png", "train/dog/1.png", "test/dog/1.png", "val/cat/2.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    files, labels, class_names = kerassl.data.list_images(tmp_path)
    assert [file.relative_to(tmp_path).as_posix() for file in files] == [
        "test/dog/1.png",
        "train/cat/1.png",
        "train/dog/1.png",
        "val/cat/2.png",
    ]
    assert labels.tolist() == [1, 0, 1, 0] and class_names == ("cat", "dog")
