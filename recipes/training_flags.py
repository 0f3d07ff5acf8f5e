"""The flags that the launchers that train share, and what they do with them."""

import contextlib
import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable, Iterator

import keras

import kerassl
from recipes import devices, train
from recipes.optimizers import SHORT_RUN, make_optimizer, optimizer_settings
from recipes.workdir import Workdir


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingFlags:
    """How a launcher trains: data, length, optimizer, devices, measurements and checkpoints.

    Args:
        image_size: side in pixels to which images are resized; as they come if not given.
        epochs: passes over the training images.
        batch_size: images per step over all devices.
        chunk_size: images that a device encodes at a time, for batches larger than its memory holds.
        optimizer: adamw, lars or sgd; default: the paper's, or adamw for runs below 10,000 steps.
        learning_rate: after the warm-up; if not given, the optimizer's usual one for this batch size.
        weight_decay: the optimizer's usual one if not given.
        final_weight_decay: to which adamw's decay goes by a cosine; if not given, the method's own: that of
            dino, dinov2, ibot, msn, pmsn and poa rises from 0.04 to 0.4, that of mugs to 0.2.
        warmup_epochs: a tenth of the epochs, at most the paper's, if not given.
        strategy: none, mirrored (TensorFlow), data_parallel or model_parallel (JAX), tpu (TensorFlow, JAX)
            or multi_worker (several processes); see docs/devices.md.
        num_devices: devices of this host to use, by default all; a processor counts as so many.
        model_shards: devices that share one copy of the weights under model_parallel.
        precision: float32, mixed_bfloat16 or mixed_float16.
        seed: keys all randomness of the run.
        data_dir: where TFDS keeps its data.
        limit_train: use the first so many training images of each data set only.
        limit_test: use the first so many test images only.
        knn_every: epochs between two kNN accuracies and diagnostics without labels; ten over the run if not
            given.
        eval_images: images that the kNN bank, the linear probe and the tests look at, at most.
        stop_after: epochs after which to stop, to be continued by the same command.
        extend: epochs in all to which a run that has begun is lengthened; schedules are then those of so many
            epochs, from the current step on. All other flags stay, --epochs among them.
        save_every_steps: batches between two checkpoints within an epoch; at the ends of epochs only, if
            not given.
        keep_checkpoints: newest checkpoints to keep in the workdir.
        saved_model: write a SavedModel of the encoder besides encoder.keras.
        verbose: 0 for no progress, 1 for bars, 2 for a line per epoch.
    """

    image_size: int | None = None
    epochs: int = 100
    batch_size: int = 256
    chunk_size: int | None = None
    optimizer: str = "default"
    learning_rate: float | None = None
    weight_decay: float | None = None
    final_weight_decay: float | None = None
    warmup_epochs: float | None = None
    strategy: str = "none"
    num_devices: int | None = None
    model_shards: int = 2
    precision: str = "float32"
    seed: int = 0
    data_dir: str | None = None
    limit_train: int | None = None
    limit_test: int | None = None
    knn_every: int | None = None
    eval_images: int = 10_000
    stop_after: int | None = None
    extend: int | None = None
    save_every_steps: int | None = None
    keep_checkpoints: int = 3
    saved_model: bool = True
    verbose: int = 1

    def load(self, dataset: str) -> tuple:
        """The training data, the held-out data or `None`, and what is known of them."""
        return kerassl.data.load(
            dataset,
            batch_size=self.batch_size,
            seed=self.seed,
            # Every device and every chunk needs its share of every batch.
            drop_remainder=self.strategy != "none" or self.chunk_size is not None,
            **self._settings("image_size", "limit_train", "limit_test", "data_dir"),
        )

    def is_short(self, steps_per_epoch: int) -> bool:
        """Whether the settings for short runs apply."""
        return self.epochs * steps_per_epoch < SHORT_RUN

    def optimizer_settings(self, method: str, steps_per_epoch: int) -> dict:
        """As `recipes.optimizers.optimizer_settings`."""
        settings = optimizer_settings(
            method,
            steps_per_epoch=steps_per_epoch,
            **self._settings(
                "optimizer", "epochs", "batch_size", "learning_rate", "weight_decay", "warmup_epochs"
            ),
        )
        if self.final_weight_decay is not None:
            settings["final_weight_decay"] = self.final_weight_decay
        return settings

    def config(self, method: str, steps_per_epoch: int) -> dict:
        """What of this a workdir keeps: all that the trained weights and the table depend on."""
        return {
            **self._settings("epochs", "batch_size", "chunk_size"),
            **self.optimizer_settings(method, steps_per_epoch),
            **self._settings("strategy", "num_devices", "model_shards", "precision", "seed"),
            **self._settings("image_size", "limit_train", "limit_test", "data_dir", "eval_images"),
        }

    @contextlib.contextmanager
    def devices(self) -> Iterator[int]:
        """Where the model is made and trained, all randomness keyed by the seed.

        Yields:
            The number of devices that share a batch.

        Raises:
            ValueError: for a batch that they cannot share.
        """
        with devices.devices(self.strategy, self.precision, self.num_devices, self.model_shards) as count:
            kerassl.data.check_divides(self.batch_size, count, self.chunk_size or 1)
            keras.utils.set_random_seed(self.seed)
            yield count

    def train(
        self,
        workdir: str,
        config: dict,
        model: kerassl.SSLModel,
        train_data,  # noqa: ANN001
        test_data,  # noqa: ANN001
        num_devices: int,
        *,
        rate_factors: dict[str, float] | None = None,
        **options,
    ) -> dict | None:
        """Compiles a model and trains it in a workdir, or shows what a finished run has found.

        Args:
            workdir: folder of the run.
            config: all settings of the run, the method's name among them.
            model: the model with its first weights.
            train_data: of `load`.
            test_data: of `load`.
            num_devices: of `devices`.
            rate_factors: of the optimizer, as of `kerassl.optimizers.layerwise_factors`.
            **options: further arguments of `recipes.train.train_in`.

        Returns:
            The rows of the table, or `None` if the run is not finished.
        """
        method, steps = config["method"], kerassl.data.num_batches(train_data)
        settings = self.optimizer_settings(method, steps)
        facts = train.data_facts(train_data, test_data, steps)
        place = Workdir(workdir, {**config, "about": {**config["about"], **facts}})
        epochs = place.extend(self.extend)
        optimizer = make_optimizer(
            method,
            **settings,
            epochs=epochs,
            steps_per_epoch=steps,
            rate_factors=rate_factors,
            model=model,
        )
        model.compile(optimizer, chunk_size=self.chunk_size)
        if place.finished:
            return train.show_finished(place)
        train.print_settings(place.config)
        return train.train_in(
            place,
            model,
            train_data,
            test_data,
            epochs=epochs,
            num_devices=num_devices,
            **self._settings("knn_every", "eval_images", "stop_after", "save_every_steps"),
            **self._settings("keep_checkpoints", "saved_model", "verbose"),
            **options,
        )

    def _settings(self, *names: str) -> dict:
        return {name: getattr(self, name) for name in names}


def with_training_flags(run: Callable) -> Callable:
    """Makes the fields of `TrainingFlags` keywords of a launcher, which gets them as one object, `training`.

    Args:
        run: a launcher whose last keyword and last documented argument is `training`, in one line.
    """
    hints = typing.get_type_hints(TrainingFlags)
    fields = {field.name: field.default for field in dataclasses.fields(TrainingFlags)}

    @functools.wraps(run)
    def launcher(*arguments, **keywords):
        shared = {name: keywords.pop(name) for name in fields if name in keywords}
        return run(*arguments, training=TrainingFlags(**shared), **keywords)

    signature = inspect.signature(run)
    *own, _ = signature.parameters.values()
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hints[name])
        for name, default in fields.items()
    ]
    launcher.__signature__ = signature.replace(parameters=[*own, *shared])
    launcher.__annotations__ = {**{p.name: p.annotation for p in own}, **hints}
    before, after = run.__doc__.split("        training: ")
    helps = TrainingFlags.__doc__.split("Args:\n")[1].rstrip()
    launcher.__doc__ = before + helps + after[after.index("\n") :]
    return launcher
