"""Files that hold nothing but the numbers of a graph beside them: what a graph names, and the shards of a checkpoint.

Such a file has no form of its own, so nothing in it tells what it is. Read by ``inventory``.

Source:
    ONNX "External Data"; HDF5 external storage; tensorflow core/util/tensor_bundle: ``<prefix>.data-00000-of-00001``
    beside ``<prefix>.index``.
"""

from __future__ import annotations

import re
from posixpath import dirname, join, normpath

from governance.context import RunContext
from governance.errors import SubjectError
from governance.subject import Composition
from scanners._formats.graphs import contents as graph_contents
from scanners._formats.tree import contents

_SHARD = re.compile(r"(.+)\.data-\d{5}-of-\d{5}\Z", re.DOTALL)


def companions(composition: Composition, ctx: RunContext) -> frozenset[str]:
    """Return the paths of the adapter's files that only hold numbers for a graph of the adapter.

    Args:
        composition: Holds the adapter.
        ctx: Opens its files.
    """
    indexes, found, paths = set[str](), set[str](), list[str]()
    for entry, root in contents(composition, ctx):
        paths.append(entry.path)
        if root is None or not {"onnx", "hdf5", "tf-index"} & set(root.kinds):
            continue
        indexes.add(entry.path)
        try:
            said = graph_contents.look(root, ctx.limits)
        except (OSError, SubjectError):
            continue
        found |= {normpath(join(dirname(entry.path), name.replace("\\", "/"))) for name in (said.refers if said else ())}
    shards = {p for p in paths if (m := _SHARD.match(p)) and f"{m[1]}.index" in indexes}
    return frozenset(found | shards)
