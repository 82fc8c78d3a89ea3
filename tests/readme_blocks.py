"""Extraction of code blocks of a Markdown file, by language and by name."""

from __future__ import annotations

import pathlib
import re
import sys

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(path: str | pathlib.Path, language: str) -> list[str]:
    """Returns the blocks of one language, in order."""
    text = pathlib.Path(path).read_text(encoding="utf-8")
    return [body for found, body in BLOCK.findall(text) if found == language]


def command(path: str | pathlib.Path, name: str) -> str:
    """Returns the shell command below the comment `# name`."""
    for block in blocks(path, "bash"):
        lines = block.strip().splitlines()
        if lines[0] == f"# {name}":
            return lines[1]
    raise SystemExit(f"{path}: expected a bash block that starts with '# {name}'")


if __name__ == "__main__":
    print(command(sys.argv[1], sys.argv[2]))
