"""The running means of a step: loss terms, collapse statistics, prototypes and the online probe."""

from collections.abc import Iterable

import keras
from keras import KerasTensor, ops

from kerassl import engine
from kerassl.batch import Outputs, StepRecord
from kerassl.metrics import (
    PrototypeUsage,
    RankMe,
    StreamingDiagnostics,
    count_assignments,
    effective_rank,
    feature_std,
)


class StepMetrics:
    """What `fit` and `evaluate` show of a model.

    Args:
        terms: names of the loss terms.
        feature_dim: width of the features that are looked at.
        num_prototypes: number of prototypes of the method; `None` for none.
        has_probe: whether there is an online probe.

    Attributes:
        terms: names of all loss terms, attached objectives' included.
        usages: usage of prototypes by the attached objective's name; the method's own is under `None`.
        diagnostics: further diagnostics of `evaluate`, or `None`.
    """

    def __init__(
        self, terms: Iterable[str], feature_dim: int, num_prototypes: int | None, has_probe: bool
    ) -> None:
        self.has_probe = has_probe
        self.loss = keras.metrics.Mean(name="loss")
        self.term_means = [keras.metrics.Mean(name=term) for term in terms]
        self.feature_std = keras.metrics.Mean(name="feature_std")
        self.effective_rank = keras.metrics.Mean(name="effective_rank")
        self.probe_accuracy = keras.metrics.Mean(name="probe_accuracy")
        self.rankme = RankMe(feature_dim, name="rankme")
        self.usages: dict[str | None, PrototypeUsage] = {}
        if num_prototypes:
            self.usages[None] = PrototypeUsage(num_prototypes)
        self.diagnostics: StreamingDiagnostics | None = None

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the loss terms in their order."""
        return tuple(mean.name for mean in self.term_means)

    @property
    def all(self) -> list[keras.metrics.Metric]:
        """Every metric, shown or not."""
        means = [self.loss, *self.term_means, self.feature_std, self.effective_rank, self.probe_accuracy]
        further = [self.diagnostics] if self.diagnostics is not None else []
        return [*means, self.rankme, *self.usages.values(), *further]

    @property
    def shown(self) -> list[keras.metrics.Metric]:
        """The metrics of the logs; RankMe and diagnostics are left to `evaluate`, too slow for every step."""
        hidden = [self.rankme, self.diagnostics]
        if len(self.term_means) == 1:
            hidden += self.term_means
        if not self.has_probe:
            hidden.append(self.probe_accuracy)
        return [metric for metric in self.all if not any(metric is other for other in hidden)]

    def add_objective(self, name: str, terms: Iterable[str], num_prototypes: int | None) -> None:
        """Takes the terms and the prototypes of an attached objective in."""
        self.term_means += [keras.metrics.Mean(name=term) for term in terms]
        if num_prototypes:
            self.usages[name] = PrototypeUsage(num_prototypes, f"{name}_" if self.usages else "")

    def update(
        self, record: StepRecord, outputs: dict[str | None, Outputs], training: bool
    ) -> list[keras.metrics.Metric]:
        """Adds a batch; called inside the step.

        Args:
            record: of the step.
            outputs: those of the method under `None`, those of attached objectives under their names.
            training: whether it is a step of training.

        Returns:
            The metrics that have been moved and are shown.
        """
        features, labels = record.features, record.labels
        batch = None if features is None else ops.cast(ops.shape(features)[0], "float32")
        shown = [self.loss]
        self.loss.update_state(record.loss, sample_weight=batch)
        if len(self.term_means) > 1:
            for mean, term in zip(self.term_means, record.terms, strict=True):
                mean.update_state(term, sample_weight=batch)
            shown += self.term_means
        if features is not None:
            self.feature_std.update_state(feature_std(features), sample_weight=batch)
            self.effective_rank.update_state(effective_rank(features), sample_weight=batch)
            shown += [self.feature_std, self.effective_rank]
            if not training:
                # All replicas' rows: it does not change with their number.
                self.rankme.update_state(engine.gather(features))
                if self.diagnostics is not None:
                    self._diagnose(features, labels, record.outputs.features)
        for name, usage in self.usages.items():
            counts = count_assignments(outputs[name].assignments, usage.num_prototypes)
            usage.update_state(engine.replica_sum(counts))
            shown.append(usage)
        if record.hits is not None:
            self.probe_accuracy.update_state(record.hits, sample_weight=ops.cast(labels >= 0, "float32"))
            shown.append(self.probe_accuracy)
        return shown

    def _diagnose(self, features: KerasTensor, labels: KerasTensor | None, of_views: object) -> None:
        """Adds a batch to the diagnostics: all replicas' rows, so that each holds the same sums."""
        views = of_views if isinstance(of_views, (tuple, list)) else ()
        views = [engine.gather(view) for view in views if view.shape[1:] == features.shape[1:]]
        labels = None if labels is None else engine.gather(labels)
        self.diagnostics.update_state(engine.gather(features), views if len(views) > 1 else None, labels)


def metric_results(metrics: Iterable[keras.metrics.Metric]) -> dict:
    """The results of metrics by name; a metric of several has names of its own."""
    found = {}
    for metric in metrics:
        result = metric.result()
        found |= result if isinstance(result, dict) else {metric.name: result}
    return found
