"""The numbers that say without labels how healthy features are: all at once, or batch by batch."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerassl.metrics.checks import check_count, check_names
from kerassl.metrics.features import as_tensor, check_array, check_features
from kerassl.metrics.hypersphere import alignment, tolerance, uniformity
from kerassl.metrics.lidar import lidar, lidar_of_scatters
from kerassl.metrics.power_law import alpha_req, fit_power_law
from kerassl.metrics.spectrum import effective_rank, feature_std, rankme

DIAGNOSTICS = (
    "rankme", "alpha_req", "uniformity", "feature_std", "effective_rank", "alignment", "lidar", "tolerance",
)  # fmt: skip
# Resolution of float32 sums of a covariance, as a share of its largest eigenvalue.
_EIGENVALUE_FLOOR = 1e-6


def check_diagnostics(names: Sequence[str]) -> tuple[str, ...]:
    """The names as a tuple, or `ValueError` for an unknown one."""
    return check_names("names", names, DIAGNOSTICS, "diagnostic")


def diagnose(
    features: np.ndarray,
    names: Sequence[str] = ("rankme", "alpha_req", "uniformity", "feature_std", "effective_rank"),
    views: np.ndarray | None = None,
    labels: np.ndarray | None = None,
) -> dict[str, float]:
    """Returns the diagnostics of features by name, each as its function of `kerassl.evaluation` gives it.

    Args:
        features: `(number, dim)`.
        names: names from `DIAGNOSTICS`. "alpha_req" is the exponent alone, NaN where fewer than three
            directions are in use; "alignment" is a mean over all pairs of an image's views.
        views: `(images, views, dim)` features of several views of each image, for "alignment" and "lidar".
        labels: `(number,)` integers, for "tolerance"; -1 for unlabeled.

    Raises:
        ValueError: for an unknown name, a missing input of a name, or features that do not fit.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import diagnose
        >>> features = np.concatenate([np.eye(4), -np.eye(4)])
        >>> {name: round(value, 3) for name, value in diagnose(features, ["rankme", "uniformity"]).items()}
        {'rankme': 4.0, 'uniformity': -1.975}
    """
    check_diagnostics(names)
    features, labels = check_features(features, labels, "features")
    for name, needed, given in (("lidar", "views", views), ("alignment", "views", views)):
        if name in names and given is None:
            raise ValueError(f"{name} needs {needed}=, the features of several views of each image.")
    if views is not None:
        views = check_array("views", views, ("images", "views", "dim"))
    if "tolerance" in names and labels is None:
        raise ValueError("tolerance needs labels=.")
    functions = {
        "rankme": lambda: rankme(features),
        "alpha_req": lambda: _alpha(lambda: alpha_req(features)),
        "uniformity": lambda: uniformity(features),
        "feature_std": lambda: float(ops.convert_to_numpy(feature_std(features))),
        "effective_rank": lambda: float(ops.convert_to_numpy(effective_rank(features))),
        "alignment": lambda: np.mean(
            [
                alignment(views[:, i], views[:, j])
                for i in range(views.shape[1])
                for j in range(i + 1, views.shape[1])
            ]
        ).item(),
        "lidar": lambda: lidar(views),
        "tolerance": lambda: tolerance(features, labels),
    }
    return {name: functions[name]() for name in names}


def _alpha(fit: Any) -> float:
    try:
        return fit().alpha
    except ValueError:
        # Collapsed features have no spectrum to fit, and a run that watches them must continue.
        return float("nan")


@keras.saving.register_keras_serializable("kerassl")
class StreamingDiagnostics(keras.metrics.Metric):
    """Diagnostics of all features since the last reset, from sums over batches.

    `update_state` belongs in a compiled step; `result` takes eigenvalues in NumPy; call it once an epoch. All
    results are ratios of sums, so that replicas that have each seen all rows equal one device. It holds three
    float32 matrices `(dim, dim)`. It is what `compile(diagnostics=True)` adds to `evaluate`.

    * `alpha_req`: as the function, of eigenvalues above 1e-6 of the largest, which float32 sums resolve;
    * `uniformity`: of the pairs of two images within each batch, as in equation 2 of arXiv 2005.10242;
      the function takes all pairs, and each image with itself;
    * `alignment` and `lidar`, where views come; `tolerance`, where labels come and `num_classes` is known.

    Args:
        dim: width of the features.
        num_classes: number of classes of the labels; `None` for no tolerance.
        name: name of the metric.
        **kwargs: further arguments of `keras.metrics.Metric`.

    Example:
        >>> import numpy as np
        >>> from kerassl.evaluation import StreamingDiagnostics
        >>> metric = StreamingDiagnostics(dim=2)
        >>> metric.update_state(np.array([[1.0, 0.0], [-2.0, 0.0]]))
        >>> round(metric.result()["uniformity"], 4)
        -8.0
    """

    def __init__(self, dim: int, num_classes: int | None = None, name: str = "diagnostics", **kwargs) -> None:
        super().__init__(name=name, **{"dtype": "float32", **kwargs})
        self.dim, self.num_classes = check_count("dim", dim), num_classes
        if num_classes is not None:
            check_count("num_classes", num_classes)

        def total(name: str, *shape: int):
            return self.add_variable(shape=shape, initializer="zeros", name=name)

        self.count, self.sum, self.moment = total("count"), total("sum", dim), total("moment", dim, dim)
        self.pairs, self.potential = total("pairs"), total("potential")
        self.images, self.means, self.distances = total("images"), total("means", dim), total("distances")
        self.between, self.within = total("between", dim, dim), total("within", dim, dim)
        if num_classes is not None:
            self.class_sums, self.labeled = total("class_sums", num_classes, dim), total("labelled")

    def update_state(self, features: Any, views: Any = None, labels: Any = None) -> None:
        """Adds a batch.

        Args:
            features: `(batch, dim)` array or tensor.
            views: two or more such, of views of the images.
            labels: `(batch,)` integers, -1 for unlabeled.
        """
        features = _constant(features)
        batch = ops.cast(ops.shape(features)[0], "float32")
        self.count.assign_add(batch)
        self.sum.assign_add(ops.sum(features, axis=0))
        self.moment.assign_add(ops.transpose(features) @ features)
        unit = _unit(features)
        # A feature of zeros has no length.
        length = ops.cast(ops.any(unit != 0, axis=1), "float32")
        squared = ops.maximum(length[:, None] + length - 2.0 * unit @ ops.transpose(unit), 0.0)
        near = ops.exp(-2.0 * squared)
        self.potential.assign_add(ops.sum(near) - ops.trace(near))
        self.pairs.assign_add(batch * (batch - 1.0))
        if self.num_classes is not None and labels is not None:
            labels = ops.cast(ops.reshape(ops.convert_to_tensor(labels), (-1,)), "int32")
            # A label of -1 gives a row of zeros.
            members = ops.one_hot(labels, self.num_classes, dtype="float32")
            self.class_sums.assign_add(ops.transpose(members) @ unit)
            self.labeled.assign_add(ops.sum(members))
        if views is not None:
            self._add_views([_constant(view) for view in views], batch)

    def _add_views(self, views: list, batch: Any) -> None:
        count = len(views)
        mean = sum(views) / count
        centered = ops.concatenate([view - mean for view in views])
        self.images.assign_add(batch)
        self.means.assign_add(ops.sum(mean, axis=0))
        self.between.assign_add(ops.transpose(mean) @ mean)
        self.within.assign_add(ops.transpose(centered) @ centered / (count - 1))
        units = [_unit(view) for view in views]
        middle = sum(units) / count
        # The mean squared distance of all pairs of points from their distances to the middle.
        spread = sum(ops.sum(ops.square(unit - middle)) for unit in units)
        self.distances.assign_add(2.0 * spread / (count - 1))

    def spectrum(self) -> np.ndarray:
        """The eigenvalues of the covariance as shares of their sum, the largest first, `(dim,)` float64."""
        count, total, moment = (_numpy(v) for v in (self.count, self.sum, self.moment))
        covariance = _covariance(count, total, moment)
        eigenvalues = np.maximum(np.linalg.eigvalsh(covariance)[::-1], 0.0)
        # The rounding residue of a large mean is not variance.
        eigenvalues[eigenvalues < 1e-7 * np.trace(moment) / max(count, 1)] = 0.0
        return eigenvalues / max(eigenvalues.sum(), np.finfo("float64").tiny)

    def result(self) -> dict[str, float]:
        """The diagnostics by name, those alone of which something has come; none without a batch."""
        count = float(_numpy(self.count))
        if not count:
            return {}
        if not np.isfinite(_numpy(self.moment)).all():
            # NaN has no eigenvalues, and no solver of them says so.
            return dict.fromkeys(self._names(), float("nan"))
        found = {"alpha_req": _alpha(lambda: fit_power_law(self.spectrum(), floor=_EIGENVALUE_FLOOR))}
        pairs = float(_numpy(self.pairs))
        if pairs:
            found["uniformity"] = float(np.log(float(_numpy(self.potential)) / pairs))
        images = float(_numpy(self.images))
        if images > 1:
            between = _covariance(images, _numpy(self.means), _numpy(self.between)) * images / (images - 1)
            found["alignment"] = float(_numpy(self.distances)) / images
            found["lidar"] = lidar_of_scatters(between, _numpy(self.within) / images)
        if self.num_classes is not None and float(_numpy(self.labeled)):
            sums, labeled = _numpy(self.class_sums), float(_numpy(self.labeled))
            found["tolerance"] = float(np.sum(np.square(sums))) / labeled**2
        return found

    def _names(self) -> list[str]:
        """The measured quantities, if all sums may be NaN."""
        names = ["alpha_req", "uniformity"]
        if float(_numpy(self.images)):
            names += ["alignment", "lidar"]
        return names + ["tolerance"] * (self.num_classes is not None and float(_numpy(self.labeled)) > 0)

    def get_config(self) -> dict:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "dim": self.dim, "num_classes": self.num_classes}


def _constant(features: Any) -> Any:
    return ops.stop_gradient(ops.cast(as_tensor("features", features, ("batch", "dim")), "float32"))


def _unit(features: Any) -> Any:
    squares = ops.sum(ops.square(features), axis=1, keepdims=True)
    return features * ops.rsqrt(ops.maximum(squares, 1e-24))


def _covariance(count: Any, total: np.ndarray, moment: np.ndarray) -> np.ndarray:
    mean = total / count
    return moment / count - np.outer(mean, mean)


def _numpy(variable: Any) -> np.ndarray:
    return ops.convert_to_numpy(ops.convert_to_tensor(variable)).astype("float64")
