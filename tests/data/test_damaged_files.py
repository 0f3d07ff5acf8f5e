"""Files that a decoder refuses: each error names its file, and a folder is read without them."""

import io
import warnings

import numpy as np
import pytest
from PIL import Image

from kerassl.data import decode_image, load

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")


def encoded(kind, seed=0, mode="RGB"):
    shape = (16, 16, 3) if mode == "RGB" else (16, 16)
    pixels = np.random.default_rng(seed).integers(0, 256, shape).astype("uint8")
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # a turn to the right
    options = {} if kind in ("GIF", "BMP") else {"exif": exif}
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def mutations(data, rng, count):
    for number in range(count):
        if number % 4 == 0:
            yield data[: rng.integers(1, len(data))]
            continue
        changed = bytearray(data)
        # Most errors come from the headers.
        reach = len(data) if number % 2 else min(64, len(data))
        for place in rng.integers(0, reach, rng.integers(1, 5)):
            changed[place] ^= 1 << rng.integers(0, 8)
        yield bytes(changed)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", FORMATS)
def test_damage_ends_in_an_image_or_in_an_error_that_names_the_file(kind, monkeypatch):
    # A flipped bit of a size would make huge images.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    rng, outcomes = np.random.default_rng(1), set()
    for data in mutations(encoded(kind), rng, 120):
        try:
            image = decode_image(data, "the file", (8, 8), 3, (0, 255))
            assert image.shape == (8, 8, 3) and np.isfinite(image).all()
            outcomes.add("image")
        except ValueError as error:
            assert str(error).startswith("the file ")
            outcomes.add("error")
    assert "error" in outcomes


@pytest.mark.filterwarnings("ignore")
def test_a_folder_of_damaged_files_is_read_without_them(tmp_path):
    (tmp_path / "good.png").write_bytes(encoded("PNG"))
    rng = np.random.default_rng(2)
    for kind in FORMATS:
        for number, data in enumerate(mutations(encoded(kind), rng, 10)):
            (tmp_path / f"{number}_{kind}.{kind.lower()}").write_bytes(data)
    train, _, _ = load(f"folder:{tmp_path}", test_fraction=0, image_size=8)
    assert 1 <= train.num_examples <= 61 and train.images.shape[1:3] == (8, 8)


def test_a_file_beyond_the_limit_of_the_decoder_is_left_out(tmp_path, monkeypatch):
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(encoded("PNG", number))
    Image.new("L", (64, 64)).save(tmp_path / "huge.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    with pytest.warns(
        UserWarning, match="1 of 4 files cannot be read as images and are left out: .*huge.png"
    ):
        train, _, _ = load(f"folder:{tmp_path}", test_fraction=0)
    assert train.num_examples == 3


def archive(path, files, **more):
    parts = [np.frombuffer(file, "uint8") for file in files]
    np.savez(path, jpeg_bytes=np.concatenate(parts), offsets=np.cumsum([0, *map(len, parts)]), **more)


def test_an_archive_takes_the_channels_of_all_its_files_and_turns_them(tmp_path):
    color = encoded("JPEG")
    archive(tmp_path / "a.npz", [encoded("JPEG", mode="L"), color])
    train, _, info = load(f"npz:{tmp_path}/a.npz", test_fraction=0)
    assert info.image_shape == (16, 16, 3)
    plain = np.asarray(Image.open(io.BytesIO(color)).convert("RGB"))
    turned = np.rot90(plain, -1)
    assert any((image == turned).all() for image in train.images), "orientation 6 is a turn to the right"


def test_damaged_files_of_an_archive_are_left_out_with_their_labels(tmp_path):
    files = [encoded("JPEG", seed) for seed in range(6)]
    files[1], files[4] = files[1][:200], b"no image"
    archive(tmp_path / "a.npz", files, labels=np.arange(6), is_test=np.array([0, 0, 0, 1, 1, 1]))
    with pytest.warns(UserWarning) as seen:
        train, test, info = load(f"npz:{tmp_path}/a.npz", shuffle=False)
    said = " ".join(str(one.message) for one in seen)
    assert "file 1 of" in said and "file 4 of" in said
    assert train.labels.tolist() == [0, 2] and test.labels.tolist() == [3, 5] and info.num_classes == 6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        archive(tmp_path / "b.npz", [files[0], files[2], files[3]], labels=np.array([0, 2, 3]))
        whole = load(f"npz:{tmp_path}/b.npz", test_fraction=0)[0]
    np.testing.assert_array_equal(train.images[0], whole.images[whole.labels.tolist().index(0)])


def test_a_damaged_npz_is_named(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, images=np.random.default_rng(0).integers(0, 256, (20, 4, 4, 1)).astype("uint8"))
    whole, rng = path.read_bytes(), np.random.default_rng(3)
    for data in mutations(whole, rng, 40):
        path.write_bytes(data)
        try:
            load(f"npz:{path}")
        except ValueError as error:
            assert "a.npz" in str(error) or "images" in str(error)
