"""Methods that compare embeddings with those of the support set."""

from keras_metaloss.adaptation.metric_based.matching_network import MatchingNetwork
from keras_metaloss.adaptation.metric_based.meta_opt_net import MetaOptNet
from keras_metaloss.adaptation.metric_based.metric_adaptation import MetricAdaptation
from keras_metaloss.adaptation.metric_based.prototypical_network import (
    PrototypicalNetwork,
)
from keras_metaloss.adaptation.metric_based.relation_network import RelationNetwork
from keras_metaloss.adaptation.metric_based.siamese_network import SiameseNetwork

__all__ = [
    "MatchingNetwork",
    "MetaOptNet",
    "MetricAdaptation",
    "PrototypicalNetwork",
    "RelationNetwork",
    "SiameseNetwork",
]
