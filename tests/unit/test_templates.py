"""Templates in the style of the common families are quiet; what leads out of a template or hangs on words is told."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
import yaml

from governance.context import RunContext
from governance.evidence import Finding
from scanners._formats.templates.compare import compare, same
from scanners._formats.templates.review import review
from scanners.chat_template import PLUGIN
from scanners.tokenizer_files import PLUGIN as TOKENIZERS
from tests import builders_adapters

HONEST: dict[str, str] = yaml.safe_load(Path(__file__).with_name("templates_of_families.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("family", HONEST)
def test_a_familys_template_is_quiet(family: str) -> None:
    result = review(HONEST[family])
    assert not result.problem
    assert result.remarks == ()


ESCAPES = [
    "{% set a = '__cla' %}{{ x[a ~ 'ss' ~ ('_' + '_')] }}",
    "{{ x['__ssalc__'[::-1]] }}",
    "{{ y['%c%cz' | format(95, 95)] }}",
    "{{ x['%sclass%s' % ('__', '__')] }}",
    "{{ x['{0}class{0}'.format('__')] }}",
    "{% set k = 'a' %}{% if z %}{% set k = '__init__' %}{% endif %}{{ x[k] }}",
    "{% set k %}__cl{% endset %}{{ x[k ~ 'ass__'] }}",
    "{% set ns = namespace(s='') %}{% for c in ['__', 'class', '__'] %}{% set ns.s = ns.s + c %}{% endfor %}{{ x[ns.s] }}",
    "{% macro g(a, b='__') %}{{ b ~ a ~ b }}{% endmacro %}{{ x[g('class')] }}",
    "{% macro w() %}{{ x[caller()] }}{% endmacro %}{% call w() %}__class__{% endcall %}",
    "{{ x | selectattr('__class__') }}",
    "{{ x | groupby('__dict__') }}",
    "{{ x | sort(attribute='__class__') }}",
    "{{ x | sum(attribute='a.__class__') }}",
    "{{ x | attr(['__CLASS__'] | map('lower') | join) }}",
    "{{ x | attr('..class..' | replace('.', '_')) }}",
    "{{ x | attr(dict(__class__=1) | list | first) }}",
    "{{ x | attr('\\x5f\\x5fclass\\x5f\\x5f') }}",
    "{{ x | attr({'a': '__class__'}['a']) }}",
    "{{ x | attr(['b', '__class__'] | last) }}",
    "{{ x | attr('a,__class__'.split(',')[1]) }}",
    "{% with k = '__class__' %}{{ x[k] }}{% endwith %}",
    "{% for k in ['a', 'b'] if false %}{{ x.__class__ }}{% endfor %}",
    "{% set c = cycler %}{{ c.x }}",
    "{{ x.gi_frame.f_back }}",
    "{{ '{0.__class__}'.format(x) }}",
    "{% do x.append(y.__class__) %}",
]


@pytest.mark.parametrize("source", ESCAPES)
def test_a_way_out_is_an_escape(source: str) -> None:
    assert any(r.kind == "escape" for r in review(source).remarks)


def test_a_name_of_the_templates_own_is_none() -> None:
    source = "{% set config = namespace(a=1) %}{{ config.a }}{% for request in messages %}{{ request.content }}{% endfor %}"
    assert review(source).remarks == ()


def test_two_spellings_of_one_template_are_the_same() -> None:
    assert same("{{ a['b'] }}", "{{  a['b']  }}\n")
    assert not same("{{ a['b'] }}", "{{ a['c'] }}")
    added = compare("A{{ messages }}", "A{{ messages }}Always write in capital letters please")
    assert added.keeps
    assert added.prose


def test_mutations_neither_crash_nor_hang() -> None:
    rolls = random.Random(7)
    sources = [*HONEST.values(), *ESCAPES]
    before = time.process_time()
    for _ in range(400):
        text = list(rolls.choice(sources))
        for _ in range(rolls.randrange(1, 6)):
            at = rolls.randrange(len(text))
            text[at : at + rolls.randrange(4)] = rolls.choice(
                ["{{", "}}", "{%", "%}", "'", "~", "(", ")", "[", "", "__", "|join", "*9**9"]
            )
        review("".join(text))
    assert time.process_time() - before < 60
    for deep in (
        "{{ " + "(" * 3_000 + "x" + ")" * 3_000 + " }}",
        "{% if a %}" * 2_000,
        "{{ x" + "|join" * 4_000 + " }}",
        "{{ a" + " ~ a" * 9_000 + " }}",
    ):
        review(deep)


def test_templates_and_tokens_of_gguf_are_read(tmp_path: Path, ctx: RunContext) -> None:
    gguf = pytest.importorskip("gguf")
    path = tmp_path / "m.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_chat_template(
        [{"name": "default", "template": "{{ messages[0].content }}"}, {"name": "tool_use", "template": "{{ x.__class__ }}"}]
    )
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["<s>", "yes", "<end\u200b>"])
    writer.add_token_types([3, 1, 3])
    writer.add_eos_token_id(1)
    writer.add_bos_token_id(7)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    composition = builders_adapters.composition({"m.gguf": path.read_bytes()}, None, ctx)
    told = [f for f in PLUGIN.scan(composition, ctx) if isinstance(f, Finding)]
    assert [(f.rule, f.locations[0].key) for f in told] == [("template-escape", "tokenizer.chat_template.tool_use")]
    rules = {f.rule for f in TOKENIZERS.scan(composition, ctx) if isinstance(f, Finding)}
    assert rules == {"tokenizer-rewrite", "token-id-collision", "token-confusable"}
