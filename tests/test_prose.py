"""Prose of the project: rejects phrases that `CONTRIBUTING.md` rules out.

The check reads comments, strings and test names of Python files, Markdown without code,
and configuration files.
"""

from __future__ import annotations

import ast
import io
import pathlib
import re
import subprocess
import tokenize
from collections.abc import Iterator
from typing import NamedTuple

import pytest

ROOT = pathlib.Path(__file__).parent.parent
SUFFIXES = {".cff", ".cfg", ".md", ".py", ".toml", ".yaml", ".yml"}

_UNITS = (
    "batch|class|column|core|dimension|element|entry|episode|epoch|example|file|input|"
    "layer|line|method|network|output|pair|parameter|pixel|query|replica|row|sample|"
    "second|step|task|update|variable|weight"
)
_COUNTED = (
    "classes|columns|examples|images|losses|numbers|queries|rates|rows|samples|shots|"
    "steps|tasks|values?|weights"
)
_STEMS = (
    "author|categor|custom|diagonal|discret|equal|factor|general|initial|linear|local|"
    "maxim|memor|minim|normal|optim|organ|parametr|penal|quant|random|real|recogn|"
    "regular|serial|special|stabil|standard|summar|symmetr|token|util|vector|visual"
)

# Pattern of a phrase and its rewrite. A space matches any white space.
PHRASES = {
    r"\bnot below zero\b": '"non-negative"',
    r"\blikewise\b": '"also", or the meaning itself',
    r"\banew\b": '"again"',
    r"\bby hand\b": '"manually" or "explicitly"',
    r"\bof one's own\b": '"your own"',
    r"\ba look at\b": "a verb: checks, validates, plots",
    r"\bdearer\b": '"more expensive"',
    r"\bweigh(s|ed|ing)?\b": '"weight", "weights" or "weighting"',
    r"\bbehind\b": '"after"',
    r"\bnumbers? with a point\b": '"floating-point"',
    r"\bwhole numbers?\b": '"integer" or "integers"',
    r"\bto be had\b": '"available"',
    r"\bin vain\b": '"without effect"',
    r"\bclass (numbers?|index|indices)\b": '"integer label" or "integer labels"',
    rf"\b((an?|one|two|three|\d+) [a-z]+|{_COUNTED}) an? ({_UNITS})\b": '"per"',
    rf"\b[a-z]*({_STEMS})is(e[dsr]?|ers|ing|ations?|able)\b": (
        'American spelling, "-iz-"'
    ),
    r"\b[a-z]*(behaviour|colour|favour|neighbour)[a-z]*\b": (
        'American spelling, "-or-"'
    ),
    r"\b[a-z]*centre[ds]?\b": '"center"',
    r"\bgrey[a-z]*\b": '"gray"',
    r"\b[a-z]*(label|model)l(ed|ing)\b": 'American spelling, one "l"',
    r"\bartefacts?\b": '"artifact"',
}
_COMPILED = [
    (re.compile(pattern.replace(" ", r"\s+"), re.IGNORECASE), rewrite)
    for pattern, rewrite in PHRASES.items()
]
_QUESTION = re.compile(r"\s*(What|Whether|Which|Where|How)\b")
_QUESTION_REWRITE = 'a verb or a noun phrase ("Returns whether ...")'

# Code inside of prose: its characters are replaced by one that no pattern matches.
_CODE = re.compile(
    r"^ *```.*?^ *```|^ *(?:>>>|\.\.\.)(?: .*)?$|``.+?``|`[^`]+`|https?://\S+",
    re.MULTILINE | re.DOTALL,
)
_HIDDEN = "\0"


class Prose(NamedTuple):
    """A piece of text and its lines in the file.

    Attributes:
        text: the text, without comment signs or quotes.
        first_line: line of its first character.
        last_line: line of its last character.
        opens: whether question words at its start are findings.
    """

    text: str
    first_line: int
    last_line: int
    opens: bool = False


class Finding(NamedTuple):
    """A phrase to replace."""

    line: int
    phrase: str
    rewrite: str


def comments(source: str) -> Iterator[Prose]:
    """Yields each comment; comments on successive lines are one piece."""
    block: list[str] = []
    position = None
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        text = token.string.lstrip("#:!")
        if _QUESTION.match(text):
            yield Prose(text, token.start[0], token.start[0], opens=True)
        follows = position and token.start == (position[0] + 1, position[1])
        if not follows and block:
            yield Prose("\n".join(block), position[0] - len(block) + 1, position[0])
            block = []
        block.append(text)
        position = token.start
    if block:
        yield Prose("\n".join(block), position[0] - len(block) + 1, position[0])


def strings(tree: ast.Module) -> Iterator[Prose]:
    """Yields docstrings, other strings and the names of tests."""
    scopes = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings, parts = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, scopes) and ast.get_docstring(node) is not None:
            docstrings.add(node.body[0].value)
        if isinstance(node, ast.JoinedStr):
            parts.update(node.values)
            text = "".join(
                part.value if isinstance(part, ast.Constant) else _HIDDEN
                for part in node.values
            )
            yield Prose(text, node.lineno, node.end_lineno)
        elif isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield Prose(node.name.replace("_", " "), node.lineno, node.lineno)
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and node not in parts
        ):
            yield Prose(
                node.value, node.lineno, node.end_lineno, opens=node in docstrings
            )


def check(source: str, suffix: str) -> list[Finding]:
    """Returns the findings in a file's text."""
    if suffix == ".py":
        pieces = [*comments(source), *strings(ast.parse(source))]
    else:
        pieces = [Prose(source, 1, source.count("\n") + 1)]
    lines = source.splitlines()
    found = set()
    for piece in pieces:
        text = _CODE.sub(lambda match: re.sub(r"[^\n]", _HIDDEN, match[0]), piece.text)
        if piece.opens and (match := _QUESTION.match(text)):
            found.add(Finding(piece.first_line, match[1], _QUESTION_REWRITE))
        for pattern, rewrite in _COMPILED:
            for match in pattern.finditer(text):
                if "_" in text[max(match.start() - 1, 0) : match.end() + 1]:
                    continue  # part of an identifier
                phrase = " ".join(match[0].split())
                found.add(Finding(_line(piece, match, lines), phrase, rewrite))
    return sorted(found)


def _line(piece: Prose, match: re.Match, lines: list[str]) -> int:
    """Returns the line of a match, also in a string of several literals."""
    line = piece.first_line + match.string.count("\n", 0, match.start())
    if piece.last_line - piece.first_line == match.string.count("\n"):
        return line
    candidates = range(piece.first_line, piece.last_line + 1)
    start = match[0].split()[0]
    return next((n for n in candidates if start in lines[n - 1]), piece.first_line)


def project_files() -> list[pathlib.Path]:
    """Returns the tracked text files, or all text files outside of a Git clone."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode == 0:
        paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        hidden = re.compile(r"/(\.venv|\.git|build|dist)/")
        paths = [path for path in ROOT.rglob("*") if not hidden.search(str(path))]
    return [
        path
        for path in paths
        if path.suffix in SUFFIXES and path.is_file() and path != pathlib.Path(__file__)
    ]


def test_project_has_no_banned_phrases():
    files = project_files()
    assert ROOT / "README.md" in files
    findings = [
        f"{path.relative_to(ROOT)}:{line}: {phrase!r}: write {rewrite}"
        for path in files
        for line, phrase, rewrite in check(path.read_text("utf-8"), path.suffix)
    ]
    assert not findings, "\n" + "\n".join(findings)


BAD = [
    "a number not below zero",
    "the queries likewise",
    "computed anew",
    "set by hand",
    "a training loop of one's own",
    "after a look at the batch",
    "dearer than a tree",
    "weighs each example",
    "a way of weighing tasks",
    "behind each epoch",
    "numbers with a point",
    "whole numbers",
    "not to be had",
    "asked in vain",
    "the class numbers",
    "a class\n    index",
    "one value an example",
    "values a task",
    "two losses an output",
    "3 drawings a class",
    "tasks a batch",
    "Normalisation of the inputs",
    "optimisers",
    "uninitialised",
    "the behaviour",
    "nearest neighbours",
    "coloured",
    "centred",
    "in grey",
    "unlabelled",
    "modelling",
    "an artefact",
]


@pytest.mark.parametrize("text", BAD)
@pytest.mark.parametrize(
    ("sample", "suffix"),
    [
        ('def f():\n    """Returns x.\n\n    {}.\n    """\n', ".py"),
        ("x = 1  # {}\n", ".py"),
        ('raise ValueError(f"Invalid value {{x}}: {}.")\n', ".py"),
        ("Title\n\n- {}.\n", ".md"),
        ("# {}\n[section]\n", ".cfg"),
    ],
)
def test_checker_rejects(text, sample, suffix):
    if sample.count("\n") < 4:
        text = " ".join(text.split())
    assert check(sample.format(text), suffix)


@pytest.mark.parametrize("word", ["What", "Whether", "Which", "Where", "How"])
@pytest.mark.parametrize(
    "sample",
    ['def f():\n    """{} is x."""\n', "x = 1\n#: {} is x.\n", "\n# {} is x.\n"],
)
def test_checker_rejects_question_words_at_the_start(word, sample):
    (finding,) = check(sample.format(word), ".py")
    assert finding.line == 2


@pytest.mark.parametrize(
    ("text", "suffix"),
    [
        ('"""Returns whether x is set.\n\nWhether x is set.\n"""\n', ".py"),
        ("# Sets x,\n# whether or not it is set.\n", ".py"),
        ("integer_labels = weigh(colour, normalise)\n", ".py"),
        (
            '"""Calls `weigh(x)` and ``anew`` of class_index.\n\n>>> weigh(1)\n"""\n',
            ".py",
        ),
        ('raise ValueError(f"Received: {weigh(colour)}")\n', ".py"),
        ("A noise of a promise: an optimist exercises.\n", ".md"),
        ("One loss per task, an error of a class.\n", ".md"),
        ("Text\n\n```python\nweigh(x)  # by hand\n```\n", ".md"),
        ("See https://colour.org/behind for weights.\n", ".md"),
    ],
)
def test_checker_accepts(text, suffix):
    assert not check(text, suffix)


def test_checker_reads_test_names():
    (finding,) = check("\ndef test_pcgrad_by_hand():\n    pass\n", ".py")
    assert (finding.line, finding.phrase) == (2, "by hand")


def test_checker_reports_the_line():
    source = (
        '"""Title.\n\nFirst.\nComputed anew.\n"""\nx = (\n    "a "\n    "likewise"\n)\n'
    )
    assert [(f.line, f.phrase) for f in check(source, ".py")] == [
        (4, "anew"),
        (8, "likewise"),
    ]


def test_checker_finds_a_phrase_across_lines():
    assert check("# Set by\n# hand.\n", ".py")
    assert check('x = (\n    "set by "\n    "hand"\n)\n', ".py")
