"""`Loops`: what `fit`, `evaluate` and `predict` do around Keras' own loops."""

import warnings
from collections.abc import Callable

import keras
import numpy as np
from keras import KerasTensor, ops

from kerassl import data as data_room
from kerassl import engine
from kerassl.teachers import align_teachers
from kerassl.training import resume
from kerassl.training.compile_checks import check_weights
from kerassl.training.epoch_start import EpochStart
from kerassl.training.monitors import check_monitors, log_names
from kerassl.training.nonfinite_guard import NonfiniteGuard
from kerassl.views import InputFormat, Preprocess


class Loops:
    """Fits, evaluates and embeds with a model: data checked, ordered, cut for its devices, and resumed.

    `kerassl.SSLModel` has the steps that the loops run and the weights that they count in.
    """

    def start_epoch(self, data: object, verbose: str | int) -> None:
        """Called by `fit` before each epoch, outside of the step, with the data; most have nothing to do."""

    def fit(
        self,
        x: object = None,
        y: object = None,
        *,
        batch_size: int | None = None,
        epochs: int = 1,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        **kwargs,
    ) -> keras.callbacks.History:
        """Trains; as `keras.Model.fit`, with the data checked and the schedules told how long the run is.

        With a `kerassl.callbacks.Checkpoint` among the callbacks, a run that its folder holds goes on
        where it stood, in the middle of an epoch if need be, bit for bit; see docs/resume.md.

        Args:
            x: raw images `(n, height, width, channels)` in [0, 255], or any dataset that Keras accepts
                (`keras.utils.PyDataset`, `tf.data.Dataset`, Grain, a torch `DataLoader`) yielding
                `images`, `(images,)` or `(images, labels)`. Images in memory come in an order that is a
                function of the model's seed and the epoch, as do the batches of a `PyDataset`. The shuffle
                of ready views in memory, `((view1, view2),)`, is Keras' own, which a resumed run does not
                repeat.
            y: integer labels `(n,)` for the online probe, -1 where unknown; or `None`.
            batch_size: images per step where `x` is an array (32 by default).
            epochs: the epoch to stop at.
            initial_epoch: the epoch to start from, in a run resumed without a `Checkpoint`.
            steps_per_epoch: batches per epoch, needed where a dataset does not know its length.
            **kwargs: further arguments of `keras.Model.fit`.

        Returns:
            The `keras.callbacks.History`.

        Raises:
            ValueError: for an empty dataset, images of the wrong rank, NaN pixels, labels out of range, a
                checkpoint folder that cannot be written or does not fit.
            FloatingPointError: if the loss becomes NaN or infinite.
        """
        check_weights(self, kwargs)
        if not self.compiled:
            self.compile()
        images = data_room.check_data(
            x, y, batch_size=batch_size, num_classes=self.num_classes, views=self.views is None
        )
        if self._preprocess is not None and images is not None:
            # It travels with what is exported, for evaluations to compare with.
            self._preprocess.trained_on = InputFormat.of(
                images, x.resize if isinstance(x, data_room.ImageDataset) else None
            )
        pass_length = data_room.num_batches(x, batch_size or 32)
        if self.views is not None and data_room.can_be_dataset(x, pass_length, batch_size or 32, kwargs):
            x, kwargs = data_room.as_dataset(x, y, batch_size or 32, self.seed, kwargs)
            y = batch_size = None
        if self.needs_sample_index:
            x = data_room.with_indices(x)
        x, y = data_room.shard_for_devices(
            x, y, batch_size, self.num_devices, engine.process_share(), self.chunk_size or 1
        )
        callbacks, checkpoint = resume.split_callbacks(kwargs.pop("callbacks", None))
        pass_length = data_room.num_batches(x, batch_size or 32)
        length = steps_per_epoch or pass_length
        shuffle = kwargs.get("shuffle", True)
        x, steps_per_epoch = data_room.in_epochs_of(x, steps_per_epoch, pass_length, shuffle, self.seed)
        if any(hasattr(callback, "monitor") for callback in callbacks):
            validated = kwargs.get("validation_data") is not None or bool(kwargs.get("validation_split"))
            check_monitors(callbacks, log_names(self, validated))
        kwargs |= {"y": y, "batch_size": batch_size, "steps_per_epoch": steps_per_epoch}
        position = checkpoint and resume.restore(
            self, checkpoint, x, length, pass_length, steps_per_epoch, epochs
        )
        align_teachers(self)
        self.align_processes()
        epoch, batch = (position.epoch, position.batch) if position else (initial_epoch, 0)
        first_step = int(ops.convert_to_numpy(self.clock.step)) - batch
        if length is None:
            warnings.warn(
                "The dataset does not say how many batches it has, so schedules that run over the whole "
                "training (EMA momentum, temperatures) stay at their first value. Pass steps_per_epoch=, or "
                "use tf.data.experimental.assert_cardinality.",
                stacklevel=2,
            )
        else:
            self.clock.steps_per_epoch.assign(length)
            self.clock.total_steps.assign(first_step + max(epochs - epoch, 0) * length)
        self.nonfinite_record.begin(first_step - epoch * (length or 0), length)
        if isinstance(x, data_room.FixedLengthEpochs):
            x.start_at(first_step)
            kwargs["shuffle"] = False
        elif isinstance(x, data_room.ImageDataset):
            # It shuffles by itself, as a function of (seed, epoch); Keras' shuffle could not be resumed.
            kwargs.setdefault("shuffle", False)
            x.epoch = first_step // length
        elif isinstance(x, keras.utils.PyDataset) and length is not None and x.num_batches == length:
            x = data_room.OrderedBatches(x, shuffle, self.seed, first_step // length)
            kwargs["shuffle"] = False
        elif not (data_room.is_array(x) or data_room.holds_arrays(x) or isinstance(x, keras.utils.PyDataset)):
            # Such data sets shuffle by themselves, if at all; Keras would warn that it cannot.
            kwargs.setdefault("shuffle", False)
        callbacks = [NonfiniteGuard(), *callbacks]
        if type(self).start_epoch is not Loops.start_epoch:
            data = x.dataset if isinstance(x, data_room.FixedLengthEpochs) else x
            callbacks.insert(0, EpochStart(data, first_step, length, kwargs.get("verbose", "auto")))
        if checkpoint is None:
            return super().fit(x, epochs=epochs, initial_epoch=epoch, callbacks=callbacks, **kwargs)
        # Last, so that a checkpoint holds what the others have done.
        callbacks.append(checkpoint)
        return resume.fit(
            self, super().fit, checkpoint, position, x, callbacks, epochs, initial_epoch, length, kwargs
        )

    def evaluate(
        self, x: object = None, y: object = None, *, return_dict: bool = True, **kwargs
    ) -> dict | list:
        """Loss terms, probe accuracy, feature statistics and RankMe over a dataset.

        Args:
            x: as in `fit`.
            y: as in `fit`.
            return_dict: whether to return a dict (the default) or the list of its values.
            **kwargs: further arguments of `keras.Model.evaluate`.

        Returns:
            `{"loss": ..., "feature_std": ..., "effective_rank": ..., "rankme": ...}`, with
            `probe_accuracy` where there are a probe and labels, each term where there are several, and what
            `compile(diagnostics=True)` adds.
        """
        if not self.compiled:
            self.compile()
        x, y = data_room.shard_for_devices(
            x, y, kwargs.get("batch_size"), self.num_devices, engine.process_share()
        )
        logs = super().evaluate(x, y, return_dict=True, **kwargs)
        logs["rankme"] = float(ops.convert_to_numpy(self.step_metrics.rankme.result()))
        if self.step_metrics.diagnostics is not None:
            logs |= self.step_metrics.diagnostics.result()
        return logs if return_dict else list(logs.values())

    def predict(
        self, x: object, batch_size: int | None = None, verbose: str | int = "auto", **kwargs
    ) -> np.ndarray:
        """Features `(n, dim)` of raw images; as `keras.Model.predict`, for any number of images and devices.

        Args:
            x: images `(n, height, width, channels)`, or a dataset of them.
            batch_size: images at a time where `x` is an array (32 by default).
            verbose: as in `keras.Model.predict`.
            **kwargs: `steps` and `callbacks` of `keras.Model.predict`.
        """
        if self.num_devices == 1 or not data_room.is_array(x):
            return super().predict(x, batch_size=batch_size, verbose=verbose, **kwargs)
        batch_size = batch_size or 32
        if engine.process_index_and_count()[1] > 1:
            # Every process embeds all images by itself: its answer is whole, and none waits for another.
            parts = [self.call_locally(self, x[i : i + batch_size]) for i in range(0, len(x), batch_size)]
            return np.concatenate(parts)
        batch_size += -batch_size % self.num_devices
        padding = np.zeros((-len(x) % self.num_devices, *x.shape[1:]), x.dtype)
        padded = np.concatenate([x, padding])
        return super().predict(padded, batch_size=batch_size, verbose=verbose, **kwargs)[: len(x)]

    def project(
        self,
        data: object,
        encoder: keras.Model,
        head: keras.Model,
        verbose: str | int = 0,
        batch_size: int = 256,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Projections of every image of a data set in eval mode, without views; outside of the step.

        Args:
            data: a `kerassl.data.ImageDataset`, or batches of `{"inputs", "sample_index"}`.
            encoder: from images to features.
            head: from features to projections.
            verbose: 0 for no progress bar.
            batch_size: images at a time of an `ImageDataset`.

        Returns:
            `(n, dim)` float32 projections and the int32 `(n,)` indices of their examples.
        """

        def project(images: KerasTensor):
            return ops.cast(
                head(self.encode(encoder, self.preprocess(images), training=False), training=False), "float32"
            )

        return self.map_images(project, data, verbose, batch_size)

    def map_images(
        self,
        function: Callable[[KerasTensor], KerasTensor],
        data: object,
        verbose: str | int = 0,
        batch_size: int = 256,
    ) -> tuple[np.ndarray, np.ndarray]:
        """What a function gives of every image of a data set; outside of the step.

        Args:
            function: from raw images to `(batch, dim)`.
            data: as in `project`.
            verbose: 0 for no progress bar.
            batch_size: images at a time of an `ImageDataset`.

        Returns:
            `(n, dim)` of all images and the int32 `(n,)` indices of these.
        """
        parts, places = [], []
        bar = keras.utils.Progbar(data_room.num_batches(data), verbose=1 if verbose == "auto" else verbose)
        for images, indices in data_room.batches_with_indices(data, batch_size):
            parts.append(self.call_locally(function, images))
            places.append(indices)
            bar.update(len(parts))
        found, indices = np.concatenate(parts), np.concatenate(places)
        if isinstance(data, data_room.ImageDataset):
            return found, indices
        return engine.gather_from_processes(found), engine.gather_from_processes(indices)

    @property
    def _preprocess(self) -> Preprocess | None:
        """What brings raw images to the encoder, unless the views are a layer that has another such."""
        preprocess = getattr(self.views, "preprocess", None)
        return preprocess if isinstance(preprocess, Preprocess) else None
