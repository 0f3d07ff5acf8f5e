"""Images from TensorFlow Datasets: in memory where they fit, else streamed with tf.data."""

from typing import Any

import numpy as np

from kerassl.data.split import MAX_BYTES_IN_MEMORY, Arrays

_SHUFFLE_BUFFER = 10_000


class TFDSSource:
    """One data set of TensorFlow Datasets and the splits of it that `load` asks for.

    The test part is the split `test`, else `validation`, else the last `test_fraction` of `train`
    (TFDS shuffles when it writes). Only the features `image` and `label` are read.

    Args:
        name: `NAME`, `NAME/config`, with `:version` at the end if wanted.
        data_dir: where TFDS keeps its data, by default its own place.
        image_size: (height, width) to resize and crop to; needed where the images differ in size.
        test_fraction: share of `train` for the test part where there is no such split.
        limit_train: at most the first so many training images.
        limit_test: at most the first so many test images.

    Raises:
        ImportError: tensorflow or tensorflow-datasets is missing.
        ValueError: no such data set, no images in it, or images of several sizes without `image_size`.
    """

    def __init__(
        self,
        name: str,
        data_dir: str | None,
        image_size: tuple[int, int] | None,
        test_fraction: float,
        limit_train: int | None,
        limit_test: int | None,
    ) -> None:
        try:
            import tensorflow  # noqa: F401
            import tensorflow_datasets as tfds
        except ImportError as error:
            raise ImportError(
                '"tfds:" needs tensorflow and tensorflow-datasets: pip install "kerassl[tensorflow,data]"'
            ) from error
        try:
            self._builder = tfds.builder(name, data_dir=data_dir)
        except tfds.core.DatasetNotFoundError as error:
            raise ValueError(f"TensorFlow Datasets has no data set {name!r}: {error}") from error
        # A data set that is read from its files alone is prepared and has nothing to download.
        if not isinstance(self._builder, tfds.core.read_only_builder.ReadOnlyBuilder):
            self._builder.download_and_prepare()
        features = self._builder.info.features
        if "image" not in features:
            raise ValueError(
                f"The data set {name!r} has no feature 'image'; it has {', '.join(features)}. Use an image "
                "data set, or pass your own arrays to kerassl.data.ImageDataset."
            )
        label = features["label"] if "label" in features else None
        self.has_labels = label is not None and label.shape == () and np.dtype(label.np_dtype).kind in "ui"
        self.num_classes = getattr(label, "num_classes", None) if self.has_labels else None
        self.class_names = tuple(label.names) if self.num_classes and label.names else None
        height, width, channels = features["image"].shape
        self._resize = image_size is not None and (height, width) != tuple(image_size)
        if image_size is None:
            if None in (height, width):
                raise ValueError(
                    f"The images of {name!r} differ in size. Pass image_size, e.g. image_size=224, to bring "
                    "all to one."
                )
            image_size = (height, width)
        # A variable number of channels is decoded to RGB.
        self.image_shape = (*image_size, channels or 3)
        self._dtype = np.dtype(features["image"].np_dtype)
        self._set_splits(name, test_fraction, limit_train, limit_test)

    def _set_splits(
        self, name: str, test_fraction: float, limit_train: int | None, limit_test: int | None
    ) -> None:
        splits = self._builder.info.splits
        if "train" not in splits:
            raise ValueError(f"The data set {name!r} has no split 'train'; it has {', '.join(splits)}.")
        total = splits["train"].num_examples
        begin, end = 0, total
        test = next((split for split in ("test", "validation") if split in splits), None)
        if test is None:
            if not 0 <= test_fraction < 1:
                raise ValueError(f"test_fraction must be in [0, 1); got {test_fraction}.")
            test, end = "train", total - round(test_fraction * total)
            begin, test_total = end, total
        else:
            test_total = splits[test].num_examples
        test_end = test_total if limit_test is None else min(test_total, begin + limit_test)
        train_end = end if limit_train is None else min(end, limit_train)
        self.num_train, self.num_test = train_end, test_end - begin
        self._train, self._test = f"train[:{train_end}]", f"{test}[{begin}:{test_end}]"

    @property
    def fits_in_memory(self) -> bool:
        """Whether the decoded images of both parts together stay below 2 GiB."""
        pixels = int(np.prod(self.image_shape)) * self._dtype.itemsize
        return (self.num_train + self.num_test) * pixels <= MAX_BYTES_IN_MEMORY

    def _examples(self, split: str, **read_options: Any) -> Any:
        import tensorflow as tf
        import tensorflow_datasets as tfds

        wanted = {"image": True, **({"label": True} if self.has_labels else {})}
        dataset = self._builder.as_dataset(
            split=split,
            decoders=tfds.decode.PartialDecoding(wanted),
            shuffle_files="shuffle_seed" in read_options,
            read_config=tfds.ReadConfig(**read_options),
        )
        return dataset.map(self._prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    def _prepare(self, example: dict) -> tuple:
        import tensorflow as tf

        image = example["image"]
        if self._resize:
            height, width = self.image_shape[:2]
            shape = tf.cast(tf.shape(image)[:2], "float64")
            scale = tf.maximum(height / shape[0], width / shape[1])
            size = tf.maximum(tf.cast(tf.round(shape * scale), "int32"), (height, width))
            scaled = tf.image.resize(image, size, antialias=True)
            top, left = (size[0] - height) // 2, (size[1] - width) // 2
            scaled = scaled[top : top + height, left : left + width]
            image = tf.cast(tf.round(scaled) if self._dtype.kind != "f" else scaled, image.dtype)
        image = tf.ensure_shape(image, self.image_shape)
        return (image, tf.cast(example["label"], "int32")) if self.has_labels else (image,)

    def arrays(self) -> Arrays:
        """Returns both parts as arrays, in the order of the files."""
        parts = []
        for split, number in ((self._train, self.num_train), (self._test, self.num_test)):
            images = np.empty((number, *self.image_shape), self._dtype)
            labels = np.empty(number, "int32") if self.has_labels else None
            for index, example in enumerate(self._examples(split).as_numpy_iterator() if number else ()):
                images[index] = example[0]
                if self.has_labels:
                    labels[index] = example[1]
            parts += [images, labels] if number else [None, None]
        return Arrays(*parts, class_names=self.class_names, num_classes=self.num_classes)

    def stream(
        self,
        train: bool,
        batch_size: int,
        shuffle: bool,
        seed: int,
        labels: bool,
        drop_remainder: bool = False,
    ) -> Any:
        """Returns one part as a batched, prefetched `tf.data.Dataset` of known length, or None if empty.

        Args:
            train: the training part, else the test part.
            batch_size: images a batch.
            shuffle: whether to read files and examples (buffer of 10,000) in a new order each epoch.
            seed: integer; the same seed gives the same orders.
            labels: whether to give labels where there are some.
            drop_remainder: whether to leave out a last batch smaller than `batch_size`.
        """
        import tensorflow as tf

        number = self.num_train if train else self.num_test
        if not number:
            return None
        read_options = {"shuffle_seed": seed} if shuffle else {}
        dataset = self._examples(self._train if train else self._test, **read_options)
        if shuffle:
            dataset = dataset.shuffle(min(number, _SHUFFLE_BUFFER), seed=seed)
        if self.has_labels and not labels:
            dataset = dataset.map(lambda image, _: (image,))
        dataset = dataset.batch(batch_size, drop_remainder=drop_remainder)
        length = number // batch_size if drop_remainder else -(-number // batch_size)
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(length))
        options = tf.data.Options()
        options.deterministic = True
        # Its thread sleeps ever longer, and an epoch cannot end while it does.
        options.autotune.enabled = False
        return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)
