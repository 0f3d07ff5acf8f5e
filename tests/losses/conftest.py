"""Which of these tests a backend runs."""

import keras

# As in tests/methods: JAX runs what all losses are asked, `test_loss_contract.py`.
collect_ignore_glob = ["test_[!l]*", "test_look*"] if keras.backend.backend() == "jax" else []
