"""Code blocks of a Markdown file, by language and by the comment that names them."""

from __future__ import annotations

import pathlib
import re
import sys

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(path: str | pathlib.Path, language: str) -> list[str]:
    """The blocks of one language, in order."""
    text = pathlib.Path(path).read_text(encoding="utf-8")
    return [body for found, body in BLOCK.findall(text) if found == language]


def command(path: str | pathlib.Path, name: str) -> str:
    """The shell line under the comment `# name`."""
    for block in blocks(path, "bash"):
        lines = block.strip().splitlines()
        if lines[0] == f"# {name}":
            return lines[1]
    raise SystemExit(f"{path}: no bash block that starts with '# {name}'")


if __name__ == "__main__":
    print(command(sys.argv[1], sys.argv[2]))
