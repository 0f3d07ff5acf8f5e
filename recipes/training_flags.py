"""The flags that the launchers that train share, and what they do with them."""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Annotated

import keras

import kerassl
from kerassl.arguments import NonNegativeFloat, PositiveInt
from kerassl.training import make_optimizer, optimizer_settings

from . import devices, train
from .bounds import Path, Seed, Verbosity, one_of
from .names import OPTIMIZERS, PRECISIONS, STRATEGIES
from .quiet import import_quietly
from .workdir import Workdir


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunFlags:
    """Data, length, measurements and checkpoints of a run.

    Args:
        image_size: side in pixels to which images are resized; as they come if not given.
        epochs: passes over the training images.
        batch_size: images per step over all devices.
        learning_rate: after the warm-up; if not given, the optimizer's usual one for this batch size.
        precision: of the computation; weights stay in float32.
        seed: keys all randomness of the run.
        data_dir: where TFDS keeps its data.
        limit_train: use the first so many training images of each data set only.
        limit_test: use the first so many test images only.
        eval_images: images that the kNN bank, the linear probe and the tests look at, at most.
        stop_after: epochs after which to stop, to be continued by the same command.
        save_every_steps: batches between two checkpoints within an epoch; at the ends of epochs only, if
            not given.
        keep_checkpoints: newest checkpoints to keep in the workdir.
        saved_model: write a SavedModel of the encoder besides encoder.keras.
        verbose: 0 for no progress, 1 for bars, 2 for a line per epoch.
    """

    image_size: PositiveInt | None = None
    epochs: PositiveInt = 100
    batch_size: PositiveInt = 256
    learning_rate: NonNegativeFloat | None = None
    precision: Annotated[str, one_of(PRECISIONS)] = "float32"
    seed: Seed = 0
    data_dir: Path | None = None
    limit_train: PositiveInt | None = None
    limit_test: PositiveInt | None = None
    eval_images: PositiveInt = 10_000
    stop_after: PositiveInt | None = None
    save_every_steps: PositiveInt | None = None
    keep_checkpoints: PositiveInt = 3
    saved_model: bool = True
    verbose: Verbosity = 1

    def load(self, dataset: str, **options) -> tuple:
        """The training data, the held-out data or `None`, and what is known of them.

        Args:
            dataset: its name.
            **options: further arguments of `kerassl.data.load`.
        """
        return kerassl.data.load(
            dataset,
            batch_size=self.batch_size,
            seed=self.seed,
            **self.settings("image_size", "limit_train", "limit_test", "data_dir"),
            **options,
        )

    def settings(self, *names: str) -> dict:
        """Some of the flags, by name."""
        return {name: getattr(self, name) for name in names}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingFlags(RunFlags):
    """Further, how a launcher optimizes, and on which devices.

    Args:
        chunk_size: images that a device encodes at a time, for batches larger than its memory holds.
        optimizer: default: the paper's, or adamw for runs below 10,000 steps.
        weight_decay: the optimizer's usual one if not given.
        final_weight_decay: to which adamw's decay goes by a cosine; if not given, the method's own.
        warmup_epochs: a tenth of the epochs, at most the paper's, if not given.
        strategy: mirrored is TensorFlow's, data_parallel and model_parallel are JAX's, tpu is both's, and
            multi_worker takes several processes; see docs/devices.md.
        num_devices: devices of this host to use, by default all; a processor counts as so many.
        model_shards: devices that share one copy of the weights under model_parallel.
        extend: epochs in all to which a run that has begun is lengthened; schedules are then those of so many
            epochs, from the current step on. All other flags stay, --epochs among them.
        knn_every: epochs between two kNN accuracies and diagnostics without labels; ten over the run if not
            given.
    """

    chunk_size: PositiveInt | None = None
    optimizer: Annotated[str, one_of(OPTIMIZERS)] = "default"
    weight_decay: NonNegativeFloat | None = None
    final_weight_decay: NonNegativeFloat | None = None
    warmup_epochs: NonNegativeFloat | None = None
    strategy: Annotated[str, one_of(STRATEGIES)] = "none"
    num_devices: PositiveInt | None = None
    model_shards: PositiveInt = 2
    extend: PositiveInt | None = None
    knn_every: PositiveInt | None = None

    def load(self, dataset: str, **options) -> tuple:
        """As of `RunFlags`, with batches that devices and chunks can share."""
        shared = self.strategy != "none" or self.chunk_size is not None
        return super().load(dataset, drop_remainder=shared, **options)

    def optimizer_settings(self, recipe: kerassl.Recipe, steps_per_epoch: int) -> dict:
        """As `kerassl.training.optimizer_settings`."""
        return optimizer_settings(
            recipe,
            steps_per_epoch=steps_per_epoch,
            **self.settings("optimizer", "epochs", "batch_size", "learning_rate"),
            **self.settings("weight_decay", "final_weight_decay", "warmup_epochs"),
        )

    def config(self, recipe: kerassl.Recipe, steps_per_epoch: int) -> dict:
        """What of this a workdir keeps: all that the trained weights and the table depend on."""
        return {
            **self.settings("epochs", "batch_size", "chunk_size"),
            **self.optimizer_settings(recipe, steps_per_epoch),
            **self.settings("strategy", "num_devices", "model_shards", "precision", "seed"),
            **self.settings("image_size", "limit_train", "limit_test", "data_dir", "eval_images"),
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
            # Keras seeds it, too, on every backend.
            import_quietly("tensorflow")
            keras.utils.set_random_seed(self.seed)
            yield count

    def train(
        self,
        workdir: str,
        config: dict,
        recipe: kerassl.Recipe,
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
            config: all settings of the run.
            recipe: of the method.
            model: the model with its first weights.
            train_data: of `load`.
            test_data: of `load`.
            num_devices: of `devices`.
            rate_factors: of the optimizer, as of `kerassl.optimizers.layerwise_factors`.
            **options: further arguments of `recipes.train.train_in`.

        Returns:
            The rows of the table, or `None` if the run is not finished.
        """
        steps = kerassl.data.num_batches(train_data)
        settings = self.optimizer_settings(recipe, steps)
        facts = train.data_facts(train_data, test_data, steps)
        config = {**config, "about": {**config["about"], **facts}}
        place = Workdir(workdir, config, extendable=True)
        epochs = place.extend(self.extend)
        optimizer = make_optimizer(
            recipe,
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
            **self.settings("knn_every", "eval_images", "stop_after", "save_every_steps"),
            **self.settings("keep_checkpoints", "saved_model", "verbose"),
            **options,
        )
