"""Prototype classifiers: what a class looks like, and why an image is taken for it."""

from kerassl.classifiers.classifier import Classifier
from kerassl.classifiers.explanation import Explanation
from kerassl.classifiers.nearest_mean import ClassMeans, NearestMean
from kerassl.classifiers.palm import PALM
from kerassl.classifiers.prob_psenn import ProbPSENN
from kerassl.classifiers.proto_pnet import ProtoPNet
from kerassl.classifiers.prototype_classifier import PrototypeClassifier
from kerassl.classifiers.prototype_dl import PrototypeDL
from kerassl.classifiers.prototypical_network import PrototypicalNetwork
from kerassl.classifiers.st_proto_pnet import STProtoPNet

__all__ = [
    "PALM",
    "ClassMeans",
    "Classifier",
    "Explanation",
    "NearestMean",
    "ProbPSENN",
    "ProtoPNet",
    "PrototypeClassifier",
    "PrototypeDL",
    "PrototypicalNetwork",
    "STProtoPNet",
]


def __dir__() -> list[str]:
    return sorted(__all__)
