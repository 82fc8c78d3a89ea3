"""Selects and runs the method that computes mutual information."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_metaloss._utils.checks import (
    check_choice,
    check_non_negative,
    check_positive_integer,
)
from keras_metaloss.information.predicted import _pairwise, _tables
from keras_metaloss.information.predicted._branches import choose
from keras_metaloss.information.predicted._checks import check_same_rows, row_weights
from keras_metaloss.information.predicted._outputs import (
    ClassHead,
    ScalarHead,
    VectorHead,
    head_of,
)
from keras_metaloss.information.predicted._quadrature import (
    Kernel,
    is_resolved,
    panel_kernel,
    warped_kernel,
)
from keras_metaloss.information.samples._validation import nan_unless

__all__ = ["METHODS", "Options", "Predictions"]

METHODS = ("auto", "quadrature", "pairwise_bhattacharyya", "pairwise_kl")

# Largest number of knots of one continuous variable, and of each of two, whose joint
# table has the product of their cells.
_KNOTS, _KNOTS_OF_TWO = 4096, 512
# Largest fraction of the probability mass that panels may miss; above it the result
# is NaN.
_MOST_LOST = 0.02


class Options(NamedTuple):
    """Options of `mutual_information`."""

    method: str = "auto"
    num_points: int = 256
    bandwidth: float | None = None
    leave_one_out: bool = False

    def checked(self) -> Options:
        """Returns the options; raises a `ValueError` if one is invalid."""
        check_choice("method", self.method, METHODS)
        if check_positive_integer("num_points", self.num_points) < 16:
            raise ValueError(
                "Invalid value for argument `num_points`. Expected at least 16. "
                f"Received: num_points={self.num_points}"
            )
        if self.bandwidth is not None:
            check_non_negative("bandwidth", self.bandwidth)
        return self


class Predictions:
    """Predicted distributions of several variables for one batch of inputs.

    Args:
        distributions: TFP distributions with batch shape `[N]`, by name.
        sample_weight: Weights of the inputs, `[N]`, or `None`.
        options: Method and its options.
    """

    def __init__(
        self, distributions: dict[str, Any], sample_weight: Any, options: Options
    ) -> None:
        self.options = options.checked()
        self.heads = {
            name: head_of(name, distribution, options.bandwidth)
            for name, distribution in distributions.items()
        }
        first, *others = self.heads
        for other in others:
            pair = (first, other)
            check_same_rows(pair, tuple(self.heads[n].distribution for n in pair))
        dtypes = [
            (h.probs if isinstance(h, ClassHead) else h.distribution).dtype
            for h in self.heads.values()
        ]
        dtype = tf.float64 if tf.float64 in dtypes else tf.float32
        self.weights = row_weights(self.heads[first].distribution, sample_weight, dtype)
        self._warped = {
            name: warped_kernel(head, options.num_points)
            for name, head in self.heads.items()
            if isinstance(head, ScalarHead) and options.method in METHODS[:2]
        }

    def information(self, a: str, b: str) -> tf.Tensor:
        """Computes I(A;B) of two of the variables, a scalar."""
        return self.terms([(a, b)], [])[0][0]

    def terms(
        self, pairs: Sequence[tuple[str, str]], names: Sequence[str]
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Computes I(A;B) of some pairs and H(A) of some variables, scalars.

        H is the differential entropy for a continuous variable. The cells of each
        variable are computed once and shared.
        """
        pairs = [tuple(pair) for pair in pairs]
        for pair in pairs:
            self._check_leave_one_out(pair)
        entropies = [(name,) for name in names]
        found = {}
        # In two groups: entropies that are only logged need no gradient.
        for keys in (pairs, entropies):
            by_cells = [key for key in keys if self._method(*key) == "quadrature"]
            values = self._values_by_cells(by_cells)
            found.update(zip(by_cells, values, strict=True))
        for key in (*pairs, *entropies):
            if key not in found:
                found[key] = self._value_by_pairs(key)
        # With a single input I(A;B) is 0; exactly 0 avoids rounding errors.
        several = tf.math.count_nonzero(self.weights) > 1
        information = [
            tf.where(several, found[pair], tf.zeros_like(found[pair])) for pair in pairs
        ]
        entropies = [found[(name,)] for name in names]
        self._check_result([*information, *entropies])
        return information, entropies

    def input_information(self, name: str) -> tf.Tensor:
        """Computes I(A;X) of a categorical variable A and the input X."""
        return _tables.input_information(self.heads[name].probs, self.weights)

    def is_class(self, name: str) -> bool:
        """Returns whether the variable is categorical."""
        return isinstance(self.heads[name], ClassHead)

    def cells(self, name: str) -> Kernel:
        """Returns the classes of a categorical variable or the warped grid."""
        head = self.heads[name]
        return _class_kernel(head) if self.is_class(name) else self._warped[name]

    def fine_cells(self, name: str) -> Kernel:
        """Returns cells that resolve all components; eager execution only."""
        kernel = self.cells(name)
        if self.is_class(name) or is_resolved(kernel, self.weights):
            return kernel
        return panel_kernel(self.heads[name], _KNOTS_OF_TWO)

    def _method(self, *names):
        vectors = [n for n in names if isinstance(self.heads[n], VectorHead)]
        method = self.options.method
        if method == "auto":
            return "pairwise_bhattacharyya" if vectors else "quadrature"
        if method == "quadrature" and vectors:
            raise ValueError(
                "Invalid value for argument `method`. Expected a pairwise method, or "
                "'auto', for vectors. Received: method='quadrature', "
                f"{vectors[0]}={self.heads[vectors[0]].distribution!r}"
            )
        return method

    def _check_leave_one_out(self, pair):
        if not self.options.leave_one_out:
            return
        method = self._method(*pair)
        if method != "quadrature" or not any(self.is_class(name) for name in pair):
            raise ValueError(
                "Invalid value for argument `leave_one_out`. Expected False: "
                "leave-one-out requires the method 'quadrature' and a categorical "
                f"variable. Received: leave_one_out=True, method={method!r}"
            )

    def _values_by_cells(self, keys):
        """Computes I of pairs or H of names on a grid that resolves all rows."""
        used = list(dict.fromkeys(name for key in keys for name in key))
        scalars = [name for name in used if name in self._warped]
        if not scalars:
            return [self._value(key, panels=False) for key in keys]
        resolved = tf.reduce_all(
            [is_resolved(self._warped[name], self.weights) for name in scalars]
        )
        heads = {name: self.heads[name] for name in used}
        predicted = {
            name: head.probs if isinstance(head, ClassHead) else head.distribution
            for name, head in heads.items()
        }
        structure = [predicted, self.weights]

        def values(is_warped):
            return [self._value(key, panels=not is_warped) for key in keys]

        def again(structure, is_warped):
            other = self._of(*structure, scalars)
            return [other._value(key, panels=not is_warped) for key in keys]

        return choose(resolved, values, again, structure)

    def _of(self, predicted, weights, scalars):
        """Returns a copy for other predicted distributions and weights."""
        other = copy.copy(self)
        other.weights = weights
        other.heads = {
            name: head_of(name, predicted[name])
            if name in scalars
            else dataclasses.replace(self.heads[name], probs=predicted[name])
            for name in predicted
        }
        other._warped = {
            name: warped_kernel(other.heads[name], self.options.num_points)
            for name in scalars
        }
        return other

    def _value(self, key, panels):
        """Computes I of a pair or H of a name from cells."""
        scalars = [name for name in key if name in self._warped]
        most = _KNOTS if len(scalars) == 1 else _KNOTS_OF_TWO
        kernels = [
            panel_kernel(self.heads[name], most)
            if panels and name in scalars
            else self.cells(name)
            for name in key
        ]
        if len(key) == 1:
            value = self._table_entropy(key[0], *kernels)
        else:
            value = self._table_information(key, *kernels)
        if not panels:
            return value
        lost = [
            tf.linalg.tensordot(self.weights, *self._cast(kernel.error), axes=1)
            for kernel in kernels
        ]
        return nan_unless(tf.reduce_max(lost) <= _MOST_LOST, value)

    def _check_result(self, values):
        """Raises a `ValueError` for NaN, in eager execution only."""
        if any(hasattr(v, "numpy") and np.isnan(v.numpy()).any() for v in values):
            distributions = {n: h.distribution for n, h in self.heads.items()}
            raise ValueError(
                "The mutual information is NaN. Expected distributions with finite "
                "parameters whose densities can be integrated. Received: "
                f"{distributions}"
            )

    def _value_by_pairs(self, key):
        if len(key) == 2:
            return self._pairwise_information(*key)
        head = self.heads[key[0]]
        if isinstance(head, ClassHead):
            return _tables.table_entropy(*self._cast(head.probs), self.weights)
        return _pairwise.mixture_entropy(head, self._divergences(key[0]), self.weights)

    def _table_information(self, names, a, b):
        if not self.options.leave_one_out:
            return _tables.table_information(*self._cast(a.mass, b.mass), self.weights)
        if not self.is_class(names[0]):
            a, b = b, a
        shares = tf.nn.softmax(b.log_widths)
        return _tables.leave_one_out_information(
            *self._cast(a.mass, b.mass), self.weights, *self._cast(shares)
        )

    def _table_entropy(self, name, kernel):
        mass, log_widths = self._cast(kernel.mass, kernel.log_widths)
        entropy = _tables.table_entropy(mass, self.weights)
        if self.is_class(name):
            return entropy
        volumes = self._cast(self.heads[name].log_volume(kernel.points))[0]
        marginal = tf.linalg.matvec(mass, self.weights, transpose_a=True)
        widths = tf.where(marginal > 0, log_widths + volumes, 0)
        return entropy + tf.reduce_sum(marginal * widths)

    def _pairwise_information(self, a, b):
        kinds = (self.is_class(a), self.is_class(b))
        if all(kinds):
            heads = (self.heads[a], self.heads[b])
            probs = self._cast(*(head.probs for head in heads))
            return _tables.table_information(*probs, self.weights)
        if kinds[1]:
            a, b = b, a
        if any(kinds):
            probs = self._cast(self.heads[a].probs)[0]
            divergence = self._divergences(b)
            return _pairwise.class_information(probs, divergence, self.weights)
        return _pairwise.vector_information(
            self._divergences(a), self._divergences(b), self.weights
        )

    @functools.cache  # noqa: B019 (an instance lives for one batch)
    def _divergences(self, name):
        kind = "kl" if self.options.method == "pairwise_kl" else "bhattacharyya"
        divergence = _pairwise.divergences(name, self.heads[name], kind)
        return self._cast(divergence)[0]

    def _cast(self, *tensors):
        return [tf.cast(tensor, self.weights.dtype) for tensor in tensors]


def _class_kernel(head):
    log_widths = tf.zeros_like(head.probs[0])
    exact = tf.zeros_like(head.probs[:, 0])
    return Kernel(log_widths, log_widths, head.probs, exact, exact)
