"""Which of these tests a backend runs."""

import keras

# Nothing of a backend is in the tests of single methods, and torch runs a step piece by piece the fastest. On
# the others methods are tested as they train: `test_every_method.py`, `tests/engine`, `tests/parity`.
collect_ignore_glob = [] if keras.backend.backend() == "torch" else ["test_[!e]*", "test_em*", "test_en*"]
