"""Small wrong changes of a source file: what a slip of the hand could have made of it.

The classic operators (Offutt et al. 1996): comparisons, arithmetic, logic, constants, results, deleted statements and
arguments. Text is left alone, for no test should hold the words of a message; so are annotations, decorators, and what
only a type checker reads.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.MatMult: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
OPPOSITES = {"min": "max", "max": "min", "any": "all", "all": "any", "floor": "ceil", "ceil": "floor"}
NEVER_DELETED_KEYWORDS = {
    "strict": "a guard against slips of our own: the lengths agree",
    "dtype": "the default type holds the same values in most calls, and overflows are tried by their own tests",
    "stacklevel": "where a warning points to",
    "copy": "how much memory is taken",
}


@dataclass(frozen=True)
class Mutant:
    """One change. `function` is (name, first line) of the innermost function that holds it; ("", 0) outside of any."""

    line: int
    function: tuple[str, int]
    kind: str
    before: str
    after: str
    source: str

    @property
    def change(self) -> str:
        return f"{self.before} -> {self.after}"


def mutants_of(source: str) -> list[Mutant]:
    """Return every mutant of a module's source, in the order of the text."""
    tree = ast.parse(source)
    lines = source.encode().splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    encoded = source.encode()
    found = []
    for node, kind, replacement, function in _Walk().visit_all(tree):
        first = starts[node.lineno - 1] + node.col_offset
        last = starts[node.end_lineno - 1] + node.end_col_offset
        text = f"({replacement})" if isinstance(node, ast.expr) else replacement
        changed = (encoded[:first] + text.encode() + encoded[last:]).decode()
        before = " ".join(encoded[first:last].decode().split())
        found.append(Mutant(node.lineno, function, kind, before, replacement, changed))
    return sorted(found, key=lambda m: (m.line, m.kind, m.before, m.after))


Change = tuple["ast.expr | ast.stmt", str, str, tuple[str, int]]


class _Walk:
    """Walks through a module and knows which function it is in."""

    def visit_all(self, tree: ast.Module) -> Iterator[Change]:
        yield from self._children(tree, ("", 0))

    def _children(self, node: ast.AST, function: tuple[str, int]) -> Iterator[Change]:
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "type_params"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from self._visit(child, function)

    def _visit(self, node: ast.AST, function: tuple[str, int]) -> Iterator[Change]:
        if _is_never_run(node):
            return
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            function = (node.name, min([node.lineno, *(d.lineno for d in node.decorator_list)]))
        else:
            for place, kind, replacement in (*_expression(node), *_statement(node)):
                yield place, kind, replacement, function
        yield from self._children(node, function)


def _is_never_run(node: ast.AST) -> bool:
    """Return whether a node is text, a declaration, or for the type checker alone."""
    if isinstance(node, ast.JoinedStr):
        return True  # the words of a message
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    if isinstance(node, ast.ClassDef):
        return any(isinstance(b, ast.Name) and b.id == "Protocol" for b in node.bases)
    if isinstance(node, ast.Assign):
        return any(isinstance(t, ast.Name) and t.id in ("__all__", "__slots__") for t in node.targets)
    if isinstance(node, ast.AnnAssign):
        return ast.unparse(node.annotation).endswith("TypeAlias")
    return isinstance(node, (ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal))


Replacement = tuple["ast.expr | ast.stmt", str, str]


def _expression(node: ast.AST) -> Iterator[Replacement]:
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            compared = copy.deepcopy(node)
            compared.ops[place] = COMPARISONS[type(operator)]()
            yield node, "comparison", ast.unparse(compared)
    elif isinstance(node, ast.BinOp) and not _is_text(node.left) and not _is_text(node.right):
        yield node, "arithmetic", ast.unparse(ast.BinOp(node.left, ARITHMETIC[type(node.op)](), node.right))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Not, ast.Invert)):
        yield node, "sign", ast.unparse(node.operand)
    elif isinstance(node, ast.BoolOp):
        opposite = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield node, "logic", ast.unparse(ast.BoolOp(opposite, node.values))
    elif isinstance(node, ast.Constant):
        yield from ((node, "constant", text) for text in _other_constants(node.value))
    elif isinstance(node, ast.Call):
        yield from _call(node)
    if isinstance(node, (ast.If, ast.While, ast.IfExp)) and not _is_changed_itself(node.test):
        yield node.test, "condition", f"not {ast.unparse(node.test)}"


def _is_changed_itself(test: ast.expr) -> bool:
    """Return whether another operator turns the condition round, or nearly so."""
    return isinstance(test, (ast.Compare, ast.BoolOp, ast.Constant)) or (
        isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
    )


def _other_constants(value: object) -> list[str]:
    if isinstance(value, bool):
        return [str(not value)]
    return [repr(value + 1), repr(value - 1)] if isinstance(value, (int, float)) else []


def _call(node: ast.Call) -> Iterator[Replacement]:
    for place, keyword in enumerate(node.keywords):
        if keyword.arg is not None and keyword.arg not in NEVER_DELETED_KEYWORDS:
            kept = [other for number, other in enumerate(node.keywords) if number != place]
            yield node, "argument", ast.unparse(ast.Call(node.func, node.args, kept))
    if isinstance(node.func, ast.Name) and node.func.id in OPPOSITES:
        yield node.func, "opposite", OPPOSITES[node.func.id]
    elif isinstance(node.func, ast.Attribute) and node.func.attr in OPPOSITES:
        yield node.func, "opposite", f"{ast.unparse(node.func.value)}.{OPPOSITES[node.func.attr]}"


def _statement(node: ast.AST) -> Iterator[Replacement]:
    if isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
        yield node, "result", "return None"
    elif _is_deleted(node):
        yield node, "deleted", "pass"  # type: ignore[misc]  # a statement


def _is_deleted(node: ast.AST) -> bool:
    """Return whether the statement can go: where it gives a name its first value, the next line would fail anyway."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, (ast.Call, ast.Yield, ast.YieldFrom))
    if isinstance(node, ast.Assign):
        return all(isinstance(target, (ast.Attribute, ast.Subscript)) for target in node.targets)
    return isinstance(node, (ast.AugAssign, ast.Raise, ast.Continue, ast.Break, ast.Delete))


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)))


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
