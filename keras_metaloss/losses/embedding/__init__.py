"""Metric learning losses of embeddings."""

from keras_metaloss.losses.embedding.contrastive import (
    ContrastiveLoss,
    contrastive_loss,
)
from keras_metaloss.losses.embedding.multi_similarity import (
    MultiSimilarityLoss,
    multi_similarity_loss,
)
from keras_metaloss.losses.embedding.n_pair import NPairLoss, n_pair_loss
from keras_metaloss.losses.embedding.triplet import TripletLoss, triplet_loss

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
