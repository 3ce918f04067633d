"""What names and texts in Python source stand for, worked out from the source alone: aliases, attribute tricks, assembled text.

Read by ``code.python_source``. Nothing is evaluated: constants are folded by the few rules below, under ceilings.

Source:
    Python language reference, sections 6 and 7.11; ``ast``.
"""

from __future__ import annotations

import ast
import base64
import binascii
import codecs
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

_LONGEST = 100_000
_DEEPEST = 200
#: Calls that turn opaque data into readable data.
DECODERS = frozenset(
    [
        "base64.b64decode",
        "base64.b85decode",
        "base64.b32decode",
        "base64.b16decode",
        "base64.a85decode",
        "base64.standard_b64decode",
        "base64.urlsafe_b64decode",
        "base64.decodebytes",
        "base64.decodestring",
        "base64.z85decode",
        "bytes.fromhex",
        "bytearray.fromhex",
        "binascii.unhexlify",
        "binascii.a2b_base64",
        "binascii.a2b_hex",
        "binascii.a2b_uu",
        "codecs.decode",
        "zlib.decompress",
        "gzip.decompress",
        "bz2.decompress",
        "lzma.decompress",
        "zlib.decompressobj",
        "marshal.loads",
        "quopri.decodestring",
        "uu.decode",
        "cryptography.fernet.Fernet",
        "Crypto.Cipher.AES.new",
        "urllib.parse.unquote",
        "operator.xor",
    ]
)
_OPEN = ("getattr", "builtins.getattr", "object.__getattribute__", "operator.attrgetter", "inspect.getattr_static", "hasattr")
_IMPORTS = (
    "importlib.import_module",
    "__import__",
    "builtins.__import__",
    "importlib.__import__",
    "pkgutil.resolve_name",
    "pydoc.locate",
)
_SPACES = ("globals", "locals", "vars")


@dataclass
class Names:
    """What each name of a file stands for.

    Attributes:
        aliases: Name → qualified name: ``sp`` → ``subprocess``.
        texts: Name → the one text it is ever given.
        decoded: Names that hold what a decoder returned, or call one.
        built: Qualified names that were only reached by assembling text; evidence of hiding.
    """

    aliases: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    decoded: set[str] = field(default_factory=set)
    built: set[str] = field(default_factory=set)
    _named: dict[int, str] = field(default_factory=dict)
    _made_of: dict[int, str | bytes | None] = field(default_factory=dict)

    def qualified(self, node: ast.expr, depth: int = 0) -> str:
        """Return the dotted name of an expression; empty if it cannot be told from the source."""
        if depth > _DEEPEST:
            return ""
        if depth == 0:
            self._named.clear()
            self._made_of.clear()
        if id(node) not in self._named:
            self._named[id(node)] = self._qualified(node, depth)
        return self._named[id(node)]

    def _qualified(self, node: ast.expr, depth: int) -> str:
        match node:
            case ast.Name(id=name):
                return self.aliases.get(name, name)
            case ast.Attribute(value=value, attr=attr):
                return self._member(self.qualified(value, depth + 1), attr)
            case ast.Call(func=func, args=args):
                return self._returned(self.qualified(func, depth + 1), func, args, depth)
            case ast.Subscript(value=value, slice=index):
                return self._item(self.qualified(value, depth + 1), index, depth)
            case ast.NamedExpr(value=value):
                return self.qualified(value, depth + 1)
            case _:
                return ""

    def text(self, node: ast.expr, depth: int = 0) -> str:
        """Return the text an expression always has, put together from parts if need be; empty if it has none."""
        if depth == 0:
            self._named.clear()
            self._made_of.clear()
        found = self._folded(node, depth + 1)
        return found.decode("latin-1") if isinstance(found, bytes) else found or ""

    def _member(self, owner: str, attr: str) -> str:
        if not owner:
            return ""
        if attr != "__dict__" and owner in ("__builtins__", "builtins"):
            return attr
        return owner if attr in ("__dict__", "__call__", "__func__", "__wrapped__", "func") else f"{owner}.{attr}"

    def _returned(self, said: str, func: ast.expr, args: list[ast.expr], depth: int) -> str:
        """Return what a call gives, for the calls that give names."""
        if said in _IMPORTS and args:
            named = self.text(args[0], depth + 1)
            return self._note(named, args[0])
        if said in _OPEN[:3] and len(args) > 1:
            name = self.text(args[1], depth + 1)
            return self._note(self._member(self.qualified(args[0], depth + 1), name), args[1]) if name else ""
        if isinstance(func, ast.Call) and self.qualified(func.func, depth + 1) == "operator.attrgetter" and args and func.args:
            name = self.text(func.args[0], depth + 1)
            return self._note(self._member(self.qualified(args[0], depth + 1), name), func.args[0]) if name else ""
        if said.endswith((".__getattribute__", ".__getitem__", ".get", ".pop")) and args:
            owner, name = said.rsplit(".", 1)[0], self.text(args[0], depth + 1)
            known = owner in ("builtins", "sys.modules", *_SPACES) or owner.startswith(("os", "sys", "subprocess", "builtins"))
            return self._note(self._lookup(owner, name), args[0]) if name and known else ""
        if said in _SPACES:
            return self.qualified(args[0], depth + 1) if args else said
        if said in ("functools.partial", "staticmethod", "classmethod", "functools.wraps") and args:
            return self.qualified(args[0], depth + 1)
        if said.rsplit(".", 1)[-1] in ("Path", "PurePath") and said.startswith("pathlib"):
            return "pathlib.Path"
        return ""

    def _item(self, owner: str, index: ast.expr, depth: int) -> str:
        name = self.text(index, depth + 1)
        return self._note(self._lookup(owner, name), index) if owner and name and name.replace(".", "_").isidentifier() else ""

    def _lookup(self, owner: str, name: str) -> str:
        if owner in ("sys.modules", *_SPACES):
            return "builtins" if name == "__builtins__" else self.aliases.get(name, name)
        return self._member(owner, name)

    def _note(self, name: str, source: ast.expr) -> str:
        if name and not isinstance(source, ast.Constant | ast.Name):
            self.built.add(name)
        return name

    def _folded(self, node: ast.expr, depth: int) -> str | bytes | None:
        if depth > _DEEPEST:
            return None
        if id(node) not in self._made_of:
            self._made_of[id(node)] = self._fold(node, depth)
        return self._made_of[id(node)]

    def _fold(self, node: ast.expr, depth: int) -> str | bytes | None:
        match node:
            case ast.Constant(value=str(value) | bytes(value)):
                return value
            case ast.Name(id=name):
                return self.texts.get(name)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                first, second = self._folded(left, depth + 1), self._folded(right, depth + 1)
                if isinstance(first, str) and isinstance(second, str):
                    return (first + second)[:_LONGEST]
                return (first + second)[:_LONGEST] if isinstance(first, bytes) and isinstance(second, bytes) else None
            case ast.BinOp(left=left, op=ast.Mod(), right=right):
                form, parts = self._folded(left, depth + 1), right.elts if isinstance(right, ast.Tuple) else [right]
                texts = [self.text(p, depth + 1) for p in parts]
                plain = isinstance(form, str) and form.count("%s") == form.count("%") == len(texts) and all(texts)
                return form % tuple(texts) if isinstance(form, str) and plain else None
            case ast.JoinedStr(values=values):
                inner = [self.text(v.value if isinstance(v, ast.FormattedValue) else v, depth + 1) for v in values]
                return "".join(inner)[:_LONGEST] if all(inner) else None
            case ast.Subscript(value=value, slice=ast.Slice(lower=None, upper=None, step=ast.UnaryOp(op=ast.USub()))):
                found = self._folded(value, depth + 1)
                return found[::-1] if found else None
            case ast.Call(func=func, args=args):
                return self._made(func, args, depth)
            case _:
                return None

    def _made(self, func: ast.expr, args: list[ast.expr], depth: int) -> str | bytes | None:
        """Return the text a call gives, for calls whose result is certain."""
        if isinstance(func, ast.Attribute):
            whole = self._method(func, args, depth)
            if whole is not None:
                return whole
        name = self.qualified(func, depth + 1)
        if name == "chr" and args:
            code = _number(args[0])
            return chr(code) if code is not None and 0 <= code < 0x110000 else None
        if name in ("bytes", "bytearray") and args:
            codes = _numbers(args[0])
            return bytes(codes) if codes and all(0 <= c < 256 for c in codes) else self._folded(args[0], depth + 1)
        if name == "str" and args:
            return self._folded(args[0], depth + 1)
        decode = _DECODE.get(name)
        given = self._folded(args[0], depth + 1) if decode and args else None
        if decode is None or given is None:
            return None
        try:
            return decode(given.encode("latin-1") if isinstance(given, str) else given)[:_LONGEST]
        except (ValueError, binascii.Error, zlib.error, UnicodeError, EOFError, OSError):
            return None

    def _method(self, func: ast.Attribute, args: list[ast.expr], depth: int) -> str | bytes | None:
        owner = self._folded(func.value, depth + 1)
        match func.attr, owner:
            case "join", str(glue) if args:
                parts = args[0].elts if isinstance(args[0], ast.List | ast.Tuple) else None
                if parts is None:
                    codes = _comprehended(args[0])
                    return glue.join(map(chr, codes)) if codes else None
                texts = [self.text(p, depth + 1) for p in parts[:_LONGEST]]
                return glue.join(texts) if texts and all(texts) else None
            case "replace", str(text) if len(args) > 1:
                old = self.text(args[0], depth + 1)
                return text.replace(old, self.text(args[1], depth + 1))[:_LONGEST] if old else None
            case (("lower" | "upper" | "strip" | "swapcase" | "title"), str(text)) if not args:
                return str(getattr(text, func.attr)())
            case "decode", bytes(data):
                encoding = self.text(args[0], depth + 1) if args else "utf-8"
                return data.decode("utf-8" if encoding in ("utf-8", "utf8", "") else "latin-1", "replace")
            case "encode", str(text):
                return text.encode("utf-8", "replace")
            case _:
                return None


def _number(node: ast.expr) -> int | None:
    match node:
        case ast.Constant(value=int(value)) if not isinstance(value, bool):
            return value
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.BitXor() as op, right=right):
            a, b = _number(left), _number(right)
            if a is None or b is None or max(abs(a), abs(b)) > 1 << 32:
                return None
            return a + b if isinstance(op, ast.Add) else a - b if isinstance(op, ast.Sub) else a ^ b
        case _:
            return None


def _numbers(node: ast.expr) -> list[int]:
    found = [_number(e) for e in node.elts] if isinstance(node, ast.List | ast.Tuple) else []
    return [n for n in found if n is not None] if len(found) <= _LONGEST and None not in found else []


def _comprehended(node: ast.expr) -> list[int]:
    """Return the codes of ``chr(c) for c in [..]`` or ``map(chr, [..])``."""
    match node:
        case ast.GeneratorExp(elt=ast.Call(func=ast.Name(id="chr"), args=[ast.Name()]), generators=[ast.comprehension(iter=codes)]):
            return [c for c in _numbers(codes) if 0 <= c < 0x110000]
        case ast.ListComp(elt=ast.Call(func=ast.Name(id="chr"), args=[ast.Name()]), generators=[ast.comprehension(iter=codes)]):
            return [c for c in _numbers(codes) if 0 <= c < 0x110000]
        case ast.Call(func=ast.Name(id="map"), args=[ast.Name(id="chr"), codes]):
            return [c for c in _numbers(codes) if 0 <= c < 0x110000]
        case _:
            return []


def _inflated(data: bytes) -> bytes:
    return zlib.decompressobj().decompress(data, _LONGEST)


_DECODE: Mapping[str, Callable[[bytes], bytes]] = {
    "base64.b64decode": base64.b64decode,
    "base64.standard_b64decode": base64.b64decode,
    "base64.urlsafe_b64decode": base64.urlsafe_b64decode,
    "base64.b32decode": base64.b32decode,
    "base64.b85decode": base64.b85decode,
    "base64.b16decode": base64.b16decode,
    "binascii.unhexlify": binascii.unhexlify,
    "binascii.a2b_base64": binascii.a2b_base64,
    "bytes.fromhex": binascii.unhexlify,
    "zlib.decompress": _inflated,
    "codecs.decode": lambda data: codecs.encode(data.decode("latin-1"), "rot13").encode("latin-1"),
}
