"""Which of these tests a backend runs."""

import keras

# As in tests/methods: the others run what all losses are asked, `test_loss_contract.py`.
collect_ignore_glob = [] if keras.backend.backend() == "torch" else ["test_[!l]*", "test_look*"]
