"""Options of the mutual information of predicted variables."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Options"]


class Options(NamedTuple):
    """Options of `mutual_information`, in the order of its arguments."""

    method: str = "auto"
    num_points: int = 256
    bandwidth: float | None = None
    leave_one_out: bool = False
