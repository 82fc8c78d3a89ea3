"""Exact nearest neighbors and counts within a radius, with O(block x N) memory.

All distances are float64 and computed by the same formula, so that comparisons with the
distance to the k-th neighbor are exact, without offsets.
"""

from __future__ import annotations

import importlib.util

import numpy as np
import tensorflow as tf

__all__ = ["count_within", "nearest"]

_BLOCK = 128
# Up to this many dimensions, a k-d tree is faster than brute force.
_TREE_DIMENSIONS = 10
# From this many points on, XLA compilation is worth its cost.
_COMPILE_FROM = 4096
# Up to this many repeated argmin searches are faster than `top_k`. `top_k` is slower
# under XLA, hence the larger limit.
_SEARCHES_UP_TO = 5
_COMPILED_SEARCHES_UP_TO = 32

_HAS_SCIPY = importlib.util.find_spec("scipy") is not None


def nearest(
    points: tf.Tensor,
    k: int,
    norm: str = "max",
    groups: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Finds the `k` nearest other points of each point, in order of distance.

    Args:
        points: Float64 tensor of shape `[N, D]`.
        k: Number of neighbors.
        norm: `"max"` or `"euclidean"`. Defaults to `"max"`.
        groups: Integer labels of shape `[N]`. Neighbors belong to the same group.
            Defaults to `None`.

    Returns:
        Distances `[N, k]`, infinite where a group has too few points, and indices
        `[N, k]`.
    """
    if tf.executing_eagerly():
        if _HAS_SCIPY and points.shape[1] <= _TREE_DIMENSIONS:
            return _nearest_in_trees(points.numpy(), k, norm, groups)
        if points.shape[0] >= _COMPILE_FROM and k <= _COMPILED_SEARCHES_UP_TO:
            return _compiled_nearest(points, k, norm, groups)
    return _nearest_in_blocks(points, k, norm, groups)


def count_within(
    points: tf.Tensor, radius: tf.Tensor, closed: bool = False
) -> tf.Tensor:
    """Counts the points within the radius of each point, including the point itself.

    Args:
        points: Float64 tensor of shape `[N, D]`. The distance is the maximum over
            coordinates.
        radius: Tensor of shape `[N]`.
        closed: Whether to include points at exactly the radius. Defaults to `False`.

    Returns:
        Counts of shape `[N]`, float64.
    """
    if points.shape[1] == 1:
        return _count_on_line(points[:, 0], radius, closed)
    if tf.executing_eagerly() and points.shape[0] >= _COMPILE_FROM:
        return _compiled_count(points, radius, closed)
    return _count_in_blocks(points, radius, closed)


def _nearest_in_trees(
    points: np.ndarray, k: int, norm: str, groups: tf.Tensor | None
) -> tuple[tf.Tensor, tf.Tensor]:
    if groups is None:
        members = [np.arange(len(points))]
    else:
        _, groups = np.unique(groups.numpy(), return_inverse=True)
        order = np.argsort(groups, kind="stable")
        members = np.split(order, np.cumsum(np.bincount(groups))[:-1])
    distance = np.full((len(points), k), np.inf)
    index = np.zeros((len(points), k), "int32")
    for rows in members:
        found = min(k, len(rows) - 1)
        if found:
            distance[rows, :found], neighbor = _nearest_in_tree(
                points[rows], found, norm
            )
            index[rows, :found] = rows[neighbor]
    return tf.constant(distance), tf.constant(index)


def _nearest_in_tree(
    points: np.ndarray, k: int, norm: str
) -> tuple[np.ndarray, np.ndarray]:
    from scipy.spatial import cKDTree

    # Equal points share a leaf, which each of their queries would search completely.
    kept = _first_duplicates(points, k + 1)
    # Balanced trees degenerate for data with many equal values.
    tree = cKDTree(points[kept], balanced_tree=False, compact_nodes=False)
    distance, index = tree.query(
        points, k + 1, p=np.inf if norm == "max" else 2, workers=-1
    )
    index = kept[index]
    # A point is its own neighbor at distance 0, but not always the first if there are
    # duplicates.
    is_self = index == np.arange(len(points))[:, np.newaxis]
    is_self[:, -1] |= ~is_self.any(axis=1)
    shape = (len(points), k)
    return distance[~is_self].reshape(shape), index[~is_self].reshape(shape)


def _first_duplicates(points: np.ndarray, number: int) -> np.ndarray:
    """Returns indices of the points, with at most `number` indices of equal points."""
    order = np.lexsort(points.T)
    ordered = points[order]
    starts = np.r_[True, (ordered[1:] != ordered[:-1]).any(axis=1)]
    positions = np.arange(len(points))
    start = np.maximum.accumulate(np.where(starts, positions, 0))
    return order[positions - start < number]


def _distances(rows: tf.Tensor, points: tf.Tensor, norm: str = "max") -> tf.Tensor:
    """Computes distances `[B, N]` between `rows [B, D]` and `points [N, D]`."""
    total = None
    for a, b in zip(tf.unstack(rows, axis=1), tf.unstack(points, axis=1), strict=True):
        difference = a[:, tf.newaxis] - b
        difference = tf.abs(difference) if norm == "max" else tf.square(difference)
        if total is None:
            total = difference
        elif norm == "max":
            total = tf.maximum(total, difference)
        else:
            total += difference
    return total if norm == "max" else tf.sqrt(total)


def _row_blocks(size: tf.Tensor) -> tf.Tensor:
    """Returns indices `[blocks, B]`. The last block is padded with the last row."""
    blocks = (size + _BLOCK - 1) // _BLOCK
    return tf.reshape(tf.minimum(tf.range(blocks * _BLOCK), size - 1), [-1, _BLOCK])


def _from_blocks(values: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Joins the blocks and removes the padding."""
    return tf.reshape(values, tf.concat([[-1], tf.shape(values)[2:]], 0))[:size]


def _nearest_in_blocks(
    points: tf.Tensor,
    k: int,
    norm: str,
    groups: tf.Tensor | None,
    searches: int = _SEARCHES_UP_TO,
) -> tuple[tf.Tensor, tf.Tensor]:
    size = tf.shape(points)[0]
    columns = tf.range(size)

    def block(rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        distance = _distances(tf.gather(points, rows), points, norm)
        excluded = rows[:, tf.newaxis] == columns
        if groups is not None:
            excluded |= tf.gather(groups, rows)[:, tf.newaxis] != groups
        distance = tf.where(excluded, tf.constant(np.inf, distance.dtype), distance)
        return _smallest(distance, k, columns, searches)

    # Processing one block at a time keeps memory at O(block x N).
    distance, index = tf.map_fn(
        block,
        _row_blocks(size),
        fn_output_signature=(points.dtype, tf.int32),
        parallel_iterations=1,
    )
    return _from_blocks(distance, size), _from_blocks(index, size)


def _smallest(
    distance: tf.Tensor, k: int, columns: tf.Tensor, searches: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the `k` smallest distances of each row, and their columns."""
    if k > searches:
        negative, index = tf.math.top_k(-distance, k)
        return -negative, index
    values, indices = [], []
    for i in range(k):
        index = tf.argmin(distance, axis=-1, output_type=tf.int32)
        indices.append(index)
        values.append(tf.reduce_min(distance, axis=-1))
        if i < k - 1:
            taken = index[:, tf.newaxis] == columns
            distance = tf.where(taken, tf.constant(np.inf, distance.dtype), distance)
    return tf.stack(values, axis=-1), tf.stack(indices, axis=-1)


def _count_in_blocks(points: tf.Tensor, radius: tf.Tensor, closed: bool) -> tf.Tensor:
    size = tf.shape(points)[0]

    def block(rows: tf.Tensor) -> tf.Tensor:
        distance = _distances(tf.gather(points, rows), points)
        limit = tf.gather(radius, rows)[:, tf.newaxis]
        within = distance <= limit if closed else distance < limit
        return tf.reduce_sum(tf.cast(within, tf.int32), axis=-1)

    counts = tf.map_fn(
        block,
        _row_blocks(size),
        fn_output_signature=tf.int32,
        parallel_iterations=1,
    )
    return tf.cast(_from_blocks(counts, size), points.dtype)


def _count_on_line(points: tf.Tensor, radius: tf.Tensor, closed: bool) -> tf.Tensor:
    """Counts points within a radius on a line, from the sorted points.

    `searchsorted(x + radius)` alone is not exact: the sum is rounded, and the k-th
    neighbor is exactly at the radius. It therefore only provides brackets as wide as
    the rounding error, and bisection with the exact predicate finds the counts.
    """
    ordered = tf.sort(points)
    size = tf.shape(points)[0]
    position = tf.searchsorted(ordered, points)
    tolerance = 4 * np.finfo("float64").eps * (tf.abs(points) + radius)

    def within(index: tf.Tensor) -> tf.Tensor:
        difference = tf.abs(tf.gather(ordered, index) - points)
        return difference <= radius if closed else difference < radius

    def bisect(inside: tf.Tensor, outside: tf.Tensor) -> tf.Tensor:
        def body(inside: tf.Tensor, outside: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            middle = (inside + outside) // 2
            # Brackets that are already closed must not move.
            is_within = within(tf.clip_by_value(middle, 0, size - 1))
            is_within &= middle != outside
            inside = tf.where(is_within, middle, inside)
            return inside, tf.where(is_within, outside, middle)

        inside, _ = tf.while_loop(
            lambda inside, outside: tf.reduce_any(tf.abs(outside - inside) > 1),
            body,
            (inside, outside),
        )
        return inside

    last = tf.searchsorted(ordered, points + radius - tolerance) - 1
    outside_last = tf.searchsorted(ordered, points + radius + tolerance, side="right")
    last = tf.maximum(last, position)
    last = bisect(last, tf.clip_by_value(outside_last, last + 1, size))
    first = tf.searchsorted(ordered, points - radius + tolerance, side="right")
    outside_first = tf.searchsorted(ordered, points - radius - tolerance) - 1
    first = tf.minimum(first, position)
    first = bisect(first, tf.clip_by_value(outside_first, -1, first - 1))
    # No point, not even the point itself, is closer than a radius of zero.
    count = tf.cast(last - first + 1, points.dtype)
    return tf.where(within(position), count, tf.zeros_like(count))


@tf.function(jit_compile=True, autograph=False)
def _compiled_nearest(
    points: tf.Tensor, k: int, norm: str, groups: tf.Tensor | None
) -> tuple[tf.Tensor, tf.Tensor]:
    return _nearest_in_blocks(points, k, norm, groups, _COMPILED_SEARCHES_UP_TO)


_compiled_count = tf.function(_count_in_blocks, jit_compile=True, autograph=False)
