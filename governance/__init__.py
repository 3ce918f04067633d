"""The floor of the house: what an audit is about, what was found, and the order of its steps.

Nouns (``subject``, ``licensing``, ``evidence``, ``dossier``, ``verdict``), what is handed down (``context``), the seams
(``contracts``), and the five verbs that need the outside world (``hub``, ``store``, ``isolation``, ``ledger``, ``pipeline``).
"""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("model-curator")
except PackageNotFoundError:  # a source tree that was never installed
    VERSION = "0.0.0"
