"""`SSLModel`, the one base class of every method: it knows no backend and no method."""

import dataclasses
import os
import pathlib
from collections.abc import Callable

import keras
import numpy as np
from keras import KerasTensor, ops

from kerassl import data as data_room
from kerassl import engine, evaluation, schedules
from kerassl.feature_maps import average_pool, feature_dim
from kerassl.heads import OnlineProbe
from kerassl.loops import Loops
from kerassl.objectives import Objective
from kerassl.optimizers import AdamW
from kerassl.views.choice import choose_views
from kerassl.views.multiview import same_size_batches
from kerassl.views.preprocess import ImageRecord


class SSLModel(Loops, engine.NonfiniteUpdates, engine.Step, keras.Model):
    """A self-supervised method: an encoder, the views it is shown, and a loss on them.

    A method subclasses this, makes its heads in `__init__`, and writes

    - `loss_terms(views, labels, training) -> ({name: scalar}, aux)`: the named terms whose sum is
      minimised, and a dict that `after_update` receives. `aux["features"]`, `(batch, dim)` or one such
      for each view that the student has seen, is what attached objectives learn from; the online probe and
      the collapse statistics look at the first view's, or at `aux["embedding"]` if present;
      `aux["assignments"]`, integers of any shape, are the prototypes that images fell to;
    - `after_update(aux)`, where it has state (EMA teacher, queue, centre): assignments to Keras
      variables, run inside the compiled step once per optimizer update.

    Args:
        encoder: built `keras.Model` from normalised images `(batch, height, width, channels)` to
            features `(batch, dim)`; a feature map `(batch, h, w, dim)` is average-pooled.
        views: `"default"` for the method's own, the name of a recipe in `kerassl.views`, a views
            layer, or `None` for data that already holds views as `((view1, view2, ...), labels)` or
            `((view1, view2, ...),)`.
        default_views: names of the method's own recipes, for images of up to 64 pixels and above.
        num_views: views of each image that a named recipe makes, where the method takes more than two.
        terms: names of the loss terms that `loss_terms` returns.
        num_classes: number of classes of the labels, for an online linear probe; `None` for none.
        num_prototypes: number of prototypes, for a method whose `aux["assignments"]` says which an image fell
            to; their usage is then a metric.
        seed: Python integer; with the step counter it determines every random number of the run.
        views_options: further arguments of the default or named recipe.
        name: name of the model.

    Raises:
        ValueError: if the encoder's output is neither features nor a feature map, or if the views
            cannot be chosen from the encoder's input shape.
    """

    # Whether the method's networks run through `encode`, which alone knows of `compile(chunk_size=)`.
    encodes_in_chunks = True
    # Whether the method's views end in the images' positions in the data set, which `fit` adds.
    takes_positions = False
    # Whether a batch may be one of several that make an update, of which `after_update` sees the last.
    accumulates = True
    # Whether each step begins with `before_update`.
    looks_ahead = False

    def __init__(
        self,
        encoder: keras.Model,
        *,
        views: tuple | None,
        default_views: tuple[str, str],
        terms: tuple[str, ...],
        num_views: int = 2,
        num_classes: int | None = None,
        num_prototypes: int | None = None,
        seed: int = 0,
        views_options: dict | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.encoder = encoder
        self.feature_dim = feature_dim(encoder)
        self.views = choose_views(views, default_views, encoder, num_views, views_options or {})
        self.num_classes = num_classes
        self.seed = seed

        def counter(name: str):
            return self.add_weight(name=name, shape=(), dtype="int32", initializer="zeros", trainable=False)

        self.step = counter("step")
        self.total_steps = counter("total_steps")
        self.steps_per_epoch = counter("steps_per_epoch")
        self.skipped_updates = counter("skipped_updates")
        self.nonfinite = "raise"
        self.nonfinite_record = engine.NonfiniteRecord(self, terms)
        self.probe = None if num_classes is None else OnlineProbe(self.feature_dim, num_classes, name="probe")

        self.term_means = [keras.metrics.Mean(name=term) for term in terms]
        self.feature_std = keras.metrics.Mean(name="feature_std")
        self.effective_rank = keras.metrics.Mean(name="effective_rank")
        self.probe_accuracy = keras.metrics.Mean(name="probe_accuracy")
        self.rankme = evaluation.RankMe(self.feature_dim, name="rankme")
        self.prototype_usage = num_prototypes and evaluation.PrototypeUsage(num_prototypes)
        self.diagnostics = None
        self.objectives = []
        self.chunk_size = None
        self.built = True

    def attach(self, objective: Objective) -> "SSLModel":
        """Adds an objective to the method's own, such as `kerassl.objectives.SwappedPrototypes`.

        Call it before `compile`. What is attached is trained, saved and loaded with the model.

        Args:
            objective: a `kerassl.objectives.Objective` that is attached to no other model.

        Returns:
            The model itself.

        Raises:
            ValueError: for a compiled model, or where a name or a term is taken.
        """
        if self.compiled:
            raise ValueError(
                "Attach an objective before compile(), which makes the optimizer for all weights."
            )
        terms = [mean.name for mean in self.term_means]
        names = [other.name for other in self.objectives]
        if objective.name in names or set(terms) & set(objective.terms):
            raise ValueError(
                f"{objective.name!r} with the terms {objective.terms} cannot be attached: the model has the "
                f"objectives {names} and the terms {terms}. Objectives of one kind cannot be attached twice."
            )
        with self.device_scope():
            objective.attach_to(self)
            self.objectives.append(objective)
            self.term_means += [keras.metrics.Mean(name=term) for term in objective.terms]
            for variable in self.nonfinite_record.variables:
                self._untrack_variable(variable)
            self.nonfinite_record = engine.NonfiniteRecord(self, (*terms, *objective.terms))
            if objective.num_prototypes:
                prefix = f"{objective.name}_" if self.prototype_usages else ""
                objective.usage = evaluation.PrototypeUsage(objective.num_prototypes, prefix)
        return self

    @property
    def prototype_usages(self) -> dict:
        """The metric of each part that has prototypes, by the part's name; the method's own has none."""
        usages = {objective.name: getattr(objective, "usage", None) for objective in self.objectives}
        return {name: usage for name, usage in {None: self.prototype_usage, **usages}.items() if usage}

    def loss_terms(
        self, views: tuple | None, labels: KerasTensor | None, training: bool
    ) -> tuple[dict, dict]:
        """Returns `({name: scalar}, aux)`; every method writes its own."""
        raise NotImplementedError(f"{type(self).__name__} must define `loss_terms(views, labels, training)`.")

    def before_update(self, virtual: engine.VirtualSteps) -> None:
        """What a method with `looks_ahead` does at the start of a step, inside it, before the forward pass.

        `virtual.take(number)` takes a gradient step on the batch, with views drawn for that number, from 1
        on; `virtual.restore()` takes all of them back, which the method must do in the end.
        """

    def after_update(self, aux: dict) -> None:
        """Moves the method's state after an optimizer update; a method without state has none to move."""

    def gather(self, tensor: KerasTensor) -> KerasTensor:
        """The tensor of the global batch: all replicas' rows, with gradients. Identity on one device."""
        return engine.gather(tensor)

    def gather_candidates(self, *tensors: KerasTensor) -> tuple[tuple | None, KerasTensor]:
        """All replicas' rows of some tensors, and the row at which this replica's own begin there.

        `(None, 0)` where the tensors hold the global batch: on one device and on JAX.
        """
        if engine.num_replicas() == 1:
            return None, 0
        return tuple(self.gather(tensor) for tensor in tensors), self.first_row(ops.shape(tensors[0])[0])

    @property
    def num_replicas(self) -> int:
        """Number of replicas that run this step, each on its share of the batch; 1 on JAX."""
        return engine.num_replicas()

    def split_rows(
        self, views: tuple, num_images: int, training: bool
    ) -> tuple[tuple[KerasTensor, ...], KerasTensor]:
        """Views without the positions at their end, and each image's row in what is remembered.

        Args:
            views: as `loss_terms` receives them where `takes_positions` is true.
            num_images: images that are remembered; it is also the row of an unknown image or one beyond.
            training: whether positions must be there.

        Returns:
            The views, and int32 `(batch,)` rows in 0..num_images.

        Raises:
            ValueError: in training, for data without positions.
        """
        last = views[-1]
        if last is not None and len(last.shape) > 2:
            views, last = (*views, None), None
        if last is None:
            if training:
                raise ValueError(
                    f"{type(self).__name__} remembers each image, so it must know which ones it sees: fit an "
                    'array or a kerassl.data.ImageDataset, or yield {"images": images, "positions": '
                    "positions} in place of images (ready views: (view1, view2, positions)); -1 is unknown."
                )
            return tuple(views[:-1]), ops.full((ops.shape(views[0])[0],), num_images, "int32")
        positions = ops.cast(ops.reshape(last, (-1,)), "int32")
        known = ops.logical_and(positions >= 0, positions < num_images)
        return tuple(views[:-1]), ops.where(known, positions, num_images)

    def step_seed(self, purpose: str, training: bool) -> keras.random.SeedGenerator:
        """Random numbers of this step for a purpose, the same on all replicas and in every evaluation."""
        return engine.StepSeed(f"{self.seed}/{purpose}", self.step if training else -1)

    def first_row(self, rows: int | KerasTensor) -> int | KerasTensor:
        """The row of the global batch at which this replica's `rows` rows begin."""
        return engine.replica_id() * rows

    def mean_over_replicas(self, loss: KerasTensor) -> KerasTensor:
        """The loss of the global batch from those of the replicas' equal shares, with gradients."""
        return engine.replica_sum(loss) / engine.num_replicas()

    @property
    def updates(self) -> KerasTensor:
        """Optimizer updates done so far, an int32 scalar: the clock of the schedules."""
        return self.step // self._batches_per_update

    @property
    def total_updates(self) -> KerasTensor:
        """Optimizer updates of the whole run as `fit` announced it, an int32 scalar; endless if unknown."""
        updates = self.total_steps // self._batches_per_update
        return ops.where(updates > 0, updates, np.iinfo("int32").max)

    def over_first_epochs(self, start: float, end: float, epochs: float) -> float | KerasTensor:
        """What goes from `start` to `end` in a straight line over the first epochs, and then stays there."""
        if not epochs:
            return end
        return schedules.linear(start, end, self.step, ops.maximum(epochs * self.steps_per_epoch, 1))

    @property
    def epochs_done(self) -> int:
        """Whole epochs trained so far, of the length that `fit` announced; outside of the step."""
        step, length = (int(ops.convert_to_numpy(v)) for v in (self.step, self.steps_per_epoch))
        return step // max(length, 1)

    @property
    def _batches_per_update(self) -> int:
        return (self.compiled and own_optimizer(self.optimizer).gradient_accumulation_steps) or 1

    @property
    def embedding_encoder(self) -> keras.Model:
        """The network whose features `call` returns and `export_encoder` writes."""
        return self.encoder

    @property
    def further_encoders(self) -> dict[str, keras.Model]:
        """Other networks that a run has trained for the same images, by a name; most have none."""
        return {}

    def encode(self, encoder: keras.Model, images: KerasTensor, training: bool) -> KerasTensor:
        """Features `(batch, dim)` of normalised images; a feature map is average-pooled."""
        return average_pool(self.encode_unpooled(encoder, images, training))

    def encode_views(self, encoder: keras.Model, views: tuple, training: bool) -> KerasTensor:
        """Features `(num_views * batch, dim)` of one view after the other; those of one size go together."""
        return ops.concatenate([self.encode(encoder, crops, training) for crops in same_size_batches(views)])

    def encode_unpooled(self, encoder: keras.Model, images: KerasTensor, training: bool) -> KerasTensor:
        """What an encoder gives of normalised images: features, or a feature map `(batch, h, w, dim)`."""
        if training and self.chunk_size:
            # On JAX the step holds the batch of all devices, elsewhere that of one.
            here = self.num_devices // engine.num_replicas()
            return engine.encode_in_chunks(encoder, images, self.chunk_size * here)
        if any(engine.is_synchronized(layer) for layer in encoder._flatten_layers()):
            # XLA cannot hold what replicas tell each other.
            return encoder(images, training=training)
        return self.compile_part(lambda batch: encoder(batch, training=training))(images)

    def call(self, images: KerasTensor, training: bool = False) -> KerasTensor:
        """The embedding of raw images: resized and normalised as the views do, then encoded in eval mode."""
        images, _ = data_room.split_positions(images)
        if self.views is not None:
            images = self.views.preprocess(images)
        return ops.cast(self.encode(self.embedding_encoder, images, training=False), "float32")

    def forward_pass(self, data: tuple, training: bool, virtual: int = 0) -> tuple[KerasTensor, dict]:
        """Loss and everything that a step needs to remember; called by the engine.

        Args:
            data: the batch.
            training: whether it is a step of training.
            virtual: number of the virtual step, each of which draws numbers of its own; 0 for the step
                itself.
        """
        images, labels, _ = keras.utils.unpack_x_y_sample_weight(data)
        images, positions = data_room.split_positions(images)
        if labels is not None:
            labels = ops.cast(ops.reshape(labels, (-1,)), "int32")
        # In evaluation every batch draws the same numbers, so that a repeated evaluation agrees.
        step = self.step if training else -1
        seed = f"{self.seed}/virtual {virtual}" if virtual else self.seed
        rng = engine.StepSeed(seed, step, engine.replica_id())
        if training:
            self._rekey_generators(rng)
        views = images
        if self.views is not None:
            views = self.compile_part(lambda batch: self.views(batch, seed=rng))(images)
            if self.takes_positions:
                views = (*(views if isinstance(views, (tuple, list)) else (views,)), positions)
        terms, aux = self.loss_terms(views, labels, training)
        features = aux.get("features", ())
        features = tuple(features) if isinstance(features, (tuple, list)) else (features,)
        for objective in self.objectives:
            more, aux[objective.name] = objective.loss_terms(self, features, labels, training)
            terms = {**terms, **more}
        self._check_terms(terms)
        loss = sum(ops.cast(value, "float32") for value in terms.values())
        for penalty in self.losses:
            loss = loss + ops.cast(penalty, "float32")
        if training:
            features = aux.get("embedding", features[0] if features else None)
        else:
            features = self(images[0] if isinstance(images, (tuple, list)) else images)
        if features is not None:
            features = ops.stop_gradient(ops.cast(features, "float32"))
        record = {"loss": loss, "terms": terms, "aux": aux, "labels": labels, "features": features}
        record["images"] = images[0] if isinstance(images, (tuple, list)) else images
        if training:
            # A copy: `iterations` is a variable that the optimizer moves before `finish_update` reads this.
            record["updates"] = ops.cast(self.optimizer.iterations, "int32") + 0
        return loss, record

    def finish_update(self, record: dict) -> None:
        """Moves the method's state, the probe and the step counter; called after the optimizer."""

        def move():
            self.after_update(record["aux"])
            for objective in self.objectives:
                objective.after_update(self, record["aux"][objective.name])
            if self._probing(record):
                self.probe.update(record["features"], record["labels"])

        record["probe_hits"] = self._probe_hits(record)
        if self._batches_per_update > 1 or self._scales_loss:
            # The optimizer may have left its update out: to accumulate, or because its scale overflowed.
            updated = ops.not_equal(ops.cast(self.optimizer.iterations, "int32"), record["updates"])
            assign_if(updated, self.variables, move)
        else:
            move()
        finite = record.get("finite", True)
        # By name: JAX hands dicts back in alphabetical order.
        terms = [record["terms"][mean.name] for mean in self.term_means]
        self.nonfinite_record.note(self.step, record["loss"], terms, record["images"], finite)
        self.step.assign_add(1)

    def logs(self, record: dict, training: bool) -> dict:
        """Adds a batch to the metrics and returns the running means; called by the engine."""
        features, labels = record["features"], record["labels"]
        hits = record["probe_hits"] if training else self._probe_hits(record)
        shown = [self._loss_tracker]
        batch = None if features is None else ops.cast(ops.shape(features)[0], "float32")
        loss = record["loss"]
        if training and self.looks_at_gradients:
            # A loss without gradients counts as none, so that the guard sees it.
            loss = ops.where(record["finite"], loss, np.nan)
        self._loss_tracker.update_state(loss, sample_weight=batch)
        if len(self.term_means) > 1:
            for mean in self.term_means:
                mean.update_state(record["terms"][mean.name], sample_weight=batch)
            shown += self.term_means
        if features is not None:
            self.feature_std.update_state(evaluation.feature_std(features), sample_weight=batch)
            self.effective_rank.update_state(evaluation.effective_rank(features), sample_weight=batch)
            shown += [self.feature_std, self.effective_rank]
            if not training:
                # All replicas' rows: it does not change with their number.
                self.rankme.update_state(self.gather(features))
                if self.diagnostics is not None:
                    self._diagnose(features, labels, record["aux"].get("features", ()))
        for name, usage in self.prototype_usages.items():
            aux = record["aux"] if name is None else record["aux"][name]
            counts = evaluation.count_assignments(aux["assignments"], usage.num_prototypes)
            usage.update_state(engine.replica_sum(counts))
            shown.append(usage)
        if hits is not None:
            self.probe_accuracy.update_state(hits, sample_weight=ops.cast(labels >= 0, "float32"))
            shown.append(self.probe_accuracy)
        shown += self.own_metrics(record, training)
        skipping = training and self.nonfinite == "skip"
        if skipping:
            self._leave_out_if_not_finite(record)
        logs = results(shown)
        if skipping:
            logs["skipped_updates"] = ops.cast(self.skipped_updates, "float32")
        return logs

    def _diagnose(self, features: KerasTensor, labels: KerasTensor | None, of_views: object) -> None:
        """Adds a batch to the diagnostics: all replicas' rows, so that each holds the same sums."""
        views = of_views if isinstance(of_views, (tuple, list)) else ()
        views = [self.gather(view) for view in views if view.shape[1:] == features.shape[1:]]
        labels = None if labels is None else self.gather(labels)
        self.diagnostics.update_state(self.gather(features), views if len(views) > 1 else None, labels)

    def own_metrics(self, record: dict, training: bool) -> list:
        """Adds a batch to metrics of the method's own and returns those to show; most have none."""
        return []

    def get_metrics_result(self) -> dict:
        """The running means; RankMe and diagnostics are left to `evaluate`: too slow for every step."""
        hidden = {id(self.rankme)}
        hidden |= {id(m) for m in self.metrics if isinstance(m, evaluation.StreamingDiagnostics)}
        if len(self.term_means) == 1:
            hidden.add(id(self.term_means[0]))
        if self.probe is None:
            hidden.add(id(self.probe_accuracy))
        return self.replica_means(results([metric for metric in self.metrics if id(metric) not in hidden]))

    def compile(
        self,
        optimizer: keras.optimizers.Optimizer | str | None = None,
        *,
        chunk_size: int | None = None,
        nonfinite: str = "raise",
        diagnostics: bool = False,
        **kwargs,
    ) -> None:
        """Chooses the optimizer; the losses are the method's own.

        Args:
            optimizer: a Keras or kerassl optimizer; by default `kerassl.optimizers.AdamW(1e-3)`.
            chunk_size: images that a device encodes at a time, to train on batches larger than its memory
                holds: a chunk's activations are computed again on the way back. The loss sees the whole
                batch, batch norm chunks; see `kerassl.engine.encode_in_chunks`. `None` encodes all at once.
            nonfinite: what to do when the loss becomes NaN or infinite. "raise": `fit` ends with a
                `FloatingPointError` that names the term, the step and the batch's statistics. "skip": an
                update whose loss or gradients are not finite is left out, all state as it was but the
                step counter, and the logs count such updates as `skipped_updates`; this costs a copy of
                the model's state in each step.
            diagnostics: whether `evaluate`, also that of `fit(validation_data=)`, says more than RankMe:
                `alpha_req`, `uniformity`, `alignment` and `lidar` where the method encodes several views of
                an image, and `tolerance` where it knows `num_classes`; see
                `kerassl.evaluation.StreamingDiagnostics`.
            **kwargs: `jit_compile`, `steps_per_execution`, `run_eagerly` and `auto_scale_loss` of
                `keras.Model.compile`.

        Raises:
            ValueError: if a loss or metrics are given, for an unknown `nonfinite`, or for what a strategy
                cannot run.
        """
        if nonfinite not in ("raise", "skip"):
            raise ValueError(f'nonfinite must be "raise" or "skip", not {nonfinite!r}.')
        self.nonfinite = nonfinite
        for given in ("loss", "metrics", "loss_weights", "weighted_metrics"):
            if kwargs.get(given) is not None:
                raise ValueError(
                    f"compile({given}=...) does not apply to {type(self).__name__}: the loss is the method's "
                    "own. Choose its terms by the constructor's arguments; follow the run with the online "
                    "probe (`num_classes=`) and kerassl.callbacks."
                )
        if chunk_size is not None and chunk_size < 1:
            raise ValueError(f"chunk_size must be at least 1 image, or None for no chunks; got {chunk_size}.")
        if chunk_size and not self.encodes_in_chunks:
            raise ValueError(
                f"chunk_size={chunk_size} is not for {type(self).__name__}, which encodes parts of images: "
                "the optimizer's gradient_accumulation_steps save memory there, too."
            )
        self.chunk_size = chunk_size
        with self.device_scope():
            if not diagnostics:
                self.diagnostics = None
            elif self.diagnostics is None:
                self.diagnostics = evaluation.StreamingDiagnostics(self.feature_dim, self.num_classes)
            optimizer = AdamW(1e-3) if optimizer is None else keras.optimizers.get(optimizer)
            self.asked_jit_compile = kwargs.pop("jit_compile", "auto")
            optimizer, jit_compile = self.check_compile(
                optimizer, self.asked_jit_compile, kwargs.get("steps_per_execution", 1)
            )
            if not self.accumulates and own_optimizer(optimizer).gradient_accumulation_steps:
                raise ValueError(
                    f"{type(self).__name__} needs an update with every batch; take an optimizer without "
                    "gradient_accumulation_steps; compile(chunk_size=) fits a large batch into memory, too."
                )
            if self.looks_ahead and nonfinite == "skip":
                raise ValueError(
                    f'nonfinite="skip" is not for {type(self).__name__}: it could not leave out what virtual '
                    'steps have done. Take "raise".'
                )
            super().compile(optimizer=optimizer, jit_compile=jit_compile, **kwargs)
            # Built now: a variable made while the step is traced would be made anew in every step.
            self.optimizer.build(self.trainable_variables)
        for layer in self._flatten_layers(include_self=False):
            layer.built = layer.built or not layer.weights
        if self.num_devices > 1:
            engine.synchronize_batch_norm(self._flatten_layers(include_self=False))
            self.check_chunks(self.encoder, chunk_size)

    def get_compile_config(self) -> dict:
        """The arguments of `compile`."""
        config = super().get_compile_config()
        if not config:
            return config
        # Keras notes what "auto" meant on this machine.
        config["jit_compile"] = self.asked_jit_compile
        own = {"chunk_size": self.chunk_size, "nonfinite": self.nonfinite}
        return {**config, **own, "diagnostics": self.diagnostics is not None}

    def compile_from_config(self, config: dict) -> None:
        """Compiles a loaded model as it was; Keras leaves that to classes with a `compile` of their own."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    def export_encoder(
        self,
        path: str | os.PathLike,
        format: str = "tf_saved_model",
        image_size: int | tuple[int, int] | None = None,
        resize_to: int | tuple[int, int] | None = None,
    ) -> pathlib.Path:
        """Writes the encoder for use elsewhere; see `kerassl.export.export_encoder`."""
        from kerassl.export import export_encoder

        return export_encoder(self, path, format=format, image_size=image_size, resize_to=resize_to)

    def export(self, filepath: str | os.PathLike, format: str = "tf_saved_model", **kwargs) -> None:
        """Writes what `call` computes, as `export_encoder`, which has more options, does.

        Args:
            filepath: as `path` of `export_encoder`.
            format: as of `export_encoder`.
            **kwargs: `verbose` of `keras.Model.export`, and the options of `export_encoder`.
        """
        kwargs.pop("verbose", None)
        self.export_encoder(filepath, format=format, **kwargs)

    def get_config(self) -> dict:
        """The arguments common to all methods, and what is attached; a method adds its own."""
        objectives = [keras.saving.serialize_keras_object(objective) for objective in self.objectives]
        config = {
            "name": self.name,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "views": keras.saving.serialize_keras_object(self.views),
            "num_classes": self.num_classes,
            "seed": self.seed,
        }
        if self._preprocess is not None and self._preprocess.trained_on is not None:
            config["trained_on"] = dataclasses.asdict(self._preprocess.trained_on)
        return config | ({"objectives": objectives} if objectives else {})

    @classmethod
    def from_config(cls, config: dict):
        """Rebuilds a method; its weights come from the file, its teacher is made anew."""
        config = dict(config)
        objectives, trained_on = config.pop("objectives", ()), config.pop("trained_on", None)
        # What the constructor makes, such as heads, takes the global policy.
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(keras.saving.deserialize_keras_object(config.pop("dtype", before)))
        try:
            for key, value in config.items():
                if isinstance(value, dict) and "class_name" in value:
                    config[key] = keras.saving.deserialize_keras_object(value)
            model = cls(**config)
            if trained_on and model._preprocess is not None:
                model._preprocess.trained_on = ImageRecord.get(trained_on)
            for objective in objectives:
                model.attach(keras.saving.deserialize_keras_object(objective))
            return model
        finally:
            keras.config.set_dtype_policy(before)

    def _rekey_generators(self, rng: engine.StepSeed) -> None:
        """Makes dropout and stochastic depth inside the encoder functions of (seed, step), too."""
        views = {id(v) for v in self.views.variables} if self.views is not None else set()
        for variable in self.non_trainable_variables:
            if variable.name == "seed_generator_state" and id(variable) not in views:
                variable.assign(ops.cast(rng.next(), variable.dtype))

    def _check_terms(self, terms: dict) -> None:
        names = tuple(mean.name for mean in self.term_means)
        if tuple(terms) != names:
            raise ValueError(
                f"{type(self).__name__}.loss_terms returned the terms {tuple(terms)}, but the constructor "
                f"declared terms={names}. Give both the same names in the same order."
            )

    def _probing(self, record: dict) -> bool:
        return self.probe is not None and record["labels"] is not None and record["features"] is not None

    def _probe_hits(self, record: dict):
        if not self._probing(record):
            return None
        prediction = ops.argmax(self.probe(record["features"]), axis=-1)
        return ops.cast(ops.equal(ops.cast(prediction, "int32"), record["labels"]), "float32")


def results(metrics: list) -> dict:
    """The results of metrics by name; a metric of several has names of its own."""
    found = {}
    for metric in metrics:
        result = metric.result()
        found |= result if isinstance(result, dict) else {metric.name: result}
    return found


def own_optimizer(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """The optimizer that a loss scaler wraps, or the optimizer itself."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def assign_if(condition: KerasTensor, variables: list, update: Callable[[], None]) -> None:
    """Runs `update()`, then keeps what it assigned to `variables` only where `condition` holds.

    Args:
        condition: boolean scalar tensor, known only when the step runs.
        variables: all variables that `update` may assign.
        update: function without arguments.
    """
    values = [variable.value for variable in variables]
    with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))) as scope:
        # As the scope holds them: other objects than `values` on some backends.
        before = [scope.get_current_value(variable) for variable in variables]
        update()
    for variable, old in zip(variables, before, strict=True):
        new = scope.get_current_value(variable)
        if new is not old:
            variable.assign(ops.where(condition, new, old))
