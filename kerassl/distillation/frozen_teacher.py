"""A frozen teacher, its inputs made from a student's views, and its outputs."""

import types

import keras
from keras import KerasTensor, ops

from kerassl.backbones.feature_maps import feature_dim
from kerassl.classifiers import Classifier
from kerassl.teachers import make_teacher
from kerassl.training import SSLModel
from kerassl.training.encoder_checks import split_preprocessing


@keras.saving.register_keras_serializable("kerassl")
class FrozenTeacher(keras.layers.Layer):
    """A copy of a trained network with the preprocessing that it was trained on.

    Args:
        network: a trained `SSLModel`, whose embedding (of a `Classifier` the logits) and preprocessing are
            used, or a built `keras.Model` from images to logits or features, an exported one included.
        preprocess: a `kerassl.views.Preprocess` that turns raw images into what the network was trained on,
            if that differs from the student's views; that of an `SSLModel` need not be given.
        **common: `views`, `num_classes`, `seed` and `name`, as in `kerassl.SSLModel`.

    Attributes:
        network: the frozen copy.
        dim: width of its outputs.
    """

    def __init__(
        self, network: keras.Model, preprocess: keras.layers.Layer | None = None, name: str = "teacher"
    ) -> None:
        super().__init__(name=name)
        if isinstance(network, SSLModel):
            if preprocess is None and network.views is not None:
                preprocess = network.views.preprocess
            is_classifier = isinstance(network, Classifier)
            network = network.logits_network() if is_classifier else network.embedding_encoder
        else:
            network, own = split_preprocessing(network)
            preprocess = preprocess or own
        self.preprocess = preprocess
        self.network = make_teacher(network, name, follows=False)
        self.dim = feature_dim(network)
        self.built = True

    def outputs(self, student: SSLModel, view: KerasTensor, training: bool = False) -> KerasTensor:
        """Float32 `(batch, dim)` outputs for a view of the student, without gradient.

        Args:
            student: the model that sees the view.
            view: images as the student sees them.
            training: whether batch norm takes the statistics of the batch.
        """
        images = self.as_it_expects(view, student.views)
        return ops.stop_gradient(ops.cast(student.encode(self.network, images, training), "float32"))

    def as_it_expects(self, view: KerasTensor, views: keras.layers.Layer | None) -> KerasTensor:
        """The student's view for the teacher: same pixels, with the teacher's size and normalization."""
        if self.preprocess is None or views is None:
            return view

        def settings(preprocess: keras.layers.Layer) -> tuple:
            return preprocess.size, preprocess.normalize.mean, preprocess.normalize.std

        mine = views.preprocess
        if settings(mine) == settings(self.preprocess):
            return view
        return self.preprocess(mine.invert(view))

    def becomes_argument(self, arguments: types.SimpleNamespace) -> None:
        """Replaces the teacher that a method was given, among the saved arguments."""
        arguments.teacher, arguments.teacher_preprocess = self.network, self.preprocess

    def get_config(self) -> dict:
        """The constructor's arguments; the network's weights are in the weights file."""
        return {
            "name": self.name,
            "network": keras.saving.serialize_keras_object(self.network),
            "preprocess": keras.saving.serialize_keras_object(self.preprocess),
        }

    @classmethod
    def from_config(cls, config: dict) -> "FrozenTeacher":
        """Rebuilds the layer; its network's weights come from the file."""
        return cls(**{key: keras.saving.deserialize_keras_object(value) for key, value in config.items()})
