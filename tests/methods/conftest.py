"""Which of these tests a backend runs."""

import keras

# JAX compiles every operation of a step that is run piece by piece, and nothing of a backend is in these
# tests: there methods are tested as they train, in `test_every_method.py`, `tests/engine` and `tests/parity`.
collect_ignore_glob = ["test_[!e]*", "test_em*"] if keras.backend.backend() == "jax" else []
