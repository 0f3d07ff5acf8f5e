"""Self-supervised learning for Keras 3: one source for TensorFlow, JAX and PyTorch."""

import importlib
import pathlib
import sys

from kerassl.version import __version__ as __version__

if pathlib.PurePath(*sys.argv[:1]).stem == "kerassl":
    # The command answers --help, --version and completion without a backend, which takes seconds to import.
    def __getattr__(name: str) -> object:
        """Imports the library with the first name that is asked for."""
        if name.startswith("_"):
            raise AttributeError(f"module 'kerassl' has no attribute {name!r}")
        return getattr(importlib.import_module("kerassl.public"), name)

else:
    # Layers are registered here, so that a .keras file opens after `import kerassl`.
    from kerassl.public import *  # noqa: F403
    from kerassl.public import __all__

    def __dir__() -> list[str]:
        return sorted([*__all__, "__version__"])
