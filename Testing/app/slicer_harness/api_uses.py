"""Uses of the application's objects in source files that the application refuses, found without running them."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .api_facts import API_MODULES, has_signal, is_api_class, kind_of, missing_in_qt_6, most_arguments, refusal
from .application_api import normalized
from .source_types import Scope, Sources, Type, Types, own_nodes

_NOT_OBJECTS = {
    "enum": "values of an enum are looked up on the class, not on the enum",
    "method": "is a method, its result has the member",
    "signal": "a signal has no such member",
}
_OF_SIGNALS = frozenset({"connect", "disconnect", "emit"})
# Where a method that is not called stands for a value that it is not.
_VALUE_PLACES = (ast.Compare, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.FormattedValue, ast.Subscript, ast.Assert)


@dataclass(frozen=True, order=True)
class Violation:
    """One use that the application refuses."""

    file: str
    line: int
    cls: str
    member: str
    why: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.cls}.{self.member}: {self.why}"


@dataclass(frozen=True)
class Findings:
    """The violations, and how many uses of the application's objects were recognised and looked at."""

    violations: list[Violation]
    looked_at: int


def check(root: Path, paths: Iterable[Path]) -> Findings:
    """Check source files that import each other; `root` is the folder that their dotted names start from."""
    sources = Sources(root, paths)
    checker = _Checker(sources, root)
    for scope in sources.scopes:
        checker.check_scope(scope)
    return Findings(sorted(set(checker.violations)), checker.looked_at)


class _Checker:
    def __init__(self, sources: Sources, root: Path) -> None:
        self.sources, self.root = sources, root
        self.violations: list[Violation] = []
        self.looked_at = 0

    def check_scope(self, scope: Scope) -> None:
        nodes = list(own_nodes(scope))
        parents = {id(child): node for node in nodes for child in ast.iter_child_nodes(node)}
        for node in nodes:
            if isinstance(node, ast.Attribute):
                self._check_attribute(node, parents.get(id(node)), scope)
            elif isinstance(node, ast.Call):
                self._check_call(node, scope)
            elif isinstance(node, ast.ImportFrom) and node.module in API_MODULES and not node.level:
                self._check_import(node, scope)

    def _report(self, scope: Scope, node: ast.AST, cls: str, member: str, why: str) -> None:
        file = scope.module.path.resolve().relative_to(self.root.resolve()).as_posix()
        self.violations.append(Violation(file, getattr(node, "lineno", 0), cls, member, why))

    def _candidates(self, node: ast.expr, scope: Scope) -> list[Type]:
        """The possible owners of a member, none where one of them is unknown."""
        types = self.sources.types(node, scope)
        return sorted(types, key=lambda one: (one.what, one.name)) if _is_known(types) else []

    # Attributes

    def _check_attribute(self, node: ast.Attribute, parent: ast.AST | None, scope: Scope) -> None:
        owners = self._candidates(node.value, scope)
        problems = [self._problem(one, node, parent) for one in owners]
        self.looked_at += any(problem is not None for problem in problems)
        if problems and all(problem is not None and problem[1] for problem in problems):
            cls, why = problems[0] or ("", "")
            self._report(scope, node, cls, node.attr, why)

    def _problem(self, owner: Type, node: ast.Attribute, parent: ast.AST | None) -> tuple[str, str] | None:
        """Class and reason; ("", "") for a use of the application's objects that is right; None for another one."""
        if owner.what == "module":
            wrong = owner.name in ("qt", "ctk") and not is_api_class(owner.name, node.attr) and node.attr != "Qt"
            return (owner.name, "there is no such class") if wrong else None
        if owner.what in _NOT_OBJECTS:
            wrong = owner.what != "signal" or node.attr not in _OF_SIGNALS
            return (f"{owner.name}.{owner.member}", _NOT_OBJECTS[owner.what]) if wrong else None
        cls = owner.name if owner.what in ("object", "class") else self._api_base(owner, node)
        if not cls:
            return None
        return self._problem_of_member(cls, node, parent, on_class=owner.what == "class")

    def _api_base(self, owner: Type, node: ast.Attribute) -> str | None:
        """The application's class below a class of the sources that the attribute concerns."""
        if owner.what != "instance":
            return None
        base = self.sources.api_base(owner.of)
        if base is not None and isinstance(node.ctx, ast.Store):
            # A class derived in Python accepts new attributes, but not in the place of a slot, a signal, an enum.
            return base if kind_of(base, node.attr) is not None else None
        for one in self.sources.bases(owner.of):
            if isinstance(one, str):
                return one
            if node.attr in one.methods or node.attr in one.attributes:
                return None
        return None

    @staticmethod
    def _problem_of_member(
        owner: str, node: ast.Attribute, parent: ast.AST | None, *, on_class: bool
    ) -> tuple[str, str] | None:
        if isinstance(node.ctx, ast.Store | ast.Del):
            return owner, refusal(owner, node.attr) or ""
        kind = kind_of(owner, node.attr)
        called = isinstance(parent, ast.Call) and parent.func is node
        not_called = kind in ("slot", "function") and not called
        reasons = (
            ("there is no such member", kind is None),
            (f"is a {kind} of Qt 5 that Qt 6 has not", missing_in_qt_6(owner, node.attr)),
            ("is a property of objects, not of the class", kind == "property" and on_class),
            ("is a property and cannot be called", kind == "property" and called),
            ("is a method and is not called", not_called and _is_a_value(node, parent)),
        )
        return owner, next((reason for reason, holds in reasons if holds), "")

    # Calls

    def _check_call(self, node: ast.Call, scope: Scope) -> None:
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("connect", "disconnect"):
            self._check_signal(node, node.func, scope)
        called = self._candidates(node.func, scope)
        if called and all(one.what == "method" for one in called):
            self._check_arguments(node, called, scope)
        elif called and all(one.what == "class" for one in called):
            for keyword in node.keywords:
                reasons = [refusal(one.name, keyword.arg) for one in called if keyword.arg]
                if reasons and all(reasons):
                    self._report(scope, node, called[0].name, str(keyword.arg), str(reasons[0]))

    def _check_signal(self, node: ast.Call, function: ast.Attribute, scope: Scope) -> None:
        signature = node.args[0] if node.args else None
        owners = self._candidates(function.value, scope)
        if not (isinstance(signature, ast.Constant) and isinstance(signature.value, str)) or not owners:
            return
        if any(one.what != "object" for one in owners):
            return
        if not any(has_signal(one.name, normalized(signature.value)) for one in owners):
            self._report(scope, node, owners[0].name, signature.value, "there is no such signal")

    def _check_arguments(self, node: ast.Call, called: list[Type], scope: Scope) -> None:
        one = called[0]
        if any(keyword.arg for keyword in node.keywords):
            self._report(scope, node, one.name, one.member, "methods of C++ take no keyword arguments")
        most = [most_arguments(other.name, other.member) for other in called]
        if any(isinstance(argument, ast.Starred) for argument in node.args) or min(most) < 0:
            return
        if len(node.args) > max(most):
            self._report(scope, node, one.name, one.member, f"takes at most {max(most)} arguments")

    def _check_import(self, node: ast.ImportFrom, scope: Scope) -> None:
        for alias in node.names:
            if node.module in ("qt", "ctk") and not is_api_class(node.module, alias.name):
                self._report(scope, node, node.module, alias.name, "there is no such class")


def _is_known(types: Types) -> bool:
    return bool(types) and not any(one.what == "unknown" for one in types)


def _is_a_value(node: ast.Attribute, parent: ast.AST | None) -> bool:
    """True where only the value of a property makes sense: in a condition, a comparison, a calculation, a text."""
    if isinstance(parent, ast.If | ast.While | ast.IfExp):
        return parent.test is node
    if isinstance(parent, ast.For):
        return parent.iter is node
    if isinstance(parent, ast.BoolOp):
        return parent.values[0] is node
    return isinstance(parent, _VALUE_PLACES)
