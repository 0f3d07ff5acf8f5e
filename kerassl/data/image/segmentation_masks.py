"""Images with masks of the objects in them, from a folder."""

import pathlib

import numpy as np

from kerassl.data.image.decode import (
    covered_box,
    decode_image,
    open_image,
    pillow,
    resize_and_crop,
    with_progress,
)
from kerassl.data.image.folder import SUFFIXES
from kerassl.data.image.image_files import find_value_range

# This library's value, and that of PASCAL VOC.
LAYOUTS = (("images", "masks"), ("JPEGImages", "SegmentationObject"))
LEFT_OUT = 255


def load_masks(
    directory: str | pathlib.Path, image_size: tuple[int, int], channels: int = 3, limit: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the images of a folder that have a mask, and the masks.

    `DIR/masks/NAME.png` is the mask of `DIR/images/NAME.jpg` (or another image suffix), also in subfolders;
    PASCAL VOC's own folders, `JPEGImages` and `SegmentationObject`, will do. A mask has the size of its image
    and an object's number in each pixel, in gray or as a palette's index: 0 for the background, 255 for
    pixels to leave out. In a gray mask of nothing but 0 and 255, 255 is the object.

    A progress bar appears when it takes more than two seconds.

    Args:
        directory: the folder.
        image_size: (height, width) to resize and crop both to, images bilinearly, masks by nearest pixel.
        channels: number of channels of the images, 1 or 3.
        limit: the first so many, by path.

    Returns:
        uint8 `(number, height, width, channels)`, or float32 where `find_value_range` finds a range, and
        int32 `(number, height, width)`, -1 for ignored pixels, as
        `kerassl.evaluation.prompt_segmentation` takes it.

    Raises:
        ValueError: for a folder without masks, a mask without its image, of another size or of several
            channels, or a file that cannot be read.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> from PIL import Image
        >>> from kerassl.data import load_masks
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for part, value in (("images", 90), ("masks", 1)):
        ...         pathlib.Path(folder, part).mkdir()
        ...         Image.fromarray(np.full((4, 6), value, "uint8")).save(f"{folder}/{part}/cat.png")
        ...     images, masks = load_masks(folder, (4, 4), channels=1)
        >>> images.shape, masks.shape, int(masks.max())
        ((1, 4, 4, 1), (1, 4, 4), 1)
    """
    root = pathlib.Path(directory).expanduser()
    found = [pair for pair in LAYOUTS if (root / pair[1]).is_dir()]
    if not found:
        raise ValueError(
            f"{str(directory)!r} must hold a folder of images and one of their masks: "
            f"{' or '.join(' and '.join(pair) for pair in LAYOUTS)}."
        )
    image_root, mask_root = (root / name for name in found[0])
    files = sorted(path for path in mask_root.glob("**/*.png") if path.is_file())[:limit]
    if not files:
        raise ValueError(f"There is no mask in {str(mask_root)!r}: files ending in .png are needed.")
    sources = {
        path.relative_to(image_root).with_suffix(""): path
        for path in image_root.glob("**/*")
        if path.suffix.lower() in SUFFIXES
    }
    names = [file.relative_to(mask_root).with_suffix("") for file in files]
    for file, name in zip(files, names, strict=True):
        if name not in sources:
            raise ValueError(f"The mask {str(file)!r} has no image {str(name)!r} in {str(image_root)!r}.")
    value_range = find_value_range([sources[name] for name in names])
    images, masks = [], []
    for file, name in with_progress(zip(files, names, strict=True), len(files)):
        source = sources[name]
        image = decode_image(source, str(source), None, channels, value_range)
        mask = _read_mask(file)
        if image.shape[:2] != mask.shape:
            raise ValueError(
                f"{str(source)!r} is {image.shape[0]} x {image.shape[1]} pixels, its mask {mask.shape[0]} x "
                f"{mask.shape[1]}."
            )
        images.append(resize_and_crop(image, image_size))
        masks.append(_resize_mask(mask, image_size))
    return np.stack(images), np.stack(masks)


def _read_mask(file: pathlib.Path) -> np.ndarray:
    """int32 `(height, width)`, -1 for ignored pixels."""
    with open_image(file, str(file)) as image:
        pixels = np.asarray(image)
    if pixels.ndim != 2:
        raise ValueError(
            f"The mask {str(file)!r} has {pixels.shape[2]} channels; an object's number, in gray or as a "
            "palette's index, is needed."
        )
    mask = pixels.astype("int32")
    if image.mode == "L" and set(np.unique(mask)) <= {0, LEFT_OUT}:
        return np.minimum(mask, 1)
    return np.where(mask == LEFT_OUT, -1, mask)


def _resize_mask(mask: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    Image, _ = pillow()
    height, width = image_size
    box = covered_box(mask.shape, image_size)
    return np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST, box))
