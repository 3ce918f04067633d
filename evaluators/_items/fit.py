"""Whether a question fits into a model: a context that is too long loses its beginning, an answer must not.

Used where requests are made, before anything is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def misfit(instances: Sequence[Any], encode: Callable[[str], Sequence[int]], longest: int) -> str:
    """Return why an item cannot be asked, or nothing.

    Args:
        instances: lm-eval's requests of one item.
        encode: Gives the token ids of a text.
        longest: Most tokens of one row.

    Returns:
        A reason for people; empty if every continuation fits whole beside at least one token of its context.
    """
    for request in instances:
        if request.request_type == "generate_until":
            most = int(dict(request.args[1]).get("max_gen_toks", 0))
            if most >= longest:
                return f"an answer of up to {most} tokens does not fit into the {longest} tokens of the model"
        elif request.request_type == "loglikelihood":
            text = str(request.args[1])
            # No tokenizer makes more tokens of a text than it has bytes, so that most texts need no encoding here.
            if len(text.encode("utf-8", "surrogatepass")) < longest:
                continue
            length = len(encode(text))
            if length >= longest:
                return f"a choice of {length} tokens does not fit into the {longest} tokens of the model"
    return ""
