"""Settings that become read-only once they are used."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["ReadOnlySettings"]


class ReadOnlySettings:
    """Mix-in of Keras layers and models with attributes that become read-only.

    Traced functions contain the values of the settings. A later change would affect
    some functions and not others, so it raises an error.
    """

    def freeze_settings(self, names: Iterable[str], remedy: str) -> None:
        """Makes attributes read-only.

        Args:
            names: Names of the attributes.
            remedy: Sentence for the error message, the way to use other values, with
                the placeholder `{setting}` for name and value.
        """
        # Keras would track and save attributes that are set with `setattr`.
        vars(self)["_read_only"] = (frozenset(names), remedy)

    def __setattr__(self, name: str, value: Any) -> None:
        names, remedy = vars(self).get("_read_only", ((), ""))
        if name in names:
            remedy = remedy.format(setting=f"{name}={value!r}")
            raise AttributeError(
                f"Invalid assignment to `{name}`. It is read-only, because functions "
                f"that were traced earlier would use the previous value. {remedy} "
                f"Received: {name}={value!r}"
            )
        super().__setattr__(name, value)
