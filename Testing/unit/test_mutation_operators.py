"""The changes that a mutation run makes: each is a program, and none touches what no test should hold."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[1] / "mutation"


@pytest.fixture(scope="module")
def operators() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutation_operators", FOLDER / "operators.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("source", "changes"),
    [
        ("a < b", ["a < b -> a <= b"]),
        ("a not in b", ["a not in b -> a in b"]),
        ("a + b", ["a + b -> a - b"]),
        ("'text' + b", []),
        ("not a", ["not a -> a"]),
        ("a and b or c", ["a and b -> a or b", "a and b or c -> (a and b) and c"]),
        ("x = 3", ["3 -> 4", "3 -> 2"]),
        ("x = True", ["True -> False"]),
        ("x = 'word'", []),
        ("x = f'{a + 1}'", []),
        ("x: int | None = 0", ["0 -> 1", "0 -> -1"]),
        ("max(a)", ["max -> min", "max(a) -> pass"]),
        ("x = f(a, key=b)", ["f(a, key=b) -> f(a)"]),
        ("x = zip(a, b, strict=True)", ["True -> False"]),
        ("a.b = c", ["a.b = c -> pass"]),
        ("b = c", []),
        ("raise a", ["raise a -> pass"]),
        ("if a.b: f", ["a.b -> not a.b"]),
        ("if TYPE_CHECKING:\n    import a", []),
        ("def f(a: int | None = None) -> int:\n    return a", ["return a -> return None"]),
    ],
)
def test_a_change_is_small_and_of_what_runs(operators: ModuleType, source: str, changes: list[str]) -> None:
    assert sorted(mutant.change for mutant in operators.mutants_of(source)) == sorted(changes)


def test_every_mutant_of_a_file_is_a_program_of_its_own(operators: ModuleType) -> None:
    source = (FOLDER / "operators.py").read_text(encoding="utf-8")
    found = operators.mutants_of(source)
    assert len(found) > 50
    whole = ast.dump(ast.parse(source))
    for mutant in found:
        assert ast.dump(ast.parse(mutant.source)) != whole, mutant.change
        assert len(mutant.source.splitlines()) <= len(source.splitlines())


def test_a_mutant_knows_its_function_by_its_first_line_as_python_does(operators: ModuleType) -> None:
    source = "a = 1\n\n@decorated\ndef f():\n    return 2\n\nclass C:\n    def g(self):\n        return 3\n"
    functions = {mutant.before: mutant.function for mutant in operators.mutants_of(source)}
    assert functions == {"1": ("", 0), "2": ("f", 3), "return 2": ("f", 3), "3": ("g", 8), "return 3": ("g", 8)}
