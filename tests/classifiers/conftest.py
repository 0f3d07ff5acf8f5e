"""Which of these tests a backend runs."""

import keras

# As in tests/methods: the others train every classifier in `test_every_method.py`.
collect_ignore_glob = [] if keras.backend.backend() == "torch" else ["test_[!cn]*"]
