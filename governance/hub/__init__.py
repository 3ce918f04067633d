"""Sources: a reference goes in, a pinned and verified composition comes out. The only home of the Hub client and its token.

    acquirer    the ``Source``: adapter, what it says of itself, its base; data sets of tasks
    remote      one repository of a Hub: listing, limits, download, verification
    client      metadata by ``huggingface_hub``; errors a person can act on
    transfer    one file as a stream: resumes, verifies, never carries the token to another host
    ranged      repositories read in parts, within a budget; ``pieces`` keeps the parts
    local       one folder: a bounded copy into the store
    names       which file names are taken in
    selection   which files of a repository are needed

Made by ``api.curator``; what it returns is read by every plug-in. It parses nothing of a subject.
"""

from governance.hub.acquirer import Acquirer
from governance.hub.ranged import RangedFiles, Transferred

__all__ = ["Acquirer", "RangedFiles", "Transferred"]
