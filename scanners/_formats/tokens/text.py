"""How tokens look to a person, and what counts as a word: shared by the readers of tokenizers.

Source:
    Unicode UAX #15 (NFKC) and UTS #39 (confusables; the letters of other scripts that look like Latin ones).
"""

from __future__ import annotations

import re
import unicodedata

from scanners._formats.tables import table
from scanners._formats.templates.review import invisible

_LOOKS = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0445\u0443\u0456\u0458\u0455\u0501\u051b\u0261\u03bf\u03b1\u03b9\u03bd\u03c1\u0410\u0412\u0415\u041a\u041c"
    "\u041d\u041e\u0420\u0421\u0422\u0425\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7\u2223\u01c0\u00a6\u2758"
    "\u2581\u02cd\u2039\u203a\u27e8\u27e9\u3008\u3009\u2329\u232a\u2010\u2011\u2012\u2013\u2212\u2044\u2215",
    "aeopcxyijsdqgoaivpABEKMHOPCTXABEZHIKMNOPTYX||||__<><><><>-----//",
)
_SPACE = "\u0120\u2581"
_WORD = re.compile(r"[^\W\d_]{2,}")
_CONTROL = re.compile(
    r"\A(?:<\|[^<>|]{1,60}\|>|<\uff5c[^<>]{1,60}\uff5c>|</?s>|<(?:bos|eos|pad|unk|mask|cls|sep)>|\[(?:CLS|SEP|PAD|MASK|UNK|BOS|EOS)\]"
    r"|<(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>)\Z"
)
_ADDRESS = re.compile(r"\b(?:https?|ftp|wss?|ssh|git)://[\w-]{1,60}(?:\.[\w-]{1,60})+|\bwww\.[\w-]{2,60}\.\w{2,10}")
_SPOKEN = re.compile(r"(?<![^\s])[^\W\d_]{2,}(?=[\s.,:;!?]|\Z)")
_ORDERS = tuple(re.compile(p, re.IGNORECASE) for p in table("template_orders").values())
#: Words between blanks that make a token a sentence.
_SENTENCE = 4
#: Controls that end or begin a turn: text that can spell one can speak for another.
TURNS = frozenset(table("tokens")["turns"].split())
_NOISE = tuple(re.compile(noise) for noise in table("tokens")["noise"])


def looks(token: str) -> str:
    """Return what a person sees: compatibility forms folded, look-alikes made Latin, what shows nothing left out."""
    if token.isascii():
        return token.strip()
    folded = unicodedata.normalize("NFKC", token.translate(_LOOKS)).translate(_LOOKS)
    return "".join(c for c in folded if not invisible(c)).strip()


def unseen(token: str) -> str | None:
    """Return the first character of a token that shows nothing, turns direction or is a control; None if all are seen."""
    for character in token:
        if invisible(character) or (unicodedata.category(character) == "Cc" and character not in "\t\n\r\x0b\x0c\x1b"):
            return f"U+{ord(character):04X}"
    return None


def is_control(token: str) -> bool:
    """Return whether a token is written as a control token of a known kind."""
    return bool(_CONTROL.match(token))


def is_word(token: str) -> bool:
    """Return whether a token is an ordinary word, as a person writes it."""
    bare = token.strip().strip(_SPACE)
    return bare.isalpha() and len(bare) > 1


def says(token: str) -> str:
    """Return what a token says that no token needs to say: an address, an order, a command, a sentence; or nothing."""
    if len(token) < 8 or token.isalnum():
        return ""
    if found := _ADDRESS.search(token):
        return f"the address {found[0][:60]!r}"
    if any(order.search(token) for order in _ORDERS):
        return f"an order or a command, {token[:60]!r}"
    return f"a sentence, {token[:60]!r}" if len(_SPOKEN.findall(token)) >= _SENTENCE else ""


def words(text: str, least: int = 1) -> list[str]:
    """Return the runs of letters or digits in a text that are at least so long."""
    return [w for w in re.findall(r"[^\W_]+", text) if len(w) >= least]


def pattern_words(pattern: str, least: int) -> list[str]:
    """Return the literal words of a regular expression: classes, escapes, groups and contractions are none."""
    plain = pattern[:20_000]
    for noise in _NOISE:
        plain = noise.sub(" ", plain)
    return [w for w in _WORD.findall(plain) if len(w) >= least]
