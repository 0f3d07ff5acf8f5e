"""Runs one optimizer step of a method on fixed weights and views; `tests/parity` runs it on each backend.

Usage: one_step.py METHOD[,METHOD...] FOLDER write|read
"""

import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "methods"))

import keras  # noqa: E402
from tiny_methods import labels, make, ready_views  # noqa: E402

# Settings under which a method draws no numbers, which each backend makes in its own way.
WITHOUT_CHANCE = {"MoCHi": {"num_hardest": 1, "num_query_mixed": 0}}
names, folder, mode = sys.argv[1].split(","), pathlib.Path(sys.argv[2]), sys.argv[3]
for name in names:
    model = make(name, views=None, **WITHOUT_CHANCE.get(name, {}))
    views = ready_views(name)
    file = folder / f"{name}_weights.npz"
    if mode == "write":
        np.savez(file, *model.get_weights())
    else:
        stored = np.load(file)
        model.set_weights([stored[key] for key in stored.files])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9))
    history = model.fit(views, labels(8), batch_size=8, epochs=1, shuffle=False, verbose=0)
    backend = keras.backend.backend()
    np.savez(folder / f"{name}_{backend}.npz", history.history["loss"][0], *model.get_weights())
