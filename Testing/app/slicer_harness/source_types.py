"""Which classes of Qt and Slicer the objects in source files are of, found without running them.

An expression's types are inferred from constructors (`qt.QTimer()`), from what functions return, from the attributes
that a class sets, and from the arguments that a function is called with. What cannot be told is `UNKNOWN`, and one
unknown source makes a whole expression unknown: nothing is claimed about it.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, get_args

from .api_facts import API_MODULES, RETURNS, is_api_class, kind_of, property_type
from .pythonqt import dress, get_signature

# What parameters are called that no call in the sources shows the argument of: the application calls those functions.
CONVENTIONS = {
    "host": "qSlicerSegmentEditorScriptedEffect",
    "scriptedEffect": "qSlicerSegmentEditorScriptedEffect",
    "view_widget": "qMRMLSliceWidget",
    "viewWidget": "qMRMLSliceWidget",
}
# What our classes have from the application's base classes in Python.
INHERITED = {"scriptedEffect": "qSlicerSegmentEditorScriptedEffect", "layout": "QVBoxLayout"}
# What C++ returns as one of these arrives in Python as the class that it is.
_MORE_IS_KNOWN = frozenset({"QObject", "QWidget", "QLayout", "QLayoutItem", "QEvent", "QAbstractItemModel", "QStyle"})
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
Scoped = FunctionNode | ast.Lambda


class Type(NamedTuple):
    """One possibility of what an expression is."""

    what: str
    """"object" or "class" of the application, "module", "method", "signal", "enum"; "instance" or "type" of a class in
    the sources, "function", "bound" (a method of the sources), "sequence", "mapping", "unknown"."""
    name: str = ""
    member: str = ""
    of: Any = None


Types = frozenset[Type]
UNKNOWN = Type("unknown")
NOTHING: Types = frozenset()
ANY: Types = frozenset({UNKNOWN})


@dataclass(eq=False)
class Scope:
    """A module, class, function or lambda with the names bound in it."""

    node: Any
    parent: Scope | None
    module: Module
    owner: ClassInfo | None = None
    names: dict[str, list[tuple[str, Any]]] = field(default_factory=dict)


@dataclass(eq=False)
class ClassInfo:
    """A class of the sources."""

    node: ast.ClassDef
    scope: Scope
    methods: dict[str, FunctionNode] = field(default_factory=dict)
    attributes: dict[str, list[tuple[ast.expr | None, ast.expr | None, Scope]]] = field(default_factory=dict)
    """Name to (annotation, value, scope) of each place that sets it."""


@dataclass(eq=False)
class Module:
    """One source file."""

    path: Path
    dotted: str
    tree: ast.Module
    scope: Any = None


class Sources:
    """Source files that import each other. `root` is the folder that dotted names start from."""

    def __init__(self, root: Path, paths: Iterable[Path]) -> None:
        self.modules: dict[str, Module] = {}
        self.scope_of: dict[int, Scope] = {}
        self.scopes: list[Scope] = []
        self.classes: dict[int, ClassInfo] = {}
        self._calls: dict[int, list[tuple[ast.Call, Scope, bool]]] = {}
        self._cache: dict[tuple[int, str], Types] = {}
        self._running: dict[tuple[int, str], int] = {}
        self._outermost_cycle = 0
        for path in sorted(paths):
            parts = path.resolve().relative_to(root.resolve()).with_suffix("").parts
            dotted = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            module = Module(path, dotted, ast.parse(path.read_text(encoding="utf-8"), filename=str(path)))
            self.modules[dotted] = module
            _Binder(self, module)
        # Arguments tell the types of parameters, and those which functions are called: three rounds reach far enough.
        for _ in range(3):
            self._calls = self._find_calls()
            self._cache.clear()

    def _find_calls(self) -> dict[int, list[tuple[ast.Call, Scope, bool]]]:
        calls: dict[int, list[tuple[ast.Call, Scope, bool]]] = {}
        for scope in self.scopes:
            for node in own_nodes(scope):
                if isinstance(node, ast.Call):
                    for target in self.types(node.func, scope):
                        for function, bound in self._called(target):
                            calls.setdefault(id(function), []).append((node, scope, bound))
        return calls

    def _called(self, target: Type) -> Iterator[tuple[Scoped, bool]]:
        if target.what in ("function", "bound"):
            yield target.of, target.what == "bound"
        elif target.what == "type":
            found = self.method(target.of, "__init__")
            if found is not None:
                yield found, True

    # Types of expressions

    def types(self, node: ast.expr | None, scope: Scope) -> Types:
        """What an expression can be; no types at all for None and for plain values."""
        if node is None:
            return ANY
        return self._once((id(node), "expression"), lambda: self._infer(node, scope))

    def _once(self, key: tuple[int, str], find: Callable[[], Types]) -> Types:
        """Find types and remember them. What depends on itself gets nothing from there, and is kept when whole."""
        if key in self._cache:
            return self._cache[key]
        depth = len(self._running)
        if key in self._running:
            self._outermost_cycle = min(self._outermost_cycle, self._running[key])
            return NOTHING
        self._running[key] = depth
        before, self._outermost_cycle = self._outermost_cycle, depth
        found = find()
        del self._running[key]
        if self._outermost_cycle >= depth:
            self._cache[key] = found
        self._outermost_cycle = min(before, self._outermost_cycle)
        return found

    def _infer(self, node: ast.expr, scope: Scope) -> Types:
        method = getattr(self, f"_infer_{type(node).__name__.lower()}", None)
        return method(node, scope) if method is not None else ANY

    def _infer_constant(self, _node: ast.Constant, _scope: Scope) -> Types:
        return NOTHING

    def _infer_joinedstr(self, _node: ast.JoinedStr, _scope: Scope) -> Types:
        return NOTHING

    def _infer_compare(self, _node: ast.Compare, _scope: Scope) -> Types:
        return NOTHING

    def _infer_name(self, node: ast.Name, scope: Scope) -> Types:
        return self.name(node.id, scope)

    def _infer_ifexp(self, node: ast.IfExp, scope: Scope) -> Types:
        return self.types(node.body, scope) | self.types(node.orelse, scope)

    def _infer_boolop(self, node: ast.BoolOp, scope: Scope) -> Types:
        return _union(self.types(value, scope) for value in node.values)

    def _infer_namedexpr(self, node: ast.NamedExpr, scope: Scope) -> Types:
        return self.types(node.value, scope)

    def _infer_list(self, node: ast.List | ast.Tuple | ast.Set, scope: Scope) -> Types:
        return frozenset({Type("sequence", of=_union(self.types(element, scope) for element in node.elts))})

    _infer_tuple = _infer_set = _infer_list

    def _infer_listcomp(self, node: ast.ListComp | ast.GeneratorExp | ast.SetComp, scope: Scope) -> Types:
        return frozenset({Type("sequence", of=self.types(node.elt, scope))})

    _infer_generatorexp = _infer_setcomp = _infer_listcomp

    def _infer_dict(self, node: ast.Dict, scope: Scope) -> Types:
        return frozenset({Type("mapping", of=_union(self.types(value, scope) for value in node.values))})

    def _infer_dictcomp(self, node: ast.DictComp, scope: Scope) -> Types:
        return frozenset({Type("mapping", of=self.types(node.value, scope))})

    def _infer_subscript(self, node: ast.Subscript, scope: Scope) -> Types:
        found = [one.of if one.what in ("sequence", "mapping") else ANY for one in self.types(node.value, scope)]
        return _union(found)

    def _infer_lambda(self, node: ast.Lambda, _scope: Scope) -> Types:
        return frozenset({Type("function", of=node)})

    def _infer_attribute(self, node: ast.Attribute, scope: Scope) -> Types:
        return _union(self.attribute(one, node.attr) for one in self.types(node.value, scope))

    def _infer_call(self, node: ast.Call, scope: Scope) -> Types:
        if isinstance(node.func, ast.Name) and node.func.id == "super" and scope.owner is not None:
            return frozenset({Type("instance", of=scope.owner)})
        return _union(self._result(one, node, scope) for one in self.types(node.func, scope))

    def _result(self, called: Type, node: ast.Call, scope: Scope) -> Types:
        if called.what == "class":
            return frozenset({Type("object", called.name)})
        if called.what == "type":
            return frozenset({Type("instance", of=called.of)})
        if called.what == "method":
            return _return_of(called.name, called.member)
        if called.what in ("function", "bound"):
            return self.returned(called.of)
        return _result_of_container(called) if called.what in ("sequence", "mapping") else ANY

    # Attributes

    def attribute(self, owner: Type, name: str) -> Types:
        """What an attribute of one possible owner is."""
        if owner.what == "module":
            return self._of_module(owner.name, name)
        if owner.what in ("object", "class"):
            return _of_api(owner, name)
        if owner.what == "instance":
            return self._of_instance(owner.of, name)
        if owner.what == "type":
            found = self.method(owner.of, name)
            return frozenset({Type("function", of=found)}) if found is not None else self._of_instance(owner.of, name)
        if owner.what in ("sequence", "mapping"):
            return frozenset({Type(owner.what, member=name, of=owner.of)})
        return ANY

    def _of_module(self, module: str, name: str) -> Types:
        dotted = f"{module}.{name}"
        if dotted in RETURNS:
            return frozenset({Type("object", RETURNS[dotted])})
        if dotted in self.modules:
            return frozenset({Type("module", dotted)})
        if module in self.modules:
            return self.name(name, self.modules[module].scope)
        if dotted in API_MODULES or module == "slicer.modules":
            return frozenset({Type("module", dotted)})
        return frozenset({Type("class", name)}) if module in API_MODULES and is_api_class(module, name) else ANY

    def _of_instance(self, cls: ClassInfo, name: str) -> Types:
        function = self.method(cls, name)
        if function is not None:
            decorators = set(_decorators(function))
            if decorators & {"property", "cached_property"}:
                return self.returned(function)
            return frozenset({Type("function" if "staticmethod" in decorators else "bound", of=function)})
        for one in self.bases(cls):
            if isinstance(one, ClassInfo) and name in one.attributes:
                return _union(self._value(*place) for place in one.attributes[name])
        api = self.api_base(cls)
        if api is not None:
            return _of_api(Type("object", api), name)
        return frozenset({Type("object", INHERITED[name])}) if name in INHERITED else ANY

    def _value(self, annotation: ast.expr | None, value: ast.expr | None, scope: Scope) -> Types:
        declared = self.annotated(annotation, scope)
        if declared != ANY:
            return declared
        return self.types(value, scope) if value is not None else (ANY if annotation is None else NOTHING)

    def bases(self, cls: ClassInfo) -> Iterator[ClassInfo | str]:
        """The class, its bases in the sources, and the names of its bases in the application."""
        yield cls
        for base in cls.node.bases:
            for one in self.types(base, cls.scope):
                if one.what == "type":
                    yield from self.bases(one.of)
                elif one.what == "class":
                    yield one.name

    def api_base(self, cls: ClassInfo) -> str | None:
        """The class of the application that a class of the sources derives from."""
        return next((base for base in self.bases(cls) if isinstance(base, str)), None)

    def method(self, cls: ClassInfo, name: str) -> FunctionNode | None:
        for one in self.bases(cls):
            if isinstance(one, ClassInfo) and name in one.methods:
                return one.methods[name]
        return None

    # Names, annotations, results

    def name(self, name: str, scope: Scope | None) -> Types:
        """What a name stands for in a scope; classes do not lend their names to their methods."""
        current = scope
        while current is not None:
            if name in current.names and (current is scope or not isinstance(current.node, ast.ClassDef)):
                return self._once((id(current), name), functools.partial(self._bindings, name, current))
            current = current.parent
        return ANY

    def _bindings(self, name: str, scope: Scope) -> Types:
        return _union(self._bound(kind, what, name, scope) for kind, what in scope.names[name])

    def _bound(self, kind: str, what: Any, name: str, scope: Scope) -> Types:
        """What one of the bindings of a name gives."""
        find = {
            "value": lambda: self.types(what, scope),
            "annotated": lambda: self._value(what[0], what[1], scope),
            "element": lambda: self._parts("sequence", what, scope),
            "item": lambda: self._parts("items", what, scope),
            "parameter": lambda: self._parameter(scope.node, name, what, scope),
            "function": lambda: frozenset({Type("function", of=what)}),
            "class": lambda: frozenset({Type("type", of=self.classes[id(what)])}),
            "module": lambda: frozenset({Type("module", what)}) if what in (*API_MODULES, *self.modules) else ANY,
            "from": lambda: self.attribute(Type("module", what[0]), what[1]),
        }.get(kind)
        return find() if find is not None else ANY

    def _parts(self, what: str, container: ast.expr, scope: Scope) -> Types:
        return _union(one.of if one.what == what else ANY for one in self.types(container, scope))

    def _parameter(self, function: Scoped, name: str, argument: ast.arg, scope: Scope) -> Types:
        names = [one.arg for one in (*function.args.posonlyargs, *function.args.args)]
        if scope.owner is not None and names[:1] == [name] and name == "self":
            return frozenset({Type("instance", of=scope.owner)})
        declared = self.annotated(argument.annotation, scope)
        if declared != ANY:
            return declared
        found: list[Types] = []
        for call, where, bound in self._calls.get(id(function), ()):
            position = names.index(name) - bound if name in names else -1
            plain = not any(isinstance(one, ast.Starred) for one in call.args)
            keyword = next((one.value for one in call.keywords if one.arg == name), None)
            if keyword is not None:
                found.append(self.types(keyword, where))
            elif not plain:
                found.append(ANY)
            elif 0 <= position < len(call.args):
                found.append(self.types(call.args[position], where))
        types = _union(found) if found else ANY
        if types <= ANY and name in CONVENTIONS:
            return frozenset({Type("object", CONVENTIONS[name])})
        return types

    def annotated(self, annotation: ast.expr | None, scope: Scope) -> Types:
        """The types that an annotation names; unknown for Any and for what is neither ours nor the application's."""
        if annotation is None:
            return ANY
        if isinstance(annotation, ast.Constant):
            return NOTHING if annotation.value is None else ANY
        if isinstance(annotation, ast.BinOp):
            return self.annotated(annotation.left, scope) | self.annotated(annotation.right, scope)
        if isinstance(annotation, ast.Name | ast.Attribute):
            found = self.types(annotation, scope)
            return _union(
                frozenset({Type("instance", of=one.of)})
                if one.what == "type"
                else frozenset({Type("object", one.name)})
                if one.what == "class"
                else ANY
                for one in found
            )
        return ANY

    def returned(self, function: Scoped) -> Types:
        """What a call of a function of the sources gives."""
        return self._once((id(function), "result"), lambda: self._returned(function))

    def _returned(self, function: Scoped) -> Types:
        scope = self.scope_of[id(function)]
        if isinstance(function, ast.Lambda):
            return self.types(function.body, scope)
        declared = self.annotated(function.returns, scope)
        if declared != ANY:
            return declared
        nodes = list(own_nodes(scope))
        if any(isinstance(node, ast.Yield | ast.YieldFrom) for node in nodes) or _decorated_oddly(function):
            return ANY
        return _union(self.types(node.value, scope) for node in nodes if isinstance(node, ast.Return) and node.value)


class _Binder(ast.NodeVisitor):
    """Finds the scopes of one file and what each of their names is bound to."""

    def __init__(self, sources: Sources, module: Module) -> None:
        self.sources, self.module = sources, module
        self.scope = Scope(module.tree, None, module)
        module.scope = self.scope
        self.owner: ClassInfo | None = None
        sources.scopes.append(self.scope)
        sources.scope_of[id(module.tree)] = self.scope
        self.generic_visit(module.tree)

    def _bind(self, name: str, kind: str, what: Any) -> None:
        self.scope.names.setdefault(name, []).append((kind, what))

    def _inside(self, node: Any, owner: ClassInfo | None) -> Scope:
        scope = Scope(node, self.scope, self.module, owner)
        self.sources.scopes.append(scope)
        self.sources.scope_of[id(node)] = scope
        return scope

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._bind(node.name, "class", node)
        info = ClassInfo(node, self.scope)
        self.sources.classes[id(node)] = info
        before = self.scope, self.owner
        self.scope, self.owner = self._inside(node, None), info
        for statement in node.body:
            if isinstance(statement, FunctionNode):
                info.methods[statement.name] = statement
            elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                place = (statement.annotation, statement.value, self.scope)
                info.attributes.setdefault(statement.target.id, []).append(place)
            elif isinstance(statement, ast.Assign):
                for target in statement.targets:
                    if isinstance(target, ast.Name):
                        info.attributes.setdefault(target.id, []).append((None, statement.value, self.scope))
            self.visit(statement)
        self.scope, self.owner = before

    def _function(self, node: Any) -> None:
        before = self.scope, self.owner
        owner = self.owner
        self.scope = self._inside(node, owner)
        arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        for argument in arguments:
            self._bind(argument.arg, "parameter", argument)
        for argument in (node.args.vararg, node.args.kwarg):
            if argument is not None:
                self._bind(argument.arg, "unknown", None)
        for statement in node.body if isinstance(node.body, list) else [node.body]:
            self.visit(statement)
        self.scope, self.owner = before

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if not isinstance(self.scope.node, ast.ClassDef):
            self._bind(node.name, "function", node)
        for expression in (*node.decorator_list, *node.args.defaults):
            self.visit(expression)
        self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)  # type: ignore[arg-type]

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._function(node)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            name = alias.asname or alias.name.split(".")[0]
            self._bind(name, "module", alias.name if alias.asname else name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        package = self.module.dotted.split(".")
        if node.level:
            is_package = self.module.path.name == "__init__.py"
            package = package[: len(package) - node.level + is_package]
        source = ".".join([*(package if node.level else []), *([node.module] if node.module else [])])
        for alias in node.names:
            self._bind(alias.asname or alias.name, "from", (source, alias.name))

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            self._assigned(target, "value", node.value)
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if isinstance(node.target, ast.Name):
            self._bind(node.target.id, "annotated", (node.annotation, node.value))
        elif node.value is not None:
            self._attribute(node.target, node.annotation, node.value)
        self.generic_visit(node)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self._bind(node.target.id, "value", node.value)
        self.generic_visit(node)

    def visit_For(self, node: ast.For) -> None:
        self._assigned(node.target, "element", node.iter)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        self._assigned(node.target, "element", node.iter)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        """What is appended to a list is one of its elements."""
        if isinstance(node.func, ast.Attribute) and node.func.attr == "append" and len(node.args) == 1:
            self._assigned(node.func.value, "value", ast.List(elts=[node.args[0]], ctx=ast.Load()))
        self.generic_visit(node)

    def visit_With(self, node: ast.With) -> None:
        for item in node.items:
            if item.optional_vars is not None:
                self._assigned(item.optional_vars, "unknown", None)
        self.generic_visit(node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.name:
            self._bind(node.name, "unknown", None)
        self.generic_visit(node)

    def _assigned(self, target: ast.expr, kind: str, value: Any) -> None:
        if isinstance(target, ast.Name):
            self._bind(target.id, kind, value)
        elif isinstance(target, ast.Tuple | ast.List):
            values = value.elts if kind == "value" and isinstance(value, ast.Tuple | ast.List) else None
            pairs = len(values) == len(target.elts) if values is not None else False
            starred = any(isinstance(one, ast.Starred) for one in (*target.elts, *(values or ())))
            for number, element in enumerate(target.elts):
                if pairs and not starred:
                    self._assigned(element, "value", values[number])
                elif kind == "element" and number == 1 and len(target.elts) == 2:
                    self._assigned(element, "item", value)
                else:
                    self._assigned(element.value if isinstance(element, ast.Starred) else element, "unknown", None)
        elif isinstance(target, ast.Attribute):
            self._attribute(target, None, value if kind == "value" else None)

    def _attribute(self, target: ast.expr, annotation: ast.expr | None, value: ast.expr | None) -> None:
        own = isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self"
        if own and self.owner is not None:
            self.owner.attributes.setdefault(target.attr, []).append((annotation, value, self.scope))


def own_nodes(scope: Scope) -> Iterator[Any]:
    """The nodes of a scope without those of the functions, lambdas and classes inside it."""
    body = scope.node.body if isinstance(scope.node.body, list) else [scope.node.body]
    pending = list(body)
    while pending:
        node = pending.pop()
        yield node
        if isinstance(node, FunctionNode):
            pending += [*node.decorator_list, *node.args.defaults]
        elif not isinstance(node, ast.Lambda | ast.ClassDef):
            pending += list(ast.iter_child_nodes(node))


def _union(many: Iterable[Types]) -> Types:
    found: set[Type] = set()
    for types in many:
        found |= types
    return frozenset(found)


def _result_of_container(called: Type) -> Types:
    if called.member in ("get", "pop"):
        return called.of
    if called.member in ("values", "copy"):
        return frozenset({Type("sequence", of=called.of)})
    return frozenset({Type("items", of=called.of)}) if called.member == "items" else ANY


def _decorators(function: FunctionNode) -> list[str]:
    return [one.attr if isinstance(one, ast.Attribute) else getattr(one, "id", "") for one in function.decorator_list]


def _decorated_oddly(function: FunctionNode) -> bool:
    return not set(_decorators(function)) <= {"property", "cached_property", "staticmethod", "classmethod", "cache"}


def _of_api(owner: Type, name: str) -> Types:
    kind = kind_of(owner.name, name)
    if kind in ("slot", "function"):
        return frozenset({Type("method", owner.name, name)})
    if kind == "signal" or (kind == "enum" and owner.what == "class"):
        return frozenset({Type("signal" if kind == "signal" else "enum", owner.name, name)})
    if kind == "property" and owner.what == "object":
        type_name = property_type(owner.name, name)
        return frozenset({Type("object", type_name)}) if type_name else NOTHING
    return NOTHING if kind == "enum value" else ANY


def _return_of(cls: str, method: str) -> Types:
    """What a method of the application gives: by the table, else by PySide6's signatures."""
    if f"{cls}.{method}" in RETURNS:
        return frozenset({Type("object", RETURNS[f"{cls}.{method}"])})
    function = getattr(getattr(dress(), cls, None), method, None)
    signatures: Any = get_signature(function) if function is not None else None
    if signatures is None:
        return ANY
    results = [one.return_annotation for one in (signatures if isinstance(signatures, list) else [signatures])]
    return _union(_named_class(result) for result in results)


def _named_class(annotation: Any) -> Types:
    if annotation is None or annotation is type(None) or annotation in (bool, int, float, str):
        return NOTHING
    arguments = get_args(annotation)
    if arguments and type(None) in arguments:
        return _union(_named_class(one) for one in arguments)
    name = getattr(annotation, "__name__", "")
    return frozenset({Type("object", name)}) if is_api_class("qt", name) and name not in _MORE_IS_KNOWN else ANY
