"""Calls that look dangerous by their name and are not by what they are given: a known tool, a place of data, a setting.

Read by ``code.python_source``. Only constants in the call itself count; what is worked out at run time stays what its name says.

Source:
    Python library reference, ``subprocess``, ``os.environ``, ``urllib.request``; what training and inference scripts
    start and fetch (from knowledge of them).
"""

from __future__ import annotations

import ast
import re

from scanners._formats.code.python_names import Names
from scanners._formats.code.python_sinks import Grade

#: Programs that read or build and run no text they are given; interpreters, installers and fetchers are none.
_TOOLS = frozenset(
    [
        "git",
        "nvidia-smi",
        "rocm-smi",
        "nvcc",
        "ffmpeg",
        "ffprobe",
        "sox",
        "espeak",
        "espeak-ng",
        "df",
        "du",
        "free",
        "lscpu",
        "uname",
        "whoami",
        "hostname",
        "which",
        "date",
        "tensorboard",
        "huggingface-cli",
        "hf",
        "accelerate",
        "torchrun",
        "deepspeed",
    ]
)
_GIT_READS = frozenset(
    ["rev-parse", "log", "status", "diff", "show", "describe", "branch", "lfs", "--version", "ls-files", "config", "remote"]
)
_STARTS = re.compile(r"subprocess\.(?:run|call|check_call|check_output|Popen|getoutput)\Z")
_READS = re.compile(
    r"(?:requests|httpx)\.(?:get|head)\Z|urllib\.request\.(?:urlopen|urlretrieve|Request)\Z|requests\.Session\Z|urllib\.request\.Request\Z"
)
#: Where models, data sets and example pictures are kept, and the machine itself.
_PLACES = re.compile(
    r"https://(?:[\w-]{1,40}\.)?(?:huggingface\.co|hf\.co|pytorch\.org|cocodataset\.org|wikimedia\.org|wikipedia\.org|openai\.com|"
    r"githubusercontent\.com|github\.com|unsplash\.com|googleapis\.com|kaggle\.com|zenodo\.org|arxiv\.org|modelscope\.cn)/"
    r"|http://images\.cocodataset\.org/|https?://(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\])(?::\d{1,5})?(?:/|\Z)"
)
#: Proxies of a person's own machine or network, and mirrors that many name.
_NEAR = re.compile(
    r"\w+://(?:[^@/]{0,60}@)?(?:localhost|127\.|10\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|\[::1\]|hf-mirror\.com|[\w.-]{0,60}modelscope\.cn|"
    r"api\.(?:openai|anthropic|deepseek|together|groq|mistral)\.\w{2,3}|[\w-]{0,60}(?::\d+)?/?\Z)",
    re.IGNORECASE,
)
_ADDRESSES = re.compile(r"(?:PROXY|ENDPOINT|BASE_URL|INDEX_URL|HUB_URL)\Z", re.IGNORECASE)
#: Settings of the environment that change what is loaded, from where, or with whose certificate.
_ACTS = re.compile(
    r"LD_|DYLD_|PATH\Z|PYTHON(?:PATH|STARTUP|HOME|INSPECT|BREAKPOINT|USERBASE)|.*PROXY\Z|.*(?:INDEX_URL|ENDPOINT|BASE_URL)\Z|"
    r".*(?:CA_BUNDLE|CERT_FILE|SSL\w*)\Z|BASH_ENV|ENV\Z|IFS|PROMPT_COMMAND|GIT_|.*TRUST_REMOTE_CODE\Z|.*ALLOW_\w*PICKLE\w*|PERL5|NODE_|RUBY",
    re.IGNORECASE,
)


def tamed(node: ast.Call, name: str, names: Names, grade: Grade, what: str) -> tuple[Grade, str]:
    """Return a call's grade once its constant arguments are known.

    Args:
        node: The call.
        name: What it calls.
        names: What the file's names stand for.
        grade: Its grade by its name.
        what: What it does, in words.
    """
    if grade == "ordinary" or not node.args:
        return grade, what
    first = node.args[0]
    if name in ("os.environ.setdefault", "os.putenv") and (key := names.text(first)) and not _ACTS.match(key):
        return "ordinary", ""
    if _STARTS.match(name) and _is_tool(node, first):
        return "effect", what
    if (
        _READS.match(name)
        and not any(k.arg in ("data", "json", "files") for k in node.keywords)
        and _PLACES.match(names.text(first))
    ):
        return "ordinary", ""
    return grade, what


def is_known(address: str) -> bool:
    """Return whether an address is one where models and data sets are kept, or this machine."""
    return bool(_PLACES.match(address))


def leads_astray(key: str, value: str) -> str:
    """Return what setting a name of the environment to a constant does to later connections and programs; empty if nothing.

    Args:
        key: The name.
        value: The constant; empty if it is none, or worked out at run time.
    """
    if (
        _ADDRESSES.search(key)
        and value.lower().startswith(("http", "socks"))
        and not (_PLACES.match(value + "/") or _NEAR.match(value))
    ):
        return f"sends later connections by way of {value[:60]!a}"
    if key.upper() in ("LD_PRELOAD", "DYLD_INSERT_LIBRARIES", "PYTHONSTARTUP", "BASH_ENV") and value:
        return f"loads {value[:60]!a} into later programs"
    if key.upper() in ("PYTHONHTTPSVERIFY", "GIT_SSL_NO_VERIFY", "NODE_TLS_REJECT_UNAUTHORIZED") and value:
        return "switches the check of certificates"
    return ""


def _is_tool(node: ast.Call, first: ast.expr) -> bool:
    if (
        not isinstance(first, ast.List | ast.Tuple)
        or not first.elts
        or any(k.arg in ("shell", "executable", "env") for k in node.keywords)
    ):
        return False
    words = [e.value if isinstance(e, ast.Constant) else None for e in first.elts]
    if words[0] == "git":
        return len(words) > 1 and words[1] in _GIT_READS and not any(isinstance(w, str) and "=" in w for w in words)
    return words[0] in _TOOLS
