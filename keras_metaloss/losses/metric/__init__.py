"""Metric learning losses of embeddings."""

from keras_metaloss.losses.metric.contrastive import ContrastiveLoss, contrastive_loss
from keras_metaloss.losses.metric.multi_similarity import (
    MultiSimilarityLoss,
    multi_similarity_loss,
)
from keras_metaloss.losses.metric.n_pair import NPairLoss, n_pair_loss
from keras_metaloss.losses.metric.triplet import TripletLoss, triplet_loss

__all__ = [
    "ContrastiveLoss",
    "MultiSimilarityLoss",
    "NPairLoss",
    "TripletLoss",
    "contrastive_loss",
    "multi_similarity_loss",
    "n_pair_loss",
    "triplet_loss",
]
