"""Docstrings say what a function does, or what a thing is: none begins with a question word."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
QUESTION_WORD = re.compile(r"(What|Whether|Where|How|Which|Who|Whose|When|Why)\b")
SOURCES = sorted(p for folder in ("MedSAMSegment", "MedSAMSegmentLib") for p in (REPO / folder).rglob("*.py"))


def questions(source: str) -> Iterator[str]:
    """Yield line, name and first line of each docstring that begins with a question word."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            docstring = ast.get_docstring(node) or ""
            if QUESTION_WORD.match(docstring):
                line, name = getattr(node, "lineno", 1), getattr(node, "name", "the module")
                yield f"line {line}, {name}: {docstring.splitlines()[0]}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(REPO)))
def test_no_docstring_begins_with_a_question_word(path: Path) -> None:
    assert not list(questions(path.read_text(encoding="utf-8")))


def test_questions_of_modules_classes_properties_and_inner_functions_are_seen() -> None:
    source = (
        '"""Which files."""\n'
        'class A:\n    """Where it lies."""\n    @property\n    def b(self):\n        """Whether it holds."""\n'
        'def c():\n    """Return what holds."""\n    def d():\n        """How far."""\n'
    )
    assert [text.split(", ")[1].split(":")[0] for text in questions(source)] == ["the module", "A", "b", "d"]
