"""Which of these tests a backend runs."""

import keras

# As in tests/methods: those of single methods, in which nothing is of a backend, run on torch.
collect_ignore_glob = [] if keras.backend.backend() == "torch" else ["test_[!ds]*", "test_sla*"]
