"""Runs examples as from the command line, in the process of the tests."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture
def run_main(tmp_path, monkeypatch, capsys):
    """Runs `main` of an example with `--fast` in `tmp_path`; returns its output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KERAS_METALOSS_DATA", raising=False)

    def run(example, *arguments):
        given = [example.__name__, "--fast", *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", given)
        example.main()
        return capsys.readouterr().out

    return run
