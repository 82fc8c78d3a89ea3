"""Export of a SavedModel that adapts and predicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

if TYPE_CHECKING:
    from keras_metaloss.models.meta_model import MetaModel

__all__ = ["export_adapt_and_predict"]

_KEYS = ("support_x", "support_y", "query_x")


def export_adapt_and_predict(
    model: MetaModel, path: str, example: dict[str, Any], *, verbose: bool | None
) -> None:
    """Writes a SavedModel that adapts to one task and predicts its queries.

    The signatures accept any number of support and query examples.
    `adapt_and_predict` (also `serving_default`) takes one task;
    `adapt_and_predict_batch` takes a batch of tasks with a leading task axis. The
    inputs are named `support_x`, `support_y` and `query_x`, or `support_x_<name>` and
    so on if there are several inputs or targets.

    Args:
        model: A built `MetaModel` with an inner loss.
        path: Folder to write to.
        example: Specs of one batch of episodes, `[T, N, ...]`.
        verbose: Whether to print the signatures.
    """
    archive = keras.export.ExportArchive()
    archive.track(model)
    for name, batched in (
        ("adapt_and_predict", False),
        ("adapt_and_predict_batch", True),
    ):
        archive.add_endpoint(
            name, _endpoint(model, example, batched), _specs(example, batched)
        )
    archive.write_out(path, verbose=verbose)


def _specs(example, batched):
    axes = [None, None] if batched else [None]
    return [
        tf.TensorSpec(axes + list(tensor.shape[2:]), tensor.dtype, name=name)
        for key in _KEYS
        for name, tensor in _named(key, example[key])
    ]


def _named(key, value):
    return [
        ("_".join([key, *(str(part) for part in path)]), tensor)
        for path, tensor in keras.tree.flatten_with_path(value)
    ]


def _endpoint(model, example, batched):
    def adapt_and_predict(*tensors):
        if not batched:
            tensors = [tensor[tf.newaxis] for tensor in tensors]
        left = iter(tensors)
        episode = {
            key: keras.tree.map_structure(lambda _: next(left), example[key])
            for key in _KEYS
        }
        outputs = model(episode, training=False)
        if batched:
            return outputs
        return keras.tree.map_structure(lambda y: y[0], outputs)

    return adapt_and_predict
