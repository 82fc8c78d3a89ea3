"""Losses of embeddings: like together, unlike apart."""

from keras_metaloss.losses.metric.contrastive import ContrastiveLoss
from keras_metaloss.losses.metric.multi_similarity import MultiSimilarityLoss
from keras_metaloss.losses.metric.n_pair import NPairLoss
from keras_metaloss.losses.metric.triplet import TripletLoss

__all__ = ["ContrastiveLoss", "MultiSimilarityLoss", "NPairLoss", "TripletLoss"]
