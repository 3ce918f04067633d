"""Python, scripts and credentials of a subject: what must be seen under any disguise, and what honest files must not raise."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path

import pytest

from scanners._formats.code.python_source import Sink, review
from scanners._formats.code.scripts import read_script
from scanners._formats.code.secrets import find_secrets


def acting(text: str) -> list[Sink]:
    return [s for s in review(text).sinks if s.grade == "dangerous" or (s.grade == "effect" and s.on_import)]


DISGUISED = {
    "a dictionary of the module": "import os\nos.__dict__['sys' + 'tem']('x')\n",
    "the table of modules": "import sys\nsys.modules['os'].system('x')\n",
    "globals": "globals()['__builtins__']['exec']('x')\n",
    "characters by number": "import os\ngetattr(os, ''.join(map(chr, [115, 121, 115, 116, 101, 109])))('x')\n",
    "rot13": "import codecs, os\ngetattr(os, codecs.decode('flfgrz', 'rot13'))('x')\n",
    "a variable between": "import base64\nd = base64.b64decode(b'eA==')\nexec(d)\n",
    "a lambda that inflates": "_ = lambda s: __import__('zlib').decompress(__import__('base64').b64decode(s))\nexec(_(b''))\n",
    "exclusive or": "exec(''.join(chr(ord(c) ^ 1) for c in 'abc'))\n",
    "attrgetter": "import operator, os\noperator.attrgetter('system')(os)('x')\n",
    "partial": "import functools, os\nfunctools.partial(os.system, 'x')()\n",
    "map": "import os\nlist(map(os.system, ['x']))\n",
    "a star import": "from os import *\nsystem('x')\n",
    "a list": "import os\n[os.system][0]('x')\n",
    "a class attribute": "import os\nclass A:\n    run = os.system\nA.run('x')\n",
    "a thread": "import threading, os\nthreading.Thread(target=os.system, args=('x',)).start()\n",
    "subclasses": "().__class__.__bases__[0].__subclasses__()[132].__init__.__globals__['system']('x')\n",
    "a native library": "from ctypes import cdll\ncdll['libc.so.6']\n",
    "allow_pickle": "import numpy as np\nnp.load('x', allow_pickle=True)\n",
    "weights_only": "import torch\ndef f():\n    torch.load('x', weights_only=False)\n",
    "unsafe yaml": "import yaml\nyaml.load('x', Loader=yaml.Loader)\n",
    "a decorator": "def d(f):\n    open('x', 'w')\n    return f\n@d\ndef g():\n    pass\n",
    "a default": "def f(a=open('x', 'w')):\n    pass\n",
    "a compiled kernel": "import torch.utils.cpp_extension as c\nc.load(name='x', sources=['x.cpp'])\n",
    "what the network sends": "from urllib.request import urlopen\nexec(urlopen('u').read())\n",
}


@pytest.mark.parametrize("text", DISGUISED.values(), ids=DISGUISED)
def test_disguised_code_is_seen(text: str) -> None:
    assert acting(text)


@pytest.mark.parametrize("text", [
    "import torch\nclass M(torch.nn.Module):\n    def forward(self, x):\n        self.eval()\n        return x\n",
    "import importlib\nmodule = importlib.import_module('json')\n",
    "from transformers import AutoModel\ndef main():\n    AutoModel.from_pretrained('a/b')\nif __name__ == '__main__':\n    main()\n",  # noqa: E501
    "import re\nTEXT = 'os.system and eval(x)'\nre.compile(TEXT)\n",
    "def load(path):\n    with open(path) as f:\n        return f.read()\nVOCAB = {'exec': 1, 'subprocess': 2}\n",
])  # fmt: skip
def test_ordinary_code_is_quiet(text: str) -> None:
    assert acting(text) == []


@pytest.mark.parametrize(
    "text", ["x = " + "(" * 500 + ")" * 500, "a" + ".b()" * 3000, "x = " + "+".join(["'a'"] * 3000), "print 'two'", "\0"]
)
def test_strange_source_takes_no_time_and_does_not_raise(text: str) -> None:
    started = time.process_time()
    review(text)
    assert time.process_time() - started < 10


@pytest.mark.slow
def test_installed_modeling_files_raise_nothing() -> None:
    spec = importlib.util.find_spec("transformers")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("transformers is not installed")
    root = Path(next(iter(spec.submodule_search_locations))) / "models"
    files = sorted(root.rglob("modeling_*.py"))[::3] + sorted(root.rglob("tokenization_*.py"))[::3]
    assert len(files) > 150
    assert [f"{p.name}: {s.name}" for p in files for s in acting(p.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("line", [
    "a" * 1_000_000, "curl " * 200_000, ";/" * 500_000, "sudo -" * 200_000, "pip install " + "x " * 300_000, "\\\n" * 300_000,
])  # fmt: skip
def test_long_lines_take_no_time(line: str) -> None:
    started = time.process_time()
    for kind in ("shell", "requirements", "build"):
        read_script(line, kind)
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    "piece", ['"token": "ab", ', "api_key_secret_password ", "eyJhbGci.", "hf_", "://a:b@", "-----BEGIN PRIVATE KEY-----", "sk-"]
)
def test_credentials_are_looked_for_in_bounded_time(piece: str) -> None:
    started = time.process_time()
    find_secrets(piece.encode() * (1_000_000 // len(piece)))
    assert time.process_time() - started < 10


def test_a_checksum_makes_a_token_certain() -> None:
    body, told = "zQ" * 15, "16Ylqv"
    (made_up,) = find_secrets(f"ghp_{body}{told}".encode()) or [None]
    assert made_up is None or not made_up.certain
