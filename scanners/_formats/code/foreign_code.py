"""Code of other languages, and documents whose commands an editor, a builder or a desktop runs: which, and what acts in them.

Read by ``scanners.remote_code``. Every pattern is matched against one bounded line and cannot backtrack far.

Source:
    Node.js, Perl, Ruby, PHP, Lua, R and Windows Script Host references on starting processes (from knowledge of them, not re-read);
    VS Code tasks, Dev Containers, Compose and GitHub Actions documentation (likewise).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from governance.evidence import Severity
from scanners._formats.code.script_acts import Act

#: Languages an interpreter or the desktop runs from source, by suffix.
_SUFFIXES = frozenset(
    [
        ".js",
        ".mjs",
        ".cjs",
        ".jse",
        ".ts",
        ".pl",
        ".pm",
        ".rb",
        ".php",
        ".phtml",
        ".lua",
        ".r",
        ".jl",
        ".tcl",
        ".awk",
        ".vbs",
        ".vbe",
        ".wsf",
        ".wsh",
        ".hta",
        ".scpt",
        ".applescript",
        ".groovy",
        ".ps1xml",
        ".reg",
        ".inf",
        ".url",
        ".scr",
        ".jnlp",
        ".workflow",
        ".tcsh",
        ".expect",
        ".xsl",
    ]
)
_SHEBANG = re.compile(r"#!\s{0,4}/\S{0,60}?(?:/env\s{1,4}(?:-\S{1,4}\s{1,4})?)?/?([a-z]{2,12})[\d.]{0,6}(?:\s|\Z)", re.IGNORECASE)
_TONGUES = {
    "perl": ".pl", "ruby": ".rb", "node": ".js", "nodejs": ".js", "deno": ".js", "bun": ".js", "php": ".php", "lua": ".lua",
    "tclsh": ".tcl", "expect": ".expect", "rscript": ".r", "julia": ".jl", "osascript": ".scpt", "awk": ".awk", "gawk": ".awk",
    "groovy": ".groovy",
}  # fmt: skip
_PROCESS = re.compile(
    r"\bchild_process\b|(?<![.\w$])(?:eval|exec|execSync|spawn|spawnSync|shell_exec|passthru|proc_open|popen|pcntl_exec|system2?|run)"
    r"\s{0,3}[(]\s{0,3}[^)\s]|(?<![.\w$])(?:system|exec|syscall)\s{1,3}[\"'`]|\b(?:os\.execute|io\.popen|loadstring|loadlib)\b|"
    r"\b(?:IO\.popen|Kernel\.(?:exec|system|spawn)|Open3\.|TCPSocket|instance_eval|Process\.(?:spawn|start))|"
    r"\b(?:WScript\.Shell|Shell\.Application|ActiveXObject|CreateObject|GetObject)\b|\bdo\s{1,3}shell\s{1,3}script\b|"
    r"\b(?:Runtime\.getRuntime|ProcessBuilder)\b|\bDeno\.(?:run|Command)\b|\bBun\.spawn|\bnew\s{1,3}Function\s{0,3}\(|"
    r"(?:^|[;={(]\s{0,4})(?:eval|instance_eval|exec|system|spawn)\s{1,3}(?:[A-Z\"'$`@]|\w{1,30}\.)|\bsocket\s{0,3}\(?\s{0,3}\w{1,12},\s{0,3}[PA]F_INET|"
    r"\bfsockopen\s{0,3}\(|\bIO::Socket\b|\bsocket\s{0,3}\(\s{0,3}S\b|\bbase64_decode\s{0,3}\(|\bassert\s{0,3}\(\s{0,3}\$_",
    re.IGNORECASE,
)
_BACKTICKS = re.compile(r"(?<!`)`[^`\n]{2,200}`(?!`)")
_DOCUMENT = re.compile(
    r"(?:\A|/)(?:\.vscode/(?:tasks|launch|settings)\.json|(?:\.devcontainer/(?:[^/]{1,80}/)?|\.)?devcontainer\.json|"
    r"(?:docker-)?compose[\w.-]{0,40}\.ya?ml|\.github/(?:workflows|actions)/[^\n]{1,200}|\.gitlab-ci\.yml|\.circleci/config\.yml|"
    r"azure-pipelines\.yml|\.travis\.yml|\.pre-commit-(?:config|hooks)\.yaml|jenkinsfile|cog\.yaml|\.gitpod\.yml|\.replit|"
    r"(?:\.|claude_desktop_)?(?:mcp|mcp_config|config)\.mcp\.json|\.?mcp(?:_config|_servers)?\.json|claude_desktop_config\.json|"
    r"\.(?:claude|cursor|gemini|codex|continue|windsurf|zed|kiro)/[^\n]{1,120}\.(?:json|toml|ya?ml)|"
    r"\.git/(?:hooks/[^/]{1,100}|config)|\.githooks/[^/]{1,100}|\.husky/[^/]{1,100}|\.gitconfig|\.gitmodules|\.envrc|"
    r"[^/]{1,200}\.(?:desktop|service|timer|plist|code-workspace)|\.idea/[^\n]{1,200}\.xml|\.cargo/config(?:\.toml)?|tox\.ini|"
    r"\.bash(?:rc|_profile|_login|_logout)|\.z(?:shrc|shenv|profile|login)|\.profile|\.pythonrc|\.vimrc|\.exrc|\.inputrc|\.curlrc)\Z",
    re.IGNORECASE,
)
_PACKAGERS = re.compile(
    r"(?:\A|/)(?:pip\.(?:conf|ini)|\.?uv\.toml|\.npmrc|\.yarnrc(?:\.yml)?|\.?condarc|\.pydistutils\.cfg|poetry\.toml)\Z",
    re.IGNORECASE,
)
_OPENED = re.compile(r"[\"']?runOn[\"']?\s{0,4}:\s{0,4}[\"']?folderOpen", re.IGNORECASE)
_MOUNTED = re.compile(
    r"docker\.sock\b|^\s{0,40}(?:-\s{0,4})?[\"'\[]{0,3}/:/|^\s{0,40}privileged\s{0,4}:\s{0,4}true\b|--privileged\b|"
    r"\b(?:pid|userns_mode)\s{0,4}:\s{0,4}[\"']?host\b",
    re.IGNORECASE,
)
_GIT_ACTS = re.compile(
    r"^\s{0,20}(?:fsmonitor|sshcommand|hookspath|pager|editor|askpass|smudge|clean|process|textconv|helper|update\s{0,4}=\s{0,4}!)\b"
    r"[^\n]{0,4}=\s{0,4}(?!git-lfs|true|false|cache|store|osxkeychain|manager)",
    re.IGNORECASE,
)
_EXEC = re.compile(
    r"^\s{0,20}Exec(?:Start(?:Pre|Post)?)?\s{0,4}=\s{0,4}\S{0,60}\b(?:sh|bash|python\d?|perl|powershell|cmd)\b", re.IGNORECASE
)


def is_foreign(name: str) -> bool:
    """Return whether a file's name says it is source of a language that is not read as a tree."""
    return "." in name and "." + name.lower().rsplit(".", 1)[-1] in _SUFFIXES


def interpreter(first: str) -> str:
    """Return the suffix of the language that a first line hands a file to; empty if it is a shell, Python, or nothing known."""
    match = _SHEBANG.match(first)
    return _TONGUES.get(match[1].lower(), "") if match else ""


def is_runner(path: str) -> bool:
    """Return whether a document of this path holds commands that some program runs."""
    return bool(_DOCUMENT.search(path))


def is_packager(path: str) -> bool:
    """Return whether a document of this path tells a package manager where to look."""
    return bool(_PACKAGERS.search(path))


def foreign_acts(lines: list[str], name: str) -> Iterator[Act]:
    """Yield lines of another language that start processes, run text or connect.

    Args:
        lines: The source, each line cut.
        name: Its file name.
    """
    ticks = name.lower().endswith((".pl", ".pm", ".rb", ".php", ".phtml", ".awk", ".tcl"))
    for at, line in enumerate(lines, 1):
        bare = line.strip()
        if bare.startswith(("//", "#", "--", "*", "'")):
            continue
        if _PROCESS.search(bare) or (ticks and _BACKTICKS.search(bare)):
            yield Act(at, Severity.HIGH, f"starts processes or runs text as code: {bare[:90]!a}")


def runner_acts(lines: list[str]) -> Iterator[Act]:
    """Yield what a document of commands does beyond its single commands: at opening, outside its container, at every use of git."""
    for at, line in enumerate(lines, 1):
        if _OPENED.search(line):
            yield Act(at, Severity.HIGH, "runs a command as soon as the folder is opened")
        elif _MOUNTED.search(line):
            yield Act(at, Severity.HIGH, f"lets a container out onto the machine: {line.strip()[:80]!a}")
        elif _GIT_ACTS.search(line) or _EXEC.search(line):
            yield Act(at, Severity.HIGH, f"names a program that is run in passing: {line.strip()[:80]!a}")
