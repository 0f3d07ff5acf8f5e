"""`SSLModel`, the one base class of every method: it knows no backend, no method and no kind of data."""

import functools
from collections.abc import Mapping
from typing import Any, TypedDict

import keras
from keras import KerasTensor, ops

from kerassl import engine
from kerassl.arguments import NonNegativeInt, PositiveInt, RemembersArguments
from kerassl.backbones.checks import check_no_rescaling
from kerassl.batch import Batch, Outputs, StepRecord, unpack_batch
from kerassl.heads import OnlineProbe
from kerassl.metrics import StreamingDiagnostics
from kerassl.objectives import Objective
from kerassl.optimizers import AdamW
from kerassl.teachers import EMATeachers
from kerassl.training.clock import Clock
from kerassl.training.compile_checks import check_compile, inner_optimizer
from kerassl.training.describe import describe
from kerassl.training.encoder_checks import check_channels, check_encoder, without_preprocessing
from kerassl.training.encoding import Encoding
from kerassl.training.feed import refuse_weights
from kerassl.training.loops import Loops
from kerassl.training.loss_checks import check_declared_terms, check_outputs
from kerassl.training.recipe import Recipe, recipe_optimizer
from kerassl.training.saving import Saving
from kerassl.training.step_metrics import StepMetrics, metric_results
from kerassl.views.base import Modality
from kerassl.views.choice import choose_views


class Common(TypedDict, total=False):
    """The arguments that every method takes; `SSLModel` documents them."""

    views: str | keras.layers.Layer | None
    num_classes: PositiveInt | None
    seed: NonNegativeInt
    name: str | None


class SSLModel(
    Saving, RemembersArguments, Loops, Encoding, engine.NonfiniteUpdates, engine.Step, keras.Model
):
    """A self-supervised method: an encoder, the views it is shown, and a loss on them.

    A method subclasses this, which registers it for `.keras` files. It says in class constants what is to be
    known of it, makes its heads in `__init__`, whose arguments are checked by their annotations and kept as
    `self.arguments`, and writes

    - `loss_terms(views, batch, training) -> Outputs`: the named terms whose sum is minimized, and what else
      is to be known of the step;
    - `after_update(state)`, where it has state (queue, center): assignments to Keras variables, run inside
      the compiled step once per optimizer update. It receives `Outputs.state`. Teachers that
      `self.ema_teachers.of(...)` made follow their students without it, by `teacher_momentum()`.

    Args:
        encoder: built `keras.Model` from preprocessed inputs to features `(batch, dim)`; a feature map or
            tokens `(batch, ..., dim)` are average-pooled. Of what `export_encoder` wrote, the encoder within
            is taken, and the default views normalize as it did.
        views: `"default"` for the method's own, the name of a preset of `kerassl.views`, a views layer, or
            `None` for data that already holds views as `((view1, view2, ...), labels)` or `((view1, view2,
            ...),)`.
        num_classes: number of classes of the labels, for an online linear probe; `None` for none.
        seed: Python integer; with the step counter it determines every random number of the run.
        num_views: views of each example that a named preset makes, where the method takes more than two.
        num_prototypes: number of prototypes, for a method whose `Outputs.assignments` says to which an
            example fell; their usage is then a metric.
        views_options: further arguments of the default or named preset.
        name: name of the model.

    Attributes:
        arguments: the constructor's arguments by name.
        clock: the run's counters, a `kerassl.training.Clock`.
        ema_teachers: the teachers that follow their students, a `kerassl.teachers.EMATeachers`.

    Raises:
        TypeError: for an argument that the method does not take.
        ValueError: for an argument out of its bounds, if the encoder's output is neither features nor a
            feature map, if it ends in a softmax or normalizes images that the views normalize, or if the
            views cannot be chosen from the encoder's input shape.
    """

    # The family of methods, which names the docs page and chooses the advice on collapse.
    family: str = ""
    # Names of the loss terms that `loss_terms` returns.
    terms: tuple[str, ...] = ()
    # Names of the method's own presets, for images of up to 64 pixels and above.
    default_views: tuple[str, str] = ("", "")
    # How the launchers run the method, by the launchers' names for it.
    recipes: dict[str, Recipe] = {}
    # What the encoder must give: "features", "feature map" or "tokens".
    wants: str = "features"
    # Whether the method learns from labels.
    needs_labels: bool = False
    # Whether the method remembers each example, and so must know its place in the data set.
    needs_sample_index: bool = False
    # Whether each example's loss can be weighted.
    supports_sample_weight: bool = False
    # Whether the method's networks run through `encode`, which alone knows of `compile(chunk_size=)`.
    supports_chunks: bool = True
    # Whether a batch may be one of several that make an update, of which `after_update` sees the last.
    supports_gradient_accumulation: bool = True
    # Whether each step begins with `before_update`.
    uses_virtual_steps: bool = False

    def __init__(
        self,
        encoder: keras.Model,
        *,
        views: str | keras.layers.Layer | None = "default",
        num_classes: PositiveInt | None = None,
        num_views: PositiveInt = 2,
        num_prototypes: int | tuple[int, ...] | None = None,
        views_options: dict | None = None,
        seed: NonNegativeInt = 0,
        name: str | None = None,
    ) -> None:
        if type(self).loss_terms is not SSLModel.loss_terms:
            check_declared_terms(type(self).__name__, self.terms)
        super().__init__(name=name)
        self.feature_dim = check_encoder(encoder)
        self.encoder = encoder
        self.views = self.arguments.views = choose_views(
            views, self.default_views, encoder, num_views, views_options or {}
        )
        if self.image_preprocess is not None:
            check_no_rescaling(encoder)
        self.num_classes = num_classes
        self.seed = seed
        self.clock = Clock(self, seed)
        self.ema_teachers = EMATeachers()
        self.skipped_updates = self.add_weight(
            name="skipped_updates", shape=(), dtype="int32", initializer="zeros", trainable=False
        )
        self.nonfinite = "raise"
        self.nonfinite_record = engine.NonfiniteRecord(self, self.terms, self.modality.modality)
        self.probe = None if num_classes is None else OnlineProbe(self.feature_dim, num_classes, name="probe")
        self.step_metrics = StepMetrics(self.terms, self.feature_dim, num_prototypes, self.probe is not None)
        self.objectives = []
        self.chunk_size = None
        self.built = True

    def __init_subclass__(cls, **keywords) -> None:
        # For `.keras` files. A decorator with another name, which comes later, takes precedence.
        super().__init_subclass__(**keywords)
        keras.saving.register_keras_serializable(cls.__module__.split(".")[0])(cls)

    def __repr__(self) -> str:
        # An error within the constructor asks for it, too.
        return describe(self) if getattr(self, "built", False) else f"<{type(self).__name__}>"

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """The named loss terms and what else is to be known of the step; every method writes its own.

        Args:
            views: the views of the batch, always a tuple, however many there are.
            batch: the raw inputs, labels and indices.
            training: whether it is a step of training.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `loss_terms(views, batch, training)`.")

    def before_update(self, virtual: engine.VirtualSteps) -> None:
        """What a method with `uses_virtual_steps` does at the start of a step, before the forward pass.

        `virtual.take(number)` takes a gradient step on the batch, with views drawn for that number, from 1
        on; `virtual.restore()` undoes all of them; the method must call it at the end.
        """

    def teacher_momentum(self) -> float | KerasTensor:
        """The momentum of `ema_teachers` in this update: the argument, for a method without a schedule."""
        return self.arguments.momentum

    def after_update(self, state: dict) -> None:
        """Moves state other than teachers after an optimizer update; most methods have none."""

    def extra_metrics(self, record: StepRecord, training: bool) -> list[keras.metrics.Metric]:
        """Adds a batch to metrics of the method's own and returns those to show; most have none."""
        return []

    @classmethod
    def prepared_arguments(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """The encoder itself in place of an exported network around it."""
        return {name: without_preprocessing(given[name]) for name in ("encoder", "student") if name in given}

    @property
    def modality(self) -> Modality:
        """What knows of the kind of data: the views, or for ready views what suits any tensors."""
        return self.views if isinstance(self.views, Modality) else Modality()

    @property
    def embedding_encoder(self) -> keras.Model:
        """The network whose features `call` returns and `export_encoder` writes."""
        return self.encoder

    @property
    def sub_encoders(self) -> dict[str, keras.Model]:
        """Other networks that a run has trained for the same inputs, by a name; most have none."""
        return {}

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
        terms = self.step_metrics.terms
        names = [other.name for other in self.objectives]
        if objective.name in names or set(terms) & set(objective.terms):
            raise ValueError(
                f"{objective.name!r} with the terms {objective.terms} cannot be attached: the model has the "
                f"objectives {names} and the terms {terms}. Objectives of one kind cannot be attached twice."
            )
        with self.device_scope():
            objective.attach_to(self)
            self.objectives.append(objective)
            self.step_metrics.add_objective(objective.name, objective.terms, objective.num_prototypes)
            for variable in self.nonfinite_record.variables:
                engine.untrack_variable(self, variable)
            terms = self.step_metrics.terms
            self.nonfinite_record = engine.NonfiniteRecord(self, terms, self.modality.modality)
        return self

    def preprocess(self, inputs: Any) -> Any:
        """Raw inputs as the encoder takes them, without randomness; ready views pass as they are."""
        check_channels(self, inputs)
        return inputs if self.views is None else self.views.preprocess(inputs)

    def call(self, inputs: Any, training: bool = False) -> KerasTensor:
        """The embedding of raw inputs: preprocessed as the views do, then encoded in eval mode."""
        inputs = self.preprocess(unpack_batch(inputs).inputs)
        return ops.cast(self.encode(self.embedding_encoder, inputs, training=False), "float32")

    def forward_pass(self, data: tuple, training: bool, virtual: int = 0) -> tuple[KerasTensor, StepRecord]:
        """Loss and everything that a step needs to remember; called by the engine.

        Args:
            data: the batch.
            training: whether it is a step of training.
            virtual: number of the virtual step, each of which draws numbers of its own; 0 for the step
                itself.
        """
        batch = self._batch(data)
        # In evaluation every batch draws the same numbers, so that a repeated evaluation agrees.
        step = self.clock.step if training else -1
        rng = engine.StepSeed(
            f"{self.seed}/virtual {virtual}" if virtual else self.seed, step, engine.replica_id()
        )
        if training:
            self._rekey_generators(rng)
        views = batch.inputs
        if self.views is not None:
            views = self.compile_part(lambda inputs: self.views(inputs, seed=rng))(batch.inputs)
        views = tuple(views) if isinstance(views, (tuple, list)) else (views,)
        outputs = self.loss_terms(views, batch, training)
        check_outputs(type(self).__name__, self.terms, outputs)
        features = outputs.features
        features = tuple(features) if isinstance(features, (tuple, list)) else (features,)
        attached = tuple(each.loss_terms(self, features, batch, training) for each in self.objectives)
        for each, of_objective in zip(self.objectives, attached, strict=True):
            check_outputs(type(each).__name__, each.terms, of_objective)
        terms = {name: term for each in (outputs, *attached) for name, term in each.terms.items()}
        loss = sum(ops.cast(value, "float32") for value in [*terms.values(), *self.losses])
        if not training:
            looked_at = self(views[0] if self.views is None else batch.inputs)
        elif outputs.embedding is not None:
            looked_at = outputs.embedding
        else:
            looked_at = features[0] if features else None
        return loss, StepRecord(
            loss=loss,
            terms=tuple(terms.values()),
            outputs=outputs,
            attached=attached,
            features=None if looked_at is None else ops.stop_gradient(ops.cast(looked_at, "float32")),
            labels=batch.labels,
            inputs=batch.inputs,
            # A copy: the optimizer moves its counter before `finish_update` reads this.
            updates=ops.cast(self.optimizer.iterations, "int32") + 0 if training else None,
        )

    def finish_update(self, record: StepRecord) -> StepRecord:
        """Moves the method's state, the probe and the step counter; called after the optimizer.

        Returns:
            The record with what the probe said before it learned from the batch.
        """

        def move():
            if self.ema_teachers:
                self.ema_teachers.move(self.teacher_momentum())
            self.after_update(record.outputs.state)
            for objective, outputs in zip(self.objectives, record.attached, strict=True):
                objective.after_update(self, outputs.state)
            if self._probing(record):
                self.probe.update(record.features, record.labels)

        record = record._replace(hits=self._probe_hits(record))
        if self.clock.batches_per_update > 1 or self._scales_loss:
            # The optimizer may have left its update out: to accumulate, or because its scale overflowed.
            updated = ops.not_equal(ops.cast(self.optimizer.iterations, "int32"), record.updates)
            engine.assign_if(updated, self.variables, move)
        else:
            move()
        finite = True if record.finite is None else record.finite
        statistics = functools.partial(self.modality.statistics, record.inputs)
        self.nonfinite_record.note(self.clock.step, record.loss, list(record.terms), statistics, finite)
        self.clock.step.assign_add(1)
        return record

    def logs(self, record: StepRecord, training: bool) -> dict:
        """Adds a batch to the metrics and returns the running means; called by the engine."""
        names = [None, *(objective.name for objective in self.objectives)]
        outputs = dict(zip(names, (record.outputs, *record.attached), strict=True))
        if training and self.looks_at_gradients:
            # A loss without gradients counts as none, so that the guard sees it.
            record = record._replace(loss=engine.loss_or_nan(record.loss, record.finite))
        elif not training:
            record = record._replace(hits=self._probe_hits(record))
        shown = self.step_metrics.update(record, outputs, training)
        shown += self.extra_metrics(record, training)
        if not (training and self.nonfinite == "skip"):
            return metric_results(shown)
        self._leave_out_if_not_finite(record)
        return {**metric_results(shown), "skipped_updates": ops.cast(self.skipped_updates, "float32")}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Every metric; Keras' own mean of the loss gives way to that of the step."""
        return [*self.step_metrics.all, *(metric for metric in super().metrics if metric.name != "loss")]

    def get_metrics_result(self) -> dict:
        """The running means that `fit` shows; RankMe and diagnostics are left to `evaluate`."""
        own = [
            metric for metric in self.metrics if not any(metric is other for other in self.step_metrics.all)
        ]
        return self.replica_means(metric_results([*self.step_metrics.shown, *own]))

    def compile(
        self,
        optimizer: keras.optimizers.Optimizer | str | None = None,
        *,
        chunk_size: PositiveInt | None = None,
        nonfinite: str = "raise",
        diagnostics: bool = False,
        **kwargs,
    ) -> None:
        """Chooses the optimizer; the losses are the method's own.

        Args:
            optimizer: a Keras or kerassl optimizer; by default `kerassl.optimizers.AdamW(1e-3)`. See
                `recipe_optimizer` for that of the method's paper.
            chunk_size: examples that a device encodes at a time, to train on batches larger than its memory
                holds: activations are recomputed per chunk in the backward pass. The loss sees the whole
                batch, batch norm chunks; see `kerassl.engine.encode_in_chunks`. `None` encodes all at once.
            nonfinite: what to do when the loss becomes NaN or infinite. "raise": `fit` ends with a
                `FloatingPointError` that names the term, the step and the batch's statistics. "skip": an
                update whose loss or gradients are not finite is left out, all state as it was but the
                step counter, and the logs count such updates as `skipped_updates`; this costs a copy of
                the model's state in each step.
            diagnostics: whether `evaluate`, also that of `fit(validation_data=)`, says more than RankMe:
                `alpha_req`, `uniformity`, `alignment` and `lidar` where the method encodes several views of
                an example, and `tolerance` where it knows `num_classes`; see
                `kerassl.metrics.StreamingDiagnostics`.
            **kwargs: `jit_compile`, `steps_per_execution`, `run_eagerly` and `auto_scale_loss` of
                `keras.Model.compile`.

        Raises:
            ValueError: if a loss or metrics are given, for an unknown `nonfinite`, or for what a strategy
                cannot run.
        """
        optimizer = AdamW(1e-3) if optimizer is None else keras.optimizers.get(optimizer)
        check_compile(self, optimizer, chunk_size, nonfinite, kwargs)
        self.nonfinite = nonfinite
        self.chunk_size = chunk_size
        with self.device_scope():
            if not diagnostics:
                self.step_metrics.diagnostics = None
            elif self.step_metrics.diagnostics is None:
                self.step_metrics.diagnostics = StreamingDiagnostics(self.feature_dim, self.num_classes)
            self.asked_jit_compile = kwargs.pop("jit_compile", "auto")
            optimizer, jit_compile = self.check_compile(
                optimizer, self.asked_jit_compile, kwargs.get("steps_per_execution", 1)
            )
            super().compile(optimizer=optimizer, jit_compile=jit_compile, **kwargs)
            self.clock.batches_per_update = inner_optimizer(self.optimizer).gradient_accumulation_steps or 1
            # Built now: a variable made while the step is traced would be made anew in every step.
            self.optimizer.build(self.trainable_variables)
        for layer in engine.layers_of(self, include_self=False):
            layer.built = layer.built or not layer.weights
        if self.num_devices > 1:
            engine.synchronize_batch_norm(engine.layers_of(self, include_self=False))
            self.check_chunks(self.encoder, chunk_size)

    def recipe_optimizer(
        self, *, epochs: PositiveInt, data: Any, recipe: str | None = None, **changes
    ) -> keras.optimizers.Optimizer:
        """The optimizer that the launcher would take: the paper's, or AdamW for runs below 10,000 updates.

        Args:
            epochs: passes over the data.
            data: what `fit` will get, which knows its batch size and its number of batches.
            recipe: name of one of the class's `recipes`; the first by default.
            **changes: as of `kerassl.training.recipe_optimizer`: `optimizer`, `learning_rate`,
            `weight_decay`,
                `warmup_epochs` and others.

        Example:
            >>> import numpy as np
            >>> import kerassl
            >>> data = kerassl.data.ImageDataset(np.zeros((64, 16, 16, 3), "uint8"), batch_size=16)
            >>> encoder = kerassl.backbones.ResNet((16, 16, 3), depths=(1,), width=4, stem="small")
            >>> model = kerassl.methods.SimCLR(encoder, projection_dim=8)
            >>> type(model.recipe_optimizer(epochs=10, data=data)).__name__
            'AdamW'
        """
        return recipe_optimizer(self, epochs=epochs, data=data, recipe=recipe, **changes)

    def _batch(self, data: tuple) -> Batch:
        """The parts of a batch, with labels as integers."""
        batch = unpack_batch(data)
        refuse_weights(self, batch.weights)
        if batch.weights is not None:
            batch = batch._replace(weights=ops.cast(ops.reshape(batch.weights, (-1,)), "float32"))
        if batch.labels is not None:
            batch = batch._replace(labels=ops.cast(ops.reshape(batch.labels, (-1,)), "int32"))
        return batch

    def _rekey_generators(self, rng: engine.StepSeed) -> None:
        """Makes dropout and stochastic depth inside the encoder functions of (seed, step), too."""
        views = {id(v) for v in self.views.variables} if self.views is not None else set()
        for variable in self.non_trainable_variables:
            if variable.name == "seed_generator_state" and id(variable) not in views:
                variable.assign(ops.cast(rng.next(), variable.dtype))

    def _probing(self, record: StepRecord) -> bool:
        return self.probe is not None and record.labels is not None and record.features is not None

    def _probe_hits(self, record: StepRecord):
        if not self._probing(record):
            return None
        prediction = ops.cast(ops.argmax(self.probe(record.features), axis=-1), "int32")
        return ops.cast(ops.equal(prediction, record.labels), "float32")
