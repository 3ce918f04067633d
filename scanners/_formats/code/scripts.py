"""Shell, build and installer files read line by line: what they fetch and run, and which packages from where.

Read by ``scanners.remote_code``. Every pattern is matched against one bounded line and cannot backtrack far.

Source:
    pip 25 requirements file format; PEP 503, 508, 518; Dockerfile and Modelfile references; MITRE ATT&CK T1059, T1105.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Literal

from governance.evidence import Severity
from scanners._formats.code.foreign_code import foreign_acts, interpreter, is_foreign, is_packager, is_runner, runner_acts
from scanners._formats.code.script_acts import Act
from scanners._formats.code.script_readings import Readings
from scanners._formats.tables import table

ScriptKind = Literal["shell", "requirements", "package.json", "pth", "build", "modelfile", "foreign", "runner", "packager"]
_LINE, _LINES = 4_000, 50_000
_FETCH = re.compile(
    r"\b(?:curl|wget|aria2c|Invoke-WebRequest|Invoke-RestMethod|iwr|irm|Start-BitsTransfer|bitsadmin|DownloadString|DownloadFile|"
    r"DownloadData|WebClient|urlretrieve|urlopen|requests\.get|lwp-download)\b|\bcertutil\b.{0,80}-urlcache",
    re.IGNORECASE,
)
_SUDO = r"(?:sudo\s{1,8}(?:-\S{1,30}\s{1,8}){0,4})?"
_INTERPRETER = (
    rf"{_SUDO}(?:/\S{{0,60}}/)?(?:env\s{{1,8}})?"
    r"(?:(?:ba|z|da|k|a|fi|c)?sh\b|python[\d.]{0,6}\b|perl\b|ruby\b|node\b|php\b|pwsh\b|powershell\b|cmd\b)"
)
_PIPED = re.compile(rf"\|\s{{0,8}}{_INTERPRETER}(?!\s{{1,4}}-m\s{{1,4}}json\b)", re.IGNORECASE)
_DECODE = re.compile(
    r"\bbase64\s+(?:-d|-D|--decode)|\bgpg2?\b.{0,80}\s(?:-d|--decrypt)\b|\btail\b.{0,30}\$\{?(?:0|BASH_SOURCE)|\bxxd\s+-r|\bopenssl\s+(?:enc\s+)?\S{0,20}\s?-d\b|\bgunzip\b|\bzcat\b|"
    r"\btr\s+['\"]?[A-Za-z]-[A-Za-z]|\b(?:printf|echo)\b.{0,40}\\(?:x[0-9a-fA-F]{2}|0?[0-7]{3})"
)
_SUBSTITUTED = re.compile(
    rf"(?:\beval\b|\bsource\b|(?:^|\s)\.\s|\b{_INTERPRETER}\s{{1,8}}-\w{{0,8}}c\b|\bexec\b).{{0,40}}"
    r"(?:\$\(|`|<\()\s{0,8}(?:curl|wget|base64|echo\s)|"
    rf"(?:{_INTERPRETER})\s{{1,8}}<<<\s{{0,8}}[\"']?(?:\$\(|`)\s{{0,8}}(?:curl|wget|base64|echo\s)|\bfor\s+/f\b.{{0,200}}\b(?:curl|certutil|powershell)\b.{{0,200}}\bdo\s+%%|"
    rf"(?:{_INTERPRETER}|source|\.)\s{{1,8}}<\(\s{{0,8}}(?:curl|wget|base64|echo\s)",
    re.IGNORECASE,
)
_POWERSHELL = re.compile(
    r"\b(?:iex|Invoke-Expression)\b|-e(?:nc|ncodedcommand|c)\s+[A-Za-z0-9+/=]{20}|-w(?:indowstyle)?\s+hidden\b|\bmshta\s+\S{0,60}http|"
    r"\bregsvr32\b.{0,60}http|\brundll32\b.{0,60}(?:http|javascript)|FromBase64String|"
    r"\[scriptblock\]::Create|Assembly\]::Load|\b(?:Set|Add)-MpPreference\b.{0,80}-(?:Disable|Exclusion)",
    re.IGNORECASE,
)
_BACKDOOR = re.compile(
    r"/(?:dev|inet)/(?:tcp|udp)/|\b(?:nc|ncat|netcat)\b.{0,80}\s-\w{0,8}[ec]\b|\bmkfifo\b.{0,120}\b(?:nc|sh)\b|\bsocat\b.{0,120}exec:|"
    r"\bauthorized_keys\b|>>?\s{0,8}\S{0,60}\.(?:bashrc|bash_profile|profile|zshrc)\b|"
    r"/etc/(?:cron|ld\.so\.preload|sudoers|systemd)|\bcrontab\s+(?!-l)|\bLD_PRELOAD=|"
    r"\brm\s+-\w{0,8}[rR]\w{0,8}\s+(?:--no-preserve-root\s+)?[/~](?:\s|\*|$)|"
    r"\bdd\b.{0,80}\bof=/dev/(?:sd|nvme|hd|vd|mem)|\bmkfs\.?\w*\s|:\(\)\s{0,4}\{|\bNet\.(?:Sockets\.TcpClient|WebSockets)|>\s{0,4}/dev/sd|"
    r"\bexec\s+\d<>|\bhistory\s+-c\b|\bchattr\s+\+i\b|\bsetenforce\s+0\b|"
    r"\bgit\s+config\b.{0,80}(?:core\.(?:sshcommand|fsmonitor|hookspath|askpass)\s|alias\.\w{1,30}\s+[\"']?!|filter\.(?!lfs)\S{1,40}\.(?:smudge|clean|process)\s)|"
    r"\bwmic\b.{0,60}\bcall\s+create\b|\bvssadmin\s+delete\b|\b(?:Register-ScheduledTask|New-Service)\b|\bsc(?:\.exe)?\s+create\s|"
    r"\.config/(?:systemd|autostart)/|\bLaunchAgents/|\\Startup\\|\s-v\s*[\"']?/:/|\bssh\b.{0,60}\s-\w{0,6}R\s*[\d*]|"
    r"--checkpoint-action=exec|\bsed\b.{0,60}\s[\"'](?:\d{1,6}|\$|/[^/]{1,60}/)?e\s|-exec\s+(?:ba|z|da)?sh\s+[^-{\s]|"
    r"\bschtasks\b.{0,60}/create|\breg\s+add\b.{0,120}\\run\b",
    re.IGNORECASE,
)
_PROFILE = re.compile(
    r"\bauthorized_keys\b|>>?\s{0,8}[\"']?[^\s\"']{0,60}\.(?:bashrc|bash_profile|profile|zshrc)\b|\bcrontab\s+(?!-l)", re.IGNORECASE
)
#: What people let a login script do: set a name, a path or an alias, read a file of the system, start the environment of a tool.
_SETS = re.compile(
    r"(?:echo|printf)\s+(?:-\w\s+)?[\"']?\s{0,4}(?:export\s|alias\s|PATH=|(?:source|\.)\s+(?:/etc/|/opt/|/venv|\S{0,60}(?:bin/activate|"
    r"complete|conda))|conda\s|cd\s|set\s|umask\s|ulimit\s|eval\s[^\n]{0,20}\b(?:hook|init|completion|shellenv)\b)",
    re.IGNORECASE,
)
_PAGE = re.compile(r"\s{0,8}[\"']?(?:home-?page|repository|documentation|docs|url|changelog|source|issues|tracker|"
                   r"bug[\w ]{0,12}|project_urls|license|readme)[\"']?\s{0,4}=", re.IGNORECASE)  # fmt: skip
_SETTING = re.compile(
    r"\s{0,20}(?:-\s{0,4})?[\"']?((?:extra[-_])?index[-_]url|index|find[-_]links|trusted[-_]host|registry|[@\w./-]{0,60}:?registry|channels?|"
    r"default_channels|channel_alias|npmRegistryServer|url)[\"']?\s{0,4}[=:]\s{0,4}(\S[^\n]{0,400})",
    re.IGNORECASE,
)
_STOLEN = re.compile(
    r"\$\(?\s{0,8}(?:env|printenv)\b|(?:^|[|;&])\s{0,8}(?:env|printenv|set)\s{0,8}\||huggingface/(?:stored_)?token|\.kube/config|\.docker/config|"
    r"gcloud/|\.(?:bash|zsh)_history|\bid_(?:rsa|ed25519|ecdsa)\b|\.git-credentials|`(?:env|printenv)`|\.ssh/|\.aws/|\.netrc|/etc/(?:passwd|shadow)|"
    r"\$\{?(?:HF_TOKEN|AWS_SECRET|OPENAI_API_KEY|WANDB_API_KEY)"
)
#: An address that goes into an interpreter, whatever fetches it.
_ADDRESSED = re.compile(rf"https?://[^|]{{1,400}}\|\s{{0,8}}{_INTERPRETER}", re.IGNORECASE)
_PROGRAM = re.compile(
    r"\b(?:python[\d.]{0,6}|perl|ruby|node|php)\s{1,8}-[\w]{0,4}[cer]\b.{0,400}(?:\bexec\b\W|\beval\b\W|os\.system|subprocess|__import__|\bsocket\b|"
    r"urlopen|urlretrieve|b64decode|fsockopen|child_process|pty\.spawn)",
    re.IGNORECASE,
)
#: Services a token is meant for.
_OWN_API = re.compile(
    r"https://(?:[\w-]{1,60}\.)?(?:huggingface\.co|hf\.co|wandb\.ai|openai\.com|github\.com|anthropic\.com)/", re.IGNORECASE
)
_KEPT = re.compile(r"(?:-o|-O|--output(?:-document)?|-OutFile|>)[\s=]{0,8}[\"']?([\w./~$\\:{}-]{1,200})")
_RAN = re.compile(
    rf"(?:^|[;&|]\s{{0,8}}|\bsudo\s{{1,8}})(?:(?:{_INTERPRETER}|source|\.)\s{{1,8}}|chmod\s{{1,8}}\S{{1,20}}\s{{1,8}}|"
    r"start\s{1,8}(?:/\w{1,8}\s{1,8}|\"[^\"]{0,40}\"\s{1,8}){0,4}|call\s{1,8}|Start-Process\s{1,8}(?:-FilePath\s{1,8})?|\./)?[\"']?([\w./~$%\\:{}-]{1,200})",
    re.IGNORECASE,
)
_PIP = re.compile(
    r"\b(?:pip[\d.]{0,6}|uv(?:\s+pip)?|poetry|pipx|conda|mamba|easy_install)\s+(?:install|add|sync)\b(.*)", re.IGNORECASE
)
_INDEX = re.compile(
    r"(?:--(?:extra-)?index-url|--find-links|--index|(?:^|\s)-i|(?:^|\s)-f|--default-index)[\s=]{1,8}[\"']?(\S{1,300})"
)
#: Tools that packages honestly let run when they are installed, and nothing after them.
_BUILDS = re.compile(
    r"(?:(?:npx\s)?(?:husky(?:\sinstall)?|tsc|patch-package|is-ci|lefthook\sinstall|simple-git-hooks|prisma\sgenerate|svelte-kit\ssync|nuxt\sprepare|"
    r"(?:npm|pnpm|yarn)\s(?:run\s)?(?:build|compile|prepare))(?:\s-{1,2}[\w-]{1,30}){0,3}(?:\s{0,2}(?:&&|\|\|)\s{0,2}|\s{0,2}\Z)){1,4}\Z"
)
_PREFERRED = re.compile(
    r"\b(?:PIP|UV|NPM_CONFIG|YARN|CONDA|POETRY)_\w{0,30}(?:INDEX|REGISTRY|FIND_LINKS|CHANNEL)\w{0,30}"
    r"[= ]\s{0,4}[\"']?(\w+://[^\s\"']{1,300})",
    re.IGNORECASE,
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}")
_URL = re.compile(r"(?:git|hg|svn|bzr)\+\S+|https?://\S+|file:\S+", re.IGNORECASE)
_HOST = re.compile(r"\w+(?:\+\w+)?://(?:[^/\s@]*@)?([^/\s:?#]+)(?::\d+)?/?([^\s?#]*)")
_COMMIT = re.compile(r"@[0-9a-f]{40}\b")


def script_kind(path: str) -> ScriptKind | None:
    """Return what a file is read as because of its name; None if its name says nothing.

    Args:
        path: With folders: some names say something in one folder only.
    """
    low = path.lower().rsplit("/", 1)[-1]
    if is_runner(path):
        return "runner"
    if is_packager(path):
        return "packager"
    if is_foreign(low):
        return "foreign"
    if low.endswith((".sh", ".bash", ".zsh", ".ksh", ".command", ".bat", ".cmd", ".ps1", ".psm1", ".fish")):
        return "shell"
    if low in ("makefile", "gnumakefile", "justfile", "dockerfile", "containerfile", "procfile", "vagrantfile") or low.startswith(
        "dockerfile."
    ):
        return "build"
    if low.endswith((".mk", ".dockerfile")):
        return "build"
    if low == "modelfile" or low.endswith(".modelfile"):
        return "modelfile"
    if ("requirements" in low or low == "constraints.txt") and low.endswith((".txt", ".in", ".pip")):
        return "requirements"
    if low in ("package.json", "environment.yml", "environment.yaml", "pyproject.toml", "setup.cfg", "pipfile"):
        return "package.json" if low == "package.json" else "requirements"
    return "pth" if low.endswith(".pth") else None


def read_script(text: str, kind: ScriptKind, name: str = "") -> tuple[Act, ...]:
    """Return what a file does that deserves a word, in line order.

    Args:
        text: The whole file.
        kind: How it is read.
        name: Its file name, for languages told by it.
    """
    lines = [line[:_LINE] for line in text.replace("\\\r\n", " ").replace("\\\n", " ").splitlines()[:_LINES]]
    if kind == "package.json":
        return tuple(_hooks(text))
    if kind == "pth":
        return tuple(Act(at, Severity.HIGH, "a line that every start of Python runs") for at, line in enumerate(lines, 1)
                     if line.startswith(("import ", "import\t")))  # fmt: skip
    if kind == "requirements":
        wanted = [(at, line) for at, line in enumerate(lines, 1) if at not in _links(lines)]
        return (*(act for at, line in wanted for act in _required(line, at)), *_commands(lines))
    if kind == "packager":
        return tuple(act for at, line in enumerate(lines, 1) for act in _setting(line, at))
    found = list(_commands(lines, built=kind == "build"))
    tongue = interpreter(lines[0]) if lines else ""
    if kind == "foreign" or tongue:
        named, readings = (name if kind == "foreign" else f"x{tongue}"), Readings()
        found += list(foreign_acts(lines, named)) or list(foreign_acts([readings.plain(line) for line in lines], named))
    if kind == "runner":
        found += runner_acts(lines)
    if kind == "build":
        found += [Act(at, Severity.MEDIUM, f"adds what an address gives when it is built: {line.strip()[:80]!a}")
                  for at, line in enumerate(lines, 1) if re.match(r"\s*ADD\s.{0,200}https?://", line)]  # fmt: skip
    return tuple(sorted(found, key=lambda a: a.line))


def _links(lines: list[str]) -> set[int]:
    """Return the lines of a project file that only link to pages: the tables and keys that hold no requirement."""
    found, section = set[int](), ""
    for at, line in enumerate(lines, 1):
        section = (
            line.strip().lower() if line.lstrip().startswith("[") and line.rstrip().endswith("]") and "=" not in line else section
        )
        if "urls]" in section or _PAGE.match(line):
            found.add(at)
    return found


def _setting(line: str, at: int) -> Iterator[Act]:
    """Yield what one line of a package manager's own settings says about where it looks."""
    match = _SETTING.match(line)
    for where in re.findall(r"[^\s\"',\[\]]+", match[2])[:20] if match else ():
        if "host" in (match[1] if match else ""):
            known = _known_index(f"https://{where}/")
            yield Act(at, Severity.MEDIUM if known else Severity.HIGH, f"trusts {where[:80]!a} without a certificate")
        elif "://" in where and not _known_index(where):
            yield Act(at, Severity.HIGH, f"installs from an index of somebody's own: {where[:100]!a}")


def _tame(line: str, *, built: bool) -> bool:
    """Return whether what a line leaves in a login script is a name or a path, or lies in an image of its own."""
    kept = _PROFILE.search(line)
    if kept is None or _BACKDOOR.search(_PROFILE.sub(" ", line)):
        return False
    return built or (_SETS.search(line[: kept.start()]) is not None and not _FETCH.search(line) and not _DECODE.search(line))


def _vouched(line: str) -> bool:
    """Return whether everything a line fetches comes from an installer that its own project publishes."""
    hosts = [m for m in _HOST.finditer(line) if m[0].lower().startswith(("http", "git"))]
    known = table("packages")["installers"]
    return bool(hosts) and all(
        m[0].startswith("https://") and any(f"{m[1]}/{m[2]}".lower().startswith(k) for k in known) for m in hosts
    )


def _commands(lines: list[str], *, built: bool = False) -> Iterator[Act]:
    kept: dict[str, int] = {}
    readings = Readings()
    for at, raw in enumerate(lines, 1):
        line = raw.strip()
        if not line or line.startswith(("#", "REM ", "rem ", "::", "//")):
            continue
        found = list(_command(line, at, lines, kept, built=built))
        plain = readings.plain(line)
        if not found and plain != line:
            found = list(_command(plain, at, lines, kept, built=built))
        told = readings.told(line)
        if told and not found:
            found = [Act(at, Severity.HIGH, f"{told}: {line[:90]!a}")]
        yield from found


def _command(line: str, at: int, lines: list[str], kept: dict[str, int], *, built: bool) -> Iterator[Act]:
    fetch = _FETCH.search(line) or _ADDRESSED.search(line)
    shown = f"{line[:90]!a}"
    if _PROGRAM.search(line):
        yield Act(at, Severity.HIGH, f"gives an interpreter a program that runs text, fetches or connects: {shown}")
    elif _SUBSTITUTED.search(line) or (fetch and (_PIPED.search(line, fetch.start()) or _POWERSHELL.search(line))):
        yield Act(at, Severity.LOW if _vouched(line) else Severity.HIGH, f"fetches and runs in one line: {shown}")
    elif _DECODE.search(line) and _PIPED.search(line):
        yield Act(at, Severity.HIGH, f"decodes and runs in one line: {shown}")
    elif _POWERSHELL.search(line) or (_BACKDOOR.search(line) and not _tame(line, built=built)):
        yield Act(at, Severity.HIGH, f"runs hidden text, or leaves something behind: {shown}")
    elif fetch and _STOLEN.search(line) and not _OWN_API.search(line):
        yield Act(at, Severity.HIGH, f"sends secrets of the machine away: {shown}")
    if fetch or _DECODE.search(line):
        kept.update({_leaf(m[1]): at for m in _KEPT.finditer(line)})
        kept.update({_leaf(m[0]): at for m in re.finditer(r"https?://\S{1,300}", line) if "wget" in line or "curl -O" in line})
        kept.update(
            {_leaf(w): at for w in line.split() if w.lower().endswith((".exe", ".sh", ".py", ".ps1", ".bat", ".elf", ".bin"))}
        )
    for match in _RAN.finditer(line):
        if kept.get(_leaf(match[1]), at + 1) <= at and not _vouched(lines[kept[_leaf(match[1])] - 1]):
            yield Act(at, Severity.HIGH, f"runs what it fetched before: {shown}")
            break
    for match in _PREFERRED.finditer(line):
        if not _known_index(match[1]):
            yield Act(at, Severity.HIGH, f"installs from an index of somebody's own: {match[1][:100]!a}")
    installed = _PIP.search(line)
    if installed:
        yield from _required(installed[1], at, inline=True)


def _leaf(path: str) -> str:
    return path.rstrip("/\"'").replace("\\", "/").rsplit("/", 1)[-1]


def _required(line: str, at: int, *, inline: bool = False) -> Iterator[Act]:
    """Yield what is odd about one line of requirements, or the arguments of one install command."""
    line = re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip().strip(",").strip("\"' ")
    for match in _INDEX.finditer(line):
        where = match[1].strip("\"'")
        if "://" in where and not _known_index(where):
            yield Act(at, Severity.HIGH, f"installs from an index of somebody's own: {where[:100]!a}")
        elif where.startswith("http://"):
            yield Act(at, Severity.MEDIUM, f"installs over an open connection: {where[:100]!a}")
    if "--trusted-host" in line:
        host = line.split("--trusted-host", 1)[1].lstrip("= ").split(" ")[0].strip("\"'")
        known = _known_index(f"https://{host}/") or host.startswith("$")  # an argument of whoever builds it
        yield Act(at, Severity.LOW if known else Severity.HIGH, f"trusts {host[:80]!a} without a certificate")
    rest = _INDEX.sub(" ", line)
    for match in _URL.finditer(rest):
        yield from _direct(match[0], at)
    if inline:
        words = [w.strip("\"'") for w in rest.split() if not w.startswith("-") and "://" not in w]
    else:
        words = [] if line.startswith(("-", "[")) or "://" in line.split(" ", 1)[0] else [line.lstrip("- \"'")]
    for word in words[:200]:
        name = _NAME.match(word)
        meant = _meant(name[0]) if name else ""
        if name and meant:
            yield Act(at, Severity.HIGH, f"installs {name[0][:60]!a}, one keystroke from {meant!a}")


def _direct(url: str, at: int) -> Iterator[Act]:
    host = _HOST.match(url)
    owner = host[2].split("/")[0].lower() if host else ""
    if host and (
        _known_index(url)
        or (host[1].lower() in ("github.com", "raw.githubusercontent.com") and owner in table("packages")["owners"])
        or (host[1].lower() == "huggingface.co" and _hub_owner(host[2]) in table("packages")["owners"])
    ):
        return
    if url.lower().startswith("file:"):
        return
    insecure = url.lower().split("+")[-1].startswith(("http:", "git:"))
    pinned = bool(_COMMIT.search(url)) or "sha256=" in url or "github.com" in url
    severity = Severity.HIGH if insecure or not pinned else Severity.MEDIUM
    if host:
        yield Act(at, severity, f"installs straight from an address: {url[:100]!a}")


def _hub_owner(path: str) -> str:
    parts = path.lower().split("/")
    return parts[1] if parts[0] in ("spaces", "datasets") and len(parts) > 1 else parts[0]


def _known_index(url: str) -> bool:
    host = _HOST.match(url)
    place = f"{host[1].lower()}/{host[2]}" if host else ""
    return any(place.startswith(f"{known}/") or place == known for known in table("packages")["indexes"])


def _meant(name: str) -> str:
    """Return the popular name a name is one keystroke from; empty if it is popular itself, known, or far from all."""
    low = re.sub(r"[-_.]+", "-", name.lower())
    popular, deleted = _popular()
    if low in popular or low in _near() or len(low) < 5:
        return ""
    squeezed = low.replace("-", "")
    if squeezed in popular.values() and len(squeezed) > 5:
        return next(k for k, v in popular.items() if v == squeezed)
    for key in {low, *_deletions(low)}:
        for good in deleted.get(key, ()):
            if len(good) >= 5 and _one_edit(low, good):
                return good
    return ""


@cache
def _popular() -> tuple[dict[str, str], dict[str, set[str]]]:
    names = {str(n): str(n).replace("-", "") for n in table("packages")["popular"]}
    deleted: dict[str, set[str]] = {}
    for name in names:
        for key in {name, *_deletions(name)}:
            deleted.setdefault(key, set()).add(name)
    return names, deleted


@cache
def _near() -> frozenset[str]:
    return frozenset(map(str, table("packages")["near"]))


def _deletions(text: str) -> list[str]:
    return [text[:at] + text[at + 1 :] for at in range(len(text))]


def _one_edit(a: str, b: str) -> bool:
    """Return whether one insertion, deletion, replacement or exchange of neighbours makes one text the other."""
    if len(a) == len(b):
        wrong = [at for at in range(len(a)) if a[at] != b[at]]
        swapped = len(wrong) == 2 and wrong[1] == wrong[0] + 1 and a[wrong[0]] == b[wrong[1]] and a[wrong[1]] == b[wrong[0]]
        return len(wrong) == 1 or swapped
    longer, shorter = (a, b) if len(a) > len(b) else (b, a)
    return len(longer) == len(shorter) + 1 and any(longer[:at] + longer[at + 1 :] == shorter for at in range(len(longer)))


def _hooks(text: str) -> Iterator[Act]:
    try:
        document = json.loads(text)
        scripts = document.get("scripts", {})
    except (ValueError, AttributeError, RecursionError):
        return
    for key in ("dependencies", "devDependencies", "optionalDependencies"):
        wanted = document.get(key)
        for where in wanted.values() if isinstance(wanted, dict) else ():
            if isinstance(where, str) and "://" in where and _URL.match(where):
                yield from _direct(where, 1)
    for name, command in scripts.items() if isinstance(scripts, dict) else ():
        if isinstance(command, str):
            worst = max((a.severity for a in _commands([command[:_LINE]])), key=lambda s: s.rank, default=None)
            if worst is not None or (name in ("preinstall", "install", "postinstall", "prepare") and not _BUILDS.match(command)):
                yield Act(1, worst or Severity.MEDIUM, f"runs when it is installed: {name}: {command[:80]!a}")
