"""Bounds on mutual information, computed from a matrix of scores.

A score matrix `logu` of shape `[..., N, M]`, with `N <= M`, holds the critic's scores
`logu[i, j] = f(x_i, y_j)` of all pairs. One entry per row belongs to a pair drawn
jointly, by default the entry on the diagonal. The other entries represent independent
pairs. The scores of the optimal critic are the log density ratio `log p(y|x) / p(y)`,
up to the terms given in each docstring.

Values are in nats and may be averaged over batches. Batch dimensions, unknown sizes,
masks of any batch shape, gradients and XLA are supported. Half precision is cast to
float32.
"""

from keras_metaloss.information.variational.bounds.estimates import (
    difference_of_entropies,
    donsker_varadhan,
    mine,
    smile,
)
from keras_metaloss.information.variational.bounds.lower_bounds import (
    lower_bound_barber_agakov,
    lower_bound_jensen_shannon,
    lower_bound_nguyen_wainwright_jordan,
    tuba,
)
from keras_metaloss.information.variational.bounds.multi_sample import (
    interpolated,
    lower_bound_info_nce,
)
from keras_metaloss.information.variational.bounds.upper_bounds import (
    club,
    leave_one_out_upper_bound,
)

__all__ = [
    "club",
    "difference_of_entropies",
    "donsker_varadhan",
    "interpolated",
    "leave_one_out_upper_bound",
    "lower_bound_barber_agakov",
    "lower_bound_info_nce",
    "lower_bound_jensen_shannon",
    "lower_bound_nguyen_wainwright_jordan",
    "mine",
    "smile",
    "tuba",
]
