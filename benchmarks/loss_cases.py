"""The losses that `benchmarks.losses` times: shapes, and inputs that both sides make alike from NumPy."""

import numpy as np

# Widths are those of lightly's own PyTorch examples; `live` counts the inputs that receive a gradient.
CASES = {
    "nt_xent": {"width": "128-d projections", "shapes": ((128,), (128,)), "live": 2, "temperature": 0.5},
    "nt_xent_blockwise": {
        "width": "128-d projections, blocks of 512 rows",
        "shapes": ((128,), (128,)),
        "live": 2,
        "temperature": 0.5,
        "block_size": 512,
    },
    "barlow_twins": {"width": "2048-d projections", "shapes": ((2048,), (2048,)), "live": 2},
    "byol": {"width": "256-d predictions", "shapes": ((256,), (256,)), "live": 1},
    "negative_cosine": {"width": "256-d predictions", "shapes": ((256,), (256,)), "live": 1},
    "dino": {
        "width": "2048 prototypes, 2 global and 4 local crops",
        "views": (6, 2),
        "dim": 2048,
        "live": 1,
    },
    "masked_mse": {
        "width": "12 of 16 patches hidden, 768 values each (64 px, patch 16)",
        "patches": (16, 12, 768),
        "live": 1,
    },
}


def inputs(name: str, batch: int) -> tuple[np.ndarray, ...]:
    """The arguments of a loss, those with a gradient first.

    DINO: student logits, teacher logits, centre. Masked MSE: predictions and targets of all patches, and the
    indices of the hidden ones.
    """
    case, rng = CASES[name], np.random.default_rng(0)

    def normal(*shape):
        return rng.standard_normal(shape, dtype="float32")

    if "views" in case:
        student, teacher = case["views"]
        dim = case["dim"]
        return normal(student, batch, dim), normal(teacher, batch, dim), np.zeros(dim, "float32")
    if "patches" in case:
        patches, hidden, dim = case["patches"]
        index = np.argsort(rng.random((batch, patches)), axis=1)[:, :hidden]
        return normal(batch, patches, dim), normal(batch, patches, dim), index
    return tuple(normal(batch, *shape) for shape in case["shapes"])
