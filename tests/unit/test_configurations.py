"""Configurations as all readers see them, patterns judged by shape, and that what the libraries themselves write is quiet."""

from __future__ import annotations

import contextlib
import io
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from governance.context import Limits
from governance.evidence import Finding
from scanners._formats.configs.configurations import Pairs, fields, read_configuration
from scanners._formats.configs.values import rows
from scanners._formats.regexes import is_costly
from scanners._formats.tree import grow
from scanners.config_fields import PLUGIN, _document


def findings(name: str, data: bytes) -> list[Finding]:
    content = grow(lambda: io.BytesIO(data), len(data), Limits(), whose="adapter", path=name)
    found = read_configuration(data, name)
    return list(_document(content, found, set(), "adapter")) if found is not None else []


def test_a_repeated_key_keeps_both_values() -> None:
    found = read_configuration(b'{"a": {"x": 1, "x": 2}}', "a.json")
    assert found is not None
    assert list(fields(found.value)) == [(("a",), Pairs((("x", 1), ("x", 2)))), (("a", "x"), 1), (("a", "x"), 2)]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-32-be", "utf-8-sig"])
def test_other_encodings_are_read_and_said(encoding: str) -> None:
    found = read_configuration('{"megatron_core": "evil"}'.encode(encoding), "config.json")
    assert found is not None
    assert found.ambiguous
    assert [f.rule for f in findings("config.json", '{"megatron_core": "evil"}'.encode(encoding))][-1] == "config-import"


@pytest.mark.parametrize(
    "data", [b"", b"version https://git-lfs.github.com/spec/v1\noid x", b"# Title\n\nSome prose.\n", b"a,b\n1,2\n"]
)
def test_what_is_no_configuration(data: bytes) -> None:
    assert read_configuration(data, "x.txt") is None


@pytest.mark.parametrize(
    "data", [b'"' * 3_000_000, b"[" * 3_000_000, b"/*" * 1_000_000, b"{" + b'"a":1,' * 300_000, b"a: " * 500_000]
)
def test_broken_documents_take_no_time(data: bytes) -> None:
    started = time.process_time()
    for name in ("x.json", "x.yaml", "x.toml"):
        read_configuration(data, name)
    assert time.process_time() - started < 10


def test_yaml_aliases_are_not_expanded() -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    found = read_configuration(bomb.encode(), "x.yaml")
    assert found is not None
    assert len(list(fields(found.value))) < 200


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(.*)*x", "(a|a)*b", r"(\w+\s?)+$", "(x+x+)+y", ".*.*.*.*.*.*.*b", "(?:a*)+", "([a-z]+)*!"]
)
def test_patterns_that_may_match_forever(pattern: str) -> None:
    assert is_costly(pattern)


@pytest.mark.parametrize("pattern", [
    r".*\.layers\.(0|1|2)\..*(q_proj|v_proj)", r"^(?!.*visual).*(?:q_proj|k_proj)$", "all-linear", r"(\.\d+)*", r"a{1,3}b+",
    r"(?:.*?(?:language|text).*?(?:self_attn|mlp).*?(?:k_proj|v_proj).*?)|(?:\bmodel\.layers\.[\d]{1,}\.(?:self_attn|mlp)\.(?:q_proj))",
    r"(?i:'s|'t|'re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
])  # fmt: skip
def test_patterns_of_real_adapters_and_tokenizers(pattern: str) -> None:
    assert is_costly(pattern) == ""


def test_every_row_of_the_list_is_complete() -> None:
    declared = {r.id for r in PLUGIN.declares}
    for row in (r for several in rows().values() for r in several):
        assert row.rule in declared
        assert row.loader
        assert row.sink
        assert row.source


def written() -> Iterator[tuple[str, Any]]:
    """Yield every configuration that transformers and peft write by default."""
    transformers, peft = pytest.importorskip("transformers"), pytest.importorskip("peft")
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    for name in list(CONFIG_MAPPING.keys()):
        with contextlib.suppress(Exception):  # some have no default
            yield "config.json", CONFIG_MAPPING[name]().to_dict()
    yield "generation_config.json", transformers.GenerationConfig().to_dict()
    for kind in peft.mapping.PEFT_TYPE_TO_CONFIG_MAPPING.values():
        with contextlib.suppress(Exception):
            yield "adapter_config.json", kind().to_dict()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_what_the_libraries_write_is_quiet() -> None:
    seen, loud = 0, []
    for name, value in written():
        seen += 1
        data = json.dumps(value, default=lambda v: sorted(map(str, v)) if isinstance(v, set) else str(v)).encode()
        loud += [f.message for f in findings(name, data) if f.severity.rank > 1]
    assert seen > 300
    assert loud == []
