"""Export of a SavedModel that adapts and predicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss.models._shared.model_mixin import ModelMixin
from keras_metaloss.models.meta._episodes import REQUIRED_KEYS, episode_spec

__all__ = ["EpisodeExportMixin"]


class EpisodeExportMixin(ModelMixin):
    """Mix-in that records the shapes of episodes and exports a SavedModel."""

    def record_episode(self, tensors: dict[str, Any]) -> dict[str, Any]:
        """Records shapes and dtypes of a batch for `export`; returns the batch."""
        self._untracked.episode_spec = episode_spec(tensors)
        return tensors

    def export(
        self,
        filepath: str,
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: dict[str, Any] | None = None,
    ) -> None:
        """Writes a SavedModel that adapts and predicts without this package.

        The signature `adapt_and_predict` (also `serving_default`) takes
        `support_x [S, ...]`, `support_y [S, ...]` and `query_x [Q, ...]` of one task,
        for any S and Q, and returns the predictions of the queries. The signature
        `adapt_and_predict_batch` takes the same inputs with a leading task axis.

        Args:
            filepath: Folder to write to.
            format: Only `"tf_saved_model"`, because other formats do not support
                gradients. Defaults to `"tf_saved_model"`.
            verbose: Whether to print the signatures. Defaults to `None`.
            input_signature: An episode of `tf.TensorSpec`. `None` uses the shapes of
                the episodes last seen by `fit`, `evaluate` or `predict`. Defaults to
                `None`.

        Raises:
            ValueError: If the format is not supported or the shapes are not known.
        """
        if format != "tf_saved_model":
            raise ValueError(
                'Invalid value for argument `format`. Expected "tf_saved_model". '
                f"Received: format={format!r}"
            )
        spec = input_signature or self._untracked.episode_spec
        if spec is None:
            raise ValueError(
                "Invalid value for argument `input_signature`. Expected an episode of "
                "`tf.TensorSpec`, because the model has not seen an episode in `fit`, "
                "`evaluate` or `predict`. Received: input_signature=None"
            )
        _write(self, filepath, spec, verbose=verbose)


def _write(
    model: keras.Model, path: str, example: dict[str, Any], *, verbose: bool | None
) -> None:
    """Writes a SavedModel that adapts to one task and predicts its queries.

    The signatures accept any number of support and query examples.
    `adapt_and_predict` (also `serving_default`) takes one task;
    `adapt_and_predict_batch` takes a batch of tasks with a leading task axis. The
    inputs are named `support_x`, `support_y` and `query_x`, or `support_x_<name>` and
    so on if there are several inputs or targets.

    Args:
        model: A built `MetaModel`.
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


def _specs(example: dict[str, Any], batched: bool) -> list[tf.TensorSpec]:
    axes = [None, None] if batched else [None]
    return [
        tf.TensorSpec(axes + list(tensor.shape[2:]), tensor.dtype, name=name)
        for key in REQUIRED_KEYS
        for name, tensor in _named(key, example[key])
    ]


def _named(key: str, value: Any) -> list[tuple[str, tf.Tensor]]:
    return [
        ("_".join([key, *(str(part) for part in path)]), tensor)
        for path, tensor in keras.tree.flatten_with_path(value)
    ]


def _endpoint(
    model: keras.Model, example: dict[str, Any], batched: bool
) -> Callable[..., Any]:
    def adapt_and_predict(*tensors: tf.Tensor) -> Any:
        if not batched:
            tensors = tuple(tensor[tf.newaxis] for tensor in tensors)
        remaining = iter(tensors)
        episode = {
            key: keras.tree.map_structure(lambda _: next(remaining), example[key])
            for key in REQUIRED_KEYS
        }
        outputs = model(episode, training=False)
        if batched:
            return outputs
        return keras.tree.map_structure(lambda y: y[0], outputs)

    return adapt_and_predict
