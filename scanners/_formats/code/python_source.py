"""Python source of a subject, read as a syntax tree: what it does, graded, and whether merely importing it does it.

Made from bytes; read by ``scanners.remote_code``. Nothing is compiled, imported or run. What a call reaches is data:
``tables/python_sinks.yaml``.

Source:
    Python language reference, ``ast``; CWE-94, CWE-78, CWE-506 for what the graded calls make possible.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections import Counter
from collections.abc import Iterator

from governance.evidence import Severity
from governance.subject import Noun
from scanners._formats.code.python_early import Function, is_main_guard, outside, run_on_import
from scanners._formats.code.python_loaded import BUILDING, BUILT_EFFECTS, unneeded_in
from scanners._formats.code.python_names import DECODERS, Names
from scanners._formats.code.python_sinks import KNOWN, Grade, Sink, grade_of, sinks
from scanners._formats.code.python_tame import leads_astray, tamed
from scanners._formats.code.scripts import read_script

_RUNNERS = (
    "eval",
    "exec",
    "compile",
    "marshal.loads",
    "pickle.loads",
    "__import__",
    "builtins.exec",
    "builtins.eval",
    "builtins.compile",
)
_IMPORTS = ("importlib.import_module", "__import__", "builtins.__import__", "importlib.__import__")
_OPENS = (
    "open",
    "io.open",
    "codecs.open",
    "builtins.open",
    "_io.open",
    "io.FileIO",
    "_io.FileIO",
    "zipfile.ZipFile",
    "tarfile.open",
)
#: Functions whose replacement switches a check off.
_CHECKS = ("ssl._create_default_https_context", "ssl.create_default_context", "builtins.__import__", "sys.excepthook", "sys.stdin")
#: Attributes that lead from a value to its classes, and keys under which a dictionary names what is to be called.
_UPWARD = ("__base__", "__bases__", "__mro__", "__class__", "mro")
_FACTORIES = ("()", "_target_", "class_path", "factory", "callable", "func", "entry_point")
#: Calls that run what they are given, now or later.
_HANDS_ON = (
    "map", "filter", "functools.partial", "functools.reduce", "atexit.register", "threading.Thread", "threading.Timer",
    "multiprocessing.Process", "sorted", "max", "min", "signal.signal", "weakref.finalize", "sys.addaudithook", "sys.settrace",
)  # fmt: skip
_OPAQUE = re.compile(r"[A-Za-z0-9+/=_\-\s]{600,}\Z|(?:[0-9a-fA-F]{2}){400,}\Z")
_SECRETS = re.compile(
    r"(?:^|[~/\\])\.(?:ssh|aws|kube|netrc|docker|gnupg|git-credentials|pypirc|npmrc)\b|"
    r"(?:^|[~/\\\\])\.(?:bashrc|bash_profile|profile|zshrc|zshenv|config/autostart)\b|LaunchAgents/|Start Menu|"
    r"huggingface/(?:token|stored_tokens)|/etc/(?:shadow|passwd)\b|169\.254\.169\.254|Login Data\b|wallet\.dat"
)
_LONGEST, _MOST_NODES, _MOST_SINKS = 4_000_000, 600_000, 500


class Source(Noun):
    """One file's review; ``problem`` says why there is none."""

    sinks: tuple[Sink, ...] = ()
    problem: str = ""


def review(text: str) -> Source:
    """Return what Python source does.

    Args:
        text: One file, decoded.

    Returns:
        Every graded call, in line order; a problem instead if it is no Python this parser reads.
    """
    if len(text) > _LONGEST:
        return Source(problem=f"{len(text)} characters of source are more than is reviewed")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text.removeprefix("\ufeff"))
        return _reviewed(tree)
    except (SyntaxError, ValueError) as error:
        return Source(problem=f"no Python that can be read: {str(error)[:160]}")
    except (RecursionError, MemoryError):
        return Source(problem="nested too deeply to be reviewed")


def _reviewed(tree: ast.Module) -> Source:
    if sum(1 for _ in ast.walk(tree)) > _MOST_NODES:
        return Source(problem=f"more than {_MOST_NODES:,} pieces of syntax are more than is reviewed")
    names = _named(tree)
    early = run_on_import(tree, names)
    found = list(_calls(tree, names, early, on_import=True))
    networked = any(s.what == "opens a network connection" for s in found)
    found += _texts(tree, networked)
    found += unneeded_in(tree, names)
    found += _when_built(tree, names, early)
    found.sort(key=lambda s: (s.line, s.name))
    return Source(sinks=tuple(found[:_MOST_SINKS]))


def _named(tree: ast.Module) -> Names:
    """Return what each name of the file stands for: imports first, then assignments, twice so that order does not matter."""
    names = Names()
    assigned = Counter(n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names.aliases[alias.asname or alias.name.split(".")[0]] = alias.name if alias.asname else alias.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                names.aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                if alias.name == "*":
                    names.aliases.update({n.rsplit(".", 1)[1]: n for n in sinks()[0] if n.rsplit(".", 1)[0] == node.module})
    local = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)} - set(names.aliases)
    names.aliases.update({name: f"<local>.{name}" for name in local})
    bound = [n for n in ast.walk(tree) if isinstance(n, ast.Assign | ast.NamedExpr | ast.AnnAssign) and n.value is not None]
    for _ in range(2):
        for node in bound:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name) and node.value is not None:
                    _bind(names, target.id, node.value, once=assigned[target.id] == 1)
    return names


def _bind(names: Names, name: str, value: ast.expr, *, once: bool) -> None:
    said = names.qualified(value)
    if said and said != name and (grade_of(said)[0] != "ordinary" or said in KNOWN or said in DECODERS):
        names.aliases[name] = said
    text = names.text(value) if once else ""
    if text:
        names.texts[name] = text
    if _decodes(value, names):
        names.decoded.add(name)


def _decodes(node: ast.AST, names: Names) -> bool:
    """Return whether an expression holds what a decoder gives, or joins characters made from numbers."""
    for sub in ast.walk(node):
        if isinstance(sub, ast.Name) and sub.id in names.decoded:
            return True
        if isinstance(sub, ast.Call) and (names.qualified(sub.func) in DECODERS or (
            isinstance(sub.func, ast.Attribute) and sub.func.attr == "join"
            and any(isinstance(c, ast.Name) and c.id == "chr" for c in ast.walk(sub))
        )):  # fmt: skip
            return True
    return False


def _calls(tree: ast.AST, names: Names, early: set[str], *, on_import: bool) -> Iterator[Sink]:
    """Walk a tree; bodies of functions run on import only if something there calls them."""
    waiting: list[tuple[ast.AST, bool]] = [(tree, on_import)]
    while waiting:
        node, now = waiting.pop()
        if isinstance(node, Function):
            inside = getattr(node, "name", "") in early
            outer = outside(node)
            waiting += [
                (c, now if c in outer else inside or (isinstance(node, ast.Lambda) and now)) for c in ast.iter_child_nodes(node)
            ]
            continue
        if isinstance(node, ast.If) and is_main_guard(node.test):
            waiting += [(c, False) for c in ast.iter_child_nodes(node)]
            continue
        if isinstance(node, ast.Call):
            yield from _call(node, names, on_import=now)
            if isinstance(node.func, ast.Name | ast.Attribute) and grade_of(names.qualified(node.func))[0] != "ordinary":
                waiting += [(c, now) for c in ast.iter_child_nodes(node) if c is not node.func]
                continue
        elif isinstance(node, ast.Attribute | ast.Name | ast.Subscript):
            yield from _held(node, names, now)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield from _decorated(node, names, now)
        elif isinstance(node, ast.Assign):
            yield from _patched(node, names, now)
        waiting += [(c, now) for c in ast.iter_child_nodes(node)]


def _when_built(tree: ast.Module, names: Names, early: set[str]) -> Iterator[Sink]:
    """Yield effects of building or calling a model, which a loader brings about: they count in code that it runs."""
    for sink in _calls(tree, names, early | BUILDING, on_import=True):
        if (
            sink.grade == "effect"
            and sink.on_import
            and sink.what in BUILT_EFFECTS
            and not sink.name.endswith(("mkdir", "makedirs"))
        ):
            yield sink.model_copy(update={"grade": "dangerous", "on_import": False, "loaded": True})


def _held(node: ast.Attribute | ast.Name | ast.Subscript, names: Names, now: bool) -> Iterator[Sink]:
    """Yield what acts when it is called, kept instead of called; and the way through an object to the interpreter's internals."""
    if isinstance(node, ast.Subscript):
        inner = node.value.func if isinstance(node.value, ast.Call) else node.value
        if isinstance(inner, ast.Attribute) and inner.attr in (
            "__subclasses__",
            "__globals__",
            "__mro__",
            "__bases__",
            "f_builtins",
        ):
            grade: Grade = "dangerous" if inner.attr in ("__subclasses__", "__globals__", "f_builtins") else "ordinary"
            if grade == "dangerous":
                yield Sink(
                    name=inner.attr, grade=grade, what="climbs to the interpreter's internals", line=node.lineno, on_import=now
                )
        return
    if isinstance(node, ast.Attribute) and _climbs(node):
        yield Sink(name=node.attr, grade="dangerous", what="climbs to the interpreter's internals", line=node.lineno, on_import=now)
    if isinstance(node.ctx, ast.Load):
        name = names.qualified(node)
        if name in ("__import__", "builtins.__import__"):
            yield Sink(name=name, grade="dangerous", what="keeps what imports by name", line=node.lineno, on_import=now)
        if name in sinks()[0] and grade_of(name)[0] == "dangerous" and name not in ("sh",):
            yield Sink(name=name, grade="dangerous", what=f"keeps what {grade_of(name)[1]}", line=node.lineno, on_import=now)


def _climbs(node: ast.Attribute) -> bool:
    """Return whether an attribute is reached from a plain value up to all classes, or into the names of a function's module."""
    owner = node.value.func if isinstance(node.value, ast.Call) else node.value
    owner = owner.value if isinstance(owner, ast.Subscript) else owner
    if node.attr == "__subclasses__":
        return (isinstance(owner, ast.Attribute) and owner.attr in _UPWARD) or (
            isinstance(owner, ast.Name) and owner.id == "object"
        )
    return (
        node.attr in ("get", "pop", "__getitem__", "items", "values")
        and isinstance(owner, ast.Attribute)
        and owner.attr == "__globals__"
    )


def _decorated(node: ast.FunctionDef | ast.ClassDef, names: Names, now: bool) -> Iterator[Sink]:
    for decorator in node.decorator_list:
        name = names.qualified(decorator)
        grade, what = grade_of(name)
        if grade == "dangerous":
            yield Sink(name=name, grade=grade, what=what, line=node.lineno, on_import=now)


def _call(node: ast.Call, names: Names, *, on_import: bool) -> Iterator[Sink]:
    name = names.qualified(node.func)
    grade, what = grade_of(name)
    given = [*node.args, *(k.value for k in node.keywords)]
    flagged = _flagged(node, name, names)
    if flagged is not None:
        yield Sink(name=(name or "call")[:120], grade=flagged[0], what=flagged[1], line=node.lineno, on_import=on_import)
        return
    if name in _HANDS_ON or (grade == "ordinary" and isinstance(node.func, ast.Call)):
        for argument in given:
            handed = names.qualified(argument) if isinstance(argument, ast.Name | ast.Attribute) else ""
            if grade_of(handed)[0] == "dangerous":
                yield Sink(
                    name=handed,
                    grade="dangerous",
                    what=f"hands on what {grade_of(handed)[1]}",
                    line=node.lineno,
                    on_import=on_import,
                )
    reached = _reached_by_call(node, name, names)
    if reached:
        yield Sink(name=reached[0], grade="dangerous", what=reached[1], line=node.lineno, on_import=on_import)
    grade, what = tamed(node, name, names, grade, what)
    if name in ("getattr", "object.__getattribute__") and len(node.args) > 1 and not names.text(node.args[1]):
        owner = names.qualified(node.args[0])
        decoded = _decodes(node.args[1], names)
        if owner in KNOWN or decoded or (on_import and owner in names.aliases.values()):
            grade, what = (
                "dangerous" if decoded else "effect",
                "reads an attribute named at run time",
            )
    if (
        grade == "ordinary"
        or (name in _OPENS and not _writes(node))
        or (name in _IMPORTS and node.args and names.text(node.args[0]))
    ):
        return
    hidden = name.removeprefix("builtins.") in _RUNNERS and any(_decodes(a, names) for a in given)
    if hidden:
        grade, what = "dangerous", f"{what}, decoded first so that it cannot be read"
    elif name.removeprefix("builtins.") in _RUNNERS and any(_fetches(a, names) for a in given):
        grade, hidden, what = "dangerous", True, f"{what} that it fetched first"
    elif what == "starts a shell or process" and given and (act := _commanded(names.text(given[0]))):
        hidden, what = True, f"{what}, which {act}"
    elif name in names.built and grade == "dangerous":
        hidden, what = True, f"{what}, by a name put together from pieces"
    yield Sink(name=name[:120], grade=grade, what=what, line=node.lineno, on_import=on_import, hidden=hidden)


def _fetches(node: ast.AST, names: Names) -> bool:
    """Return whether an expression holds a call that opens a connection."""
    calls = (c for c in ast.walk(node) if isinstance(c, ast.Call))
    return any(grade_of(names.qualified(c.func))[1] == "opens a network connection" for c in calls)


def _commanded(text: str) -> str:
    """Return what a constant command does that a script's reader would report; empty if nothing."""
    return next((a.words for a in read_script(text, "shell") if a.severity is Severity.HIGH), "") if text else ""


def _patched(node: ast.Assign, names: Names, now: bool) -> Iterator[Sink]:
    """Yield a function of a library that is replaced, and a setting of the environment that leads connections astray."""
    for target in node.targets:
        if isinstance(target, ast.Attribute):
            name = names.qualified(target)
            if name in sinks()[0] or name in _CHECKS:
                yield Sink(name=name, grade="effect", what="puts something else in place of", line=node.lineno, on_import=now)
        elif isinstance(target, ast.Subscript) and names.qualified(target.value) == "os.environ":
            why = leads_astray(names.text(target.slice), names.text(node.value))
            if why:
                yield Sink(name="os.environ", grade="effect", what=why, line=node.lineno, on_import=now)


def _reached_by_call(node: ast.Call, name: str, names: Names) -> tuple[str, str] | None:
    """Return what a call acts on by a name it is given as text: methodcaller, a chain of getattr, a factory in a dictionary."""
    made = node.func if isinstance(node.func, ast.Call) else None
    if made is not None and made.args and node.args and names.qualified(made.func) == "operator.methodcaller":
        target = f"{names.qualified(node.args[0])}.{names.text(made.args[0])}"
        if grade_of(target)[0] == "dangerous":
            return target, grade_of(target)[1]
    if name == "functools.reduce" and node.args and names.qualified(node.args[0]) in ("getattr", "builtins.getattr"):
        return "getattr", "follows a chain of names given as text"
    if isinstance(node.func, ast.Attribute) and node.func.attr in ("load_extension", "enable_load_extension"):
        return node.func.attr, "loads a native library"
    for given in (*node.args, *(k.value for k in node.keywords)):
        for inner in ast.walk(given) if isinstance(given, ast.Dict) else ():
            for key, value in zip(inner.keys, inner.values, strict=True) if isinstance(inner, ast.Dict) else ():
                said = names.text(value) if isinstance(key, ast.Constant) and key.value in _FACTORIES else ""
                if grade_of(said)[0] == "dangerous":
                    return said, f"hands on, as text, what {grade_of(said)[1]}"
    return None


def _flagged(node: ast.Call, name: str, names: Names) -> tuple[Grade, str] | None:
    """Return what a call is because of one argument: unpickling allowed, another repository trusted, an unsafe YAML reader."""
    last = name.rsplit(".", 1)[-1] if name else getattr(node.func, "attr", "")
    for key in node.keywords:
        value = key.value.value if isinstance(key.value, ast.Constant) else None
        if key.arg == "allow_pickle" and value is True and last == "load":
            return "dangerous", "allows unpickling"
        if key.arg == "weights_only" and value is False:
            return "dangerous", "unpickles without limits"
        if key.arg == "trust_remote_code" and value is True:
            return "dangerous", "trusts the code of another repository"
        if name == "yaml.load" and key.arg == "Loader" and "Safe" not in names.qualified(key.value):
            return "dangerous", "builds objects YAML names"
    return None


def _texts(tree: ast.Module, networked: bool) -> Iterator[Sink]:
    """Yield long runs of encoded text, and places of secrets in code that also connects."""
    docs = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str | bytes) or id(node) in docs:
            continue
        value = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
        if len(value) >= 600 and " " not in value and _OPAQUE.match(value[:20_000]):
            yield Sink(name="encoded text", grade="effect", what="holds a long encoded block", line=node.lineno, on_import=False)
        elif len(value) < 500 and _SECRETS.search(value):
            grade: Grade = "dangerous" if networked else "effect"
            yield Sink(
                name="a secret's place",
                grade=grade,
                what="names a place of secrets or of start-up programs",
                line=node.lineno,
                on_import=True,
            )


def _writes(node: ast.Call) -> bool:
    mode = node.args[1] if len(node.args) > 1 else next((k.value for k in node.keywords if k.arg == "mode"), None)
    return mode is not None and not (isinstance(mode, ast.Constant) and not set(str(mode.value)) & set("wax+"))
