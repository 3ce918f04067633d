"""What lines of a script say once names, quotes and escapes are put in their places: a second reading beside the plain one.

Read by ``code.scripts``. Nothing is run: constants are filled in, escapes of ``printf`` decoded, and names that hold a secret, or
text that was fetched or decoded, are followed to where they are sent or run. Bounded per line.

Source:
    POSIX shell, sections 2.2 and 2.6; cmd.exe ``set``; PowerShell ``about_Special_Characters``
    (from knowledge of them, not re-read).
"""

from __future__ import annotations

import re

_LONGEST, _MOST_NAMES = 4_000, 400
_ASSIGNED = re.compile(
    r"(?:^|[;&|]|\b(?:export|local|declare|readonly|then|do)\s)\s{0,8}\$?([A-Za-z_]\w{0,60})\s{0,2}=\s{0,2}"
    r"(\"[^\"]{0,600}\"|'[^']{0,600}'|\$\(.{0,600}\)|`[^`]{0,600}`|[^\s;&|]{1,400})"
)
_SET = re.compile(r"^\s{0,20}@?set\s{1,8}\"?(\w{1,60})=([^\"&|\r\n]{1,300})", re.IGNORECASE)
_ESCAPED = re.compile(
    r"(?:\$\(|`)\s{0,8}(?:printf|echo\s{1,4}-\w{0,3}e\w?)\s{1,8}"
    r"[\"']?((?:\\x[0-9a-fA-F]{2}|\\0?[0-7]{3}|[\w ./:-]){1,300})[\"']?\s{0,8}[)`]"
)
_ESCAPE = re.compile(r"\\x([0-9a-fA-F]{2})|\\0?([0-7]{3})")
_USED = re.compile(r"\$\{?([A-Za-z_]\w{0,60})\}?|%(\w{1,60})%|!(\w{1,60})!")
_MADE = re.compile(
    r"\b(?:curl|wget|rev|base64|base32|xxd|openssl|gunzip|zcat|tr|uudecode|DownloadString|DownloadData|Invoke-WebRequest|FromBase64String|nslookup|dig)\b",
    re.IGNORECASE,
)
_RUN = (
    r"(?:\beval\s|\b(?:ba|z|da|k)?sh\s{1,4}-\w{0,4}c\s|<<<\s{0,4}|"
    r"\bsource\s|\biex\s|\bInvoke-Expression\s|^\s{0,8}&?\s{0,4})[\"'(]{0,3}\s{0,4}"
)
_RUNS = re.compile(_RUN + r"\$\{?([A-Za-z_]\w{0,60})\}?", re.IGNORECASE)
_INTO = re.compile(r"\$\{?([A-Za-z_]\w{0,60})\}?[\"']?\s{0,8}\|\s{0,8}(?:sudo\s{1,4})?(?:(?:ba|z|da|k)?sh|python[\d.]{0,6}|perl)\b")
#: Programs that carry what they are given to another machine.
SENDS = re.compile(
    r"(?:^|[|;&(`]|\b(?:then|do|else|sudo|timeout \d{1,4}))\s{0,8}(?:nc|ncat|netcat|telnet|socat|"
    r"nslookup|dig|host|drill|ping|ssh|scp|sftp|rsync|sendmail|mailx?|"
    r"curl|wget|ftp|tftp|Invoke-WebRequest|Invoke-RestMethod|iwr|irm)\s",
    re.IGNORECASE,
)
#: Places and names of secrets, in whatever spelling a script reaches for them.
_SECRET = re.compile(
    r"huggingface/(?:stored_)?token|\bid_(?:rsa|ed25519|ecdsa)\b|\.git-credentials|\.ssh\b(?!/known_hosts)|\.aws\b|\.netrc|/etc/shadow|\.kube/config|"
    r"\.docker/config|\.config/gcloud|Login Data|\.gnupg\b|\.pypirc|169\.254\.169\.254"
)
#: A key that a connection is made with stays where it is.
_IDENTITY = re.compile(r"\s-i\s{1,4}\S{1,200}|IdentityFile=\S{1,200}")
_OWN = re.compile(
    r"https://(?:[\w-]{1,60}\.)?(?:huggingface\.co|hf\.co|wandb\.ai|openai\.com|github\.com|anthropic\.com)/", re.IGNORECASE
)
_JOINTS = (
    (re.compile(r"\[[\"'](\w{1,40})[\"']\]"), r".\1"),
    (re.compile(r"[\"']\s{0,4}\+\s{0,4}[\"']"), ""),
    (re.compile(r"(?<=\w)(?:\"\"|''|`|\^|\\)(?=\w)"), ""),
    (re.compile(r"(?<=[\w/])[\"'](\w{1,30})[\"'](?=[\w/]|\b)"), r"\1"),
    (re.compile(r"\^(?=[\w/])"), ""),
    (re.compile(r"\$\{?IFS\}?|\$IFS\$\d"), " "),
)


class Readings:
    """Goes through a script line by line and remembers what names hold."""

    def __init__(self) -> None:
        self._constants: dict[str, str] = {}
        self._made: set[str] = set()
        self._secret: set[str] = set()

    def plain(self, line: str) -> str:
        """Return a line with its constants filled in and its joints closed.

        Args:
            line: One line, cut.
        """
        filled = _USED.sub(lambda m: self._constants.get((m[1] or m[2] or m[3]).lower(), m[0]), line)
        for joint, with_what in _JOINTS:
            filled = joint.sub(with_what, filled)
        return filled[:_LONGEST]

    def told(self, line: str) -> str:
        """Return what a line does with names that hold a secret, or text fetched or decoded; empty if nothing. Then learn from it.

        Args:
            line: One line, cut.
        """
        said = ""
        ran = {m[1].lower() for p in (_RUNS, _INTO) for m in p.finditer(line)}
        if ran & self._made:
            said = "runs text that it decoded or fetched before"
        elif SENDS.search(line) and not _OWN.search(line):
            held = _SECRET.search(_IDENTITY.sub(" ", line)) or _names(line) & self._secret
            said = "sends secrets of the machine away" if held else ""
        self._learn(line)
        return said

    def _learn(self, line: str) -> None:
        for match in (*_ASSIGNED.finditer(line), *_SET.finditer(line)):
            name, value = match[1].lower(), match[2]
            if len(self._constants) + len(self._made) + len(self._secret) > _MOST_NAMES:
                return
            computed = value.startswith(("$(", "`")) or line.lstrip().startswith("$")
            escaped = _ESCAPED.match(value)
            if escaped:
                self._constants[name] = _ESCAPE.sub(lambda m: chr(int(m[1], 16) if m[1] else int(m[2], 8) & 0xFF), escaped[1])
            elif _SECRET.search(value) or _names(value) & self._secret:
                self._secret.add(name)
            elif (computed and _MADE.search(value)) or _names(value) & self._made:
                self._made.add(name)
            elif not computed:
                self._constants[name] = self.plain(value.strip("\"'"))[:400]


def _names(text: str) -> set[str]:
    return {(m[1] or m[2] or m[3]).lower() for m in _USED.finditer(text)}
