"""State of losses in saved files."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import h5py
import keras

from keras_metaloss.losses._core.meta_loss import nested_losses

__all__ = ["check_file_format", "read_loss_state", "restore_loss_state"]

_LEGACY = (".h5", ".hdf5")
_GROUP = "loss"


def check_file_format(filepath: Any, loss: Any) -> None:
    """Raises a `ValueError` if a file of this format would lack the state of a loss.

    Args:
        filepath: Argument `filepath` of `save`.
        loss: The compiled loss.
    """
    if not str(filepath).endswith(_LEGACY):
        return
    stateful = [part.name for part in nested_losses(loss) if _state(part)]
    if stateful:
        raise ValueError(
            "Invalid value for argument `filepath`. Expected a path that ends in "
            "`.keras`: the legacy HDF5 format does not store the parameters and step "
            f"counters of losses. Received: filepath={str(filepath)!r} and the losses "
            f"{stateful}"
        )


def read_loss_state(filepath: Any) -> bytes | None:
    """Returns the state of the losses in a file of weights, or `None`."""
    if not str(filepath).endswith(".weights.h5"):
        return None
    with h5py.File(filepath, "r") as file, tempfile.TemporaryDirectory() as folder:
        if _GROUP not in file:
            return None
        path = Path(folder) / "loss.weights.h5"
        with h5py.File(path, "w") as copy:
            file.copy(_GROUP, copy)
        return path.read_bytes()


def restore_loss_state(loss: Any, state: bytes) -> None:
    """Assigns the state from `read_loss_state` to a compiled loss."""
    # Keras finds the losses of a model under the attribute `loss`.
    holder = keras.Sequential()
    holder.loss, holder.built = loss, True
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "loss.weights.h5"
        path.write_bytes(state)
        holder.load_weights(path, skip_mismatch=True)


def _state(loss: keras.losses.Loss) -> dict[str, Any]:
    """Returns the variables that a loss saves."""
    store: dict[str, Any] = {}
    if hasattr(loss, "save_own_variables"):
        loss.save_own_variables(store)
    return store
