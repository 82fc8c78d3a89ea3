"""Information from divergences between all pairs of inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import tensorflow as tf

from keras_metaloss.information.predicted._batch import PredictedBatch
from keras_metaloss.information.predicted._estimator import Estimator
from keras_metaloss.information.predicted._options import Options
from keras_metaloss.information.predicted._pairwise import (
    class_information,
    divergences,
    mixture_entropy,
    vector_information,
)
from keras_metaloss.information.predicted._tables import (
    table_entropy,
    table_information,
)

__all__ = ["BhattacharyyaEstimator", "KLEstimator"]


class _PairwiseEstimator(Estimator):
    """Approximates mixture entropies by pairwise divergences of one kind."""

    divergence: ClassVar[str]

    def __init__(self, batch: PredictedBatch, options: Options) -> None:
        super().__init__(batch, options)
        self._divergences: dict[str, tf.Tensor] = {}

    def information(self, pairs: Sequence[tuple[str, str]]) -> list[tf.Tensor]:
        return [self._information_of_pair(a, b) for a, b in pairs]

    def entropies(self, names: Sequence[str]) -> list[tf.Tensor]:
        return [self._entropy_of_output(name) for name in names]

    def _information_of_pair(self, a: str, b: str) -> tf.Tensor:
        batch = self.batch
        if not batch.is_categorical(a):
            a, b = b, a  # The categorical output first, if there is one.
        if not batch.is_categorical(a):
            first, second = self._divergences_of(b), self._divergences_of(a)
            return vector_information(first, second, batch.weights)
        probs = batch.cast(batch.probs(a))
        if batch.is_categorical(b):
            other_probs = batch.cast(batch.probs(b))
            return table_information(probs, other_probs, batch.weights)
        return class_information(probs, self._divergences_of(b), batch.weights)

    def _entropy_of_output(self, name: str) -> tf.Tensor:
        batch = self.batch
        if batch.is_categorical(name):
            return table_entropy(batch.cast(batch.probs(name)), batch.weights)
        divergence = self._divergences_of(name)
        return mixture_entropy(batch.outputs[name], divergence, batch.weights)

    def _divergences_of(self, name: str) -> tf.Tensor:
        """Returns divergences `[N, N]`, computed once per output."""
        if name not in self._divergences:
            output = self.batch.outputs[name]
            computed = divergences(name, output, self.divergence)
            self._divergences[name] = self.batch.cast(computed)
        return self._divergences[name]


class BhattacharyyaEstimator(_PairwiseEstimator):
    """Uses Bhattacharyya distances, which underestimate each mixture entropy."""

    divergence = "bhattacharyya"


class KLEstimator(_PairwiseEstimator):
    """Uses KL divergences, which overestimate each mixture entropy."""

    divergence = "kl"
