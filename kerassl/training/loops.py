"""`Loops`: what `fit`, `evaluate` and `predict` do around Keras' own loops."""

import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, ops

from kerassl import engine
from kerassl.data import (
    ArrayDataset,
    FixedLengthEpochs,
    ImageDataset,
    OrderedBatches,
    as_dataset,
    batches_with_indices,
    holds_arrays,
    in_epochs_of,
    is_array,
    num_batches,
    shard_for_devices,
    with_indices,
)
from kerassl.engine.keras_internals import is_validation_within_fit
from kerassl.teachers import align_teachers
from kerassl.training import resume
from kerassl.training.encoder_checks import check_channels
from kerassl.training.epoch_start import EpochStart
from kerassl.training.feed import checked, checked_validation, has_labels, inputs_and_labels, refuse_weights
from kerassl.training.guards import with_guards
from kerassl.training.monitors import check_monitors, log_names
from kerassl.views import Preprocess

# Arguments of `keras.Model.fit` that weigh examples.
WEIGHTS = ("sample_weight", "class_weight")


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

        With a `kerassl.callbacks.Checkpoint` among the callbacks, a run that its folder holds resumes
        where it stood, in the middle of an epoch if need be, bit for bit; see docs/resume.md.

        Args:
            x: raw inputs, such as images `(n, height, width, channels)` in [0, 255]: an array, or a dict or
                tuple of arrays where the views take such; for a model with `views=None`, a tuple of views.
                Or any dataset that Keras accepts (`keras.utils.PyDataset`, `tf.data.Dataset`, Grain, a torch
                `DataLoader`) yielding `inputs`, `(inputs,)` or `(inputs, labels)`. Arrays come in an order
                that is a function of the model's seed and the epoch, as do the batches of a `PyDataset`.
            y: integer labels `(n,)` for the online probe, -1 where unknown; or `None`.
            batch_size: examples per step where `x` is an array (32 by default).
            epochs: the epoch to stop at.
            initial_epoch: the epoch to start from, in a run resumed without a `Checkpoint`.
            steps_per_epoch: batches per epoch, needed where a dataset does not know its length.
            **kwargs: further arguments of `keras.Model.fit`.

        Returns:
            The `keras.callbacks.History`.

        Raises:
            ValueError: for an empty dataset, inputs that the views refuse, such as images of the wrong rank
                or with NaN, labels out of range, weights where the loss has none, a checkpoint folder that
                cannot be written or does not fit.
            FloatingPointError: if the loss becomes NaN or infinite.
        """
        if not self.compiled:
            self.compile()
        refuse_weights(self, *(kwargs.get(name) for name in WEIGHTS))
        x, y = inputs_and_labels(self, x, y)
        x = checked(self, x, y, batch_size, note=True)
        if kwargs.get("validation_data") is not None:
            kwargs["validation_data"] = checked_validation(self, kwargs["validation_data"])
        labeled = has_labels(x, y)
        weighted = any(kwargs.get(name) is not None for name in WEIGHTS)
        if (is_array(x) or holds_arrays(x)) and not weighted:
            kind = ImageDataset if is_array(x) and self.modality.modality == "images" else ArrayDataset
            x, kwargs = as_dataset(x, y, batch_size or 32, self.seed, kwargs, kind)
            y = batch_size = None
        if self.needs_sample_index:
            x = with_indices(x)
        x, y = shard_for_devices(
            x, y, batch_size, self.num_devices, engine.process_share(), self.chunk_size or 1
        )
        callbacks, checkpoint = resume.split_callbacks(kwargs.pop("callbacks", None))
        pass_length = num_batches(x, batch_size or 32)
        length = steps_per_epoch or pass_length
        shuffle = kwargs.get("shuffle", True)
        x, steps_per_epoch = in_epochs_of(x, steps_per_epoch, pass_length, shuffle, self.seed)
        if any(hasattr(callback, "monitor") for callback in callbacks):
            validation = kwargs.get("validation_data")
            split = bool(kwargs.get("validation_split"))
            names = log_names(
                self, validation is not None or split, labeled, labeled if split else has_labels(validation)
            )
            check_monitors(callbacks, names, self.step_metrics.terms)
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
        if isinstance(x, FixedLengthEpochs):
            x.start_at(first_step)
            kwargs["shuffle"] = False
        elif isinstance(x, ArrayDataset):
            # It does its own shuffling, as a function of (seed, epoch); Keras' shuffle could not be resumed.
            kwargs.setdefault("shuffle", False)
            x.epoch = first_step // length
        elif isinstance(x, keras.utils.PyDataset) and length is not None and x.num_batches == length:
            x = OrderedBatches(x, shuffle, self.seed, first_step // length)
            kwargs["shuffle"] = False
        elif not (is_array(x) or holds_arrays(x) or isinstance(x, keras.utils.PyDataset)):
            # Such data sets do their own shuffling, if any; Keras would warn that it cannot.
            kwargs.setdefault("shuffle", False)
        callbacks = with_guards(callbacks)
        if type(self).start_epoch is not Loops.start_epoch:
            data = x.dataset if isinstance(x, FixedLengthEpochs) else x
            callbacks.insert(0, EpochStart(data, first_step, length, kwargs.get("verbose", "auto")))
        compiles = self.compiles_step and not self.run_eagerly and self.train_function is None
        if compiles and epoch < epochs and kwargs.get("verbose", "auto") != 0 and engine.is_chief():
            print("Compiling the training step: the first batch takes longer.", flush=True)
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
        if not is_validation_within_fit(kwargs):
            x, y = inputs_and_labels(self, x, y)
            x = checked(self, x, y, kwargs.get("batch_size"))
        x, y = shard_for_devices(x, y, kwargs.get("batch_size"), self.num_devices, engine.process_share())
        logs = super().evaluate(x, y, return_dict=True, **kwargs)
        logs["rankme"] = float(ops.convert_to_numpy(self.step_metrics.rankme.result()))
        if self.step_metrics.diagnostics is not None:
            logs |= self.step_metrics.diagnostics.result()
        return logs if return_dict else list(logs.values())

    def predict(
        self, x: object, batch_size: int | None = None, verbose: str | int = "auto", **kwargs
    ) -> np.ndarray:
        """Features `(n, dim)` of raw inputs; as `keras.Model.predict`, for any number of inputs and devices.

        Args:
            x: inputs as in `fit`, or a data set of them.
            batch_size: inputs at a time where `x` is an array (32 by default).
            verbose: as in `keras.Model.predict`.
            **kwargs: `steps` and `callbacks` of `keras.Model.predict`.
        """
        x, _ = inputs_and_labels(self, x, None)
        # Before Keras' loop, which leaves a model without its values on JAX when it fails.
        check_channels(self, x)
        if self.num_devices == 1 or not (is_array(x) or holds_arrays(x)):
            return super().predict(x, batch_size=batch_size, verbose=verbose, **kwargs)
        batch_size = batch_size or 32
        count = len(keras.tree.flatten(x)[0])

        def rows(start: int, stop: int) -> Any:
            return keras.tree.map_structure(lambda array: array[start:stop], x)

        if engine.process_index_and_count()[1] > 1:
            # Every process embeds all inputs: each has the whole result, and none waits for another.
            starts = range(0, count, batch_size)
            return np.concatenate([self.call_locally(self, rows(i, i + batch_size)) for i in starts])
        batch_size += -batch_size % self.num_devices
        missing = -count % self.num_devices
        padded = keras.tree.map_structure(
            lambda array: np.concatenate([array, np.zeros((missing, *array.shape[1:]), array.dtype)]), x
        )
        return super().predict(padded, batch_size=batch_size, verbose=verbose, **kwargs)[:count]

    def project(
        self,
        data: object,
        encoder: keras.Model,
        head: keras.Model,
        verbose: str | int = 0,
        batch_size: int = 256,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Projections of every example of a data set in eval mode, without views; outside of the step.

        Args:
            data: a `kerassl.data.ArrayDataset`, or batches of `{"inputs", "sample_index"}`.
            encoder: from inputs to features.
            head: from features to projections.
            verbose: 0 for no progress bar.
            batch_size: examples at a time of an `ArrayDataset`.

        Returns:
            `(n, dim)` float32 projections and the int32 `(n,)` indices of their examples.
        """

        def project(inputs: Any):
            return ops.cast(
                head(self.encode(encoder, self.preprocess(inputs), training=False), training=False), "float32"
            )

        return self.map_examples(project, data, verbose, batch_size)

    def map_examples(
        self,
        function: Callable[[KerasTensor], KerasTensor],
        data: object,
        verbose: str | int = 0,
        batch_size: int = 256,
    ) -> tuple[np.ndarray, np.ndarray]:
        """What a function gives of every example of a data set; outside of the step.

        Args:
            function: from raw inputs to `(batch, dim)`.
            data: as in `project`.
            verbose: 0 for no progress bar.
            batch_size: examples at a time of an `ArrayDataset`.

        Returns:
            `(n, dim)` of all examples and the int32 `(n,)` indices of these.
        """
        parts, places = [], []
        bar = keras.utils.Progbar(num_batches(data), verbose=1 if verbose == "auto" else verbose)
        for inputs, indices in batches_with_indices(data, batch_size, self.views is None):
            parts.append(self.call_locally(function, inputs))
            places.append(indices)
            bar.update(len(parts))
        found, indices = np.concatenate(parts), np.concatenate(places)
        if isinstance(data, ArrayDataset):
            return found, indices
        return engine.gather_from_processes(found), engine.gather_from_processes(indices)

    @property
    def image_preprocess(self) -> Preprocess | None:
        """The layer that brings raw images to the encoder, where the views have one."""
        preprocess = getattr(self.views, "preprocess", None)
        return preprocess if isinstance(preprocess, Preprocess) else None
