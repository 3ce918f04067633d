"""The official SPDX 3.0.1 model as a judge: a document is read into it and written again.

Reading checks types and enumerations; mandatory fields are checked only when writing.
"""

from __future__ import annotations

import io
from collections.abc import Mapping

from spdx_python_model import LoadError, load_data

_LONGEST = 300


def refusal(document: Mapping[str, object]) -> str:
    """Return why the model refuses a document, or nothing.

    Args:
        document: As parsed from JSON; may be anything.
    """
    try:
        model, objects = load_data(dict(document))
        model.JSONLDSerializer().write(objects, io.BytesIO())
    except (LoadError, TypeError, ValueError, KeyError, AttributeError, IndexError, RecursionError) as error:
        return " ".join(str(error).split())[:_LONGEST] or type(error).__name__
    return ""
