"""What the panel says can be translated: every sentence goes through tr."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
FILES = [
    *sorted((REPO / "MedSAMSegmentLib" / "ui" / "panel").glob("*.py")),
    *sorted((REPO / "MedSAMSegmentLib" / "ui" / "widgets").glob("*.py")),
    REPO / "MedSAMSegment" / "MedSAMSegment.py",
]
NO_SENTENCES = {
    "requirements.py": {"200 MB without a GPU, up to 3 GB with CUDA"},
    "installer.py": {"The PyTorch extension did not install torch."},
    "MedSAMSegment.py": {"The MedSAMSegment contributors (independent)"},
}
"""Data, names, and what only a report's details hold."""


def untranslated(path: Path) -> list[str]:
    """Sentences of a file that are not an argument of `_`: two words or more, begun with a capital."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    translated = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_"
        for part in ast.walk(node)
    }
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    allowed = NO_SENTENCES.get(path.name, set())
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in translated | docstrings
        and node.value not in allowed
        and is_sentence(node.value)
    ]


def is_sentence(text: str) -> bool:
    words = text.strip().split()
    return len(words) > 1 and words[0][:1].isupper() and words[0].isalpha()


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_every_sentence_goes_through_tr(path: Path) -> None:
    assert untranslated(path) == []


def test_the_search_finds_a_sentence() -> None:
    assert is_sentence("There is nothing here.")
    assert not is_sentence("clicked()")
