"""Command lines on kerassl's public API: `python -m recipes.pretrain`, installed `kerassl pretrain`."""

import sys

from .quiet import import_quietly

# While Python imports the package of a module that it runs.
if sys.argv[:1] == ["-m"]:
    import_quietly("keras")
