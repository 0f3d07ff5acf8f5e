"""The losses that `benchmarks.losses` times: shapes, and inputs that are identical on both sides."""

import numpy as np

# Of the first call, which is not measured; lightly's whitening wants twice the width.
SMALL_BATCH = 128
# Widths are those of lightly's own PyTorch examples; `live` counts the inputs that receive a gradient, `more`
# are the shapes of what is not of the batch.
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
    "dcl": {"width": "128-d projections", "shapes": ((128,), (128,)), "live": 2},
    "dclw": {"width": "128-d projections", "shapes": ((128,), (128,)), "live": 2},
    "info_nce": {
        "width": "128-d projections, queue of 4096",
        "shapes": ((128,), (128,)),
        "more": ((4096, 128),),
        "live": 1,
    },
    "vicreg": {"width": "2048-d projections", "shapes": ((2048,), (2048,)), "live": 2},
    "tico": {"width": "256-d projections", "shapes": ((256,), (256,)), "live": 1},
    "mmcr": {"width": "512-d projections", "shapes": ((512,), (512,)), "live": 2},
    "frossl": {"width": "1024-d projections", "shapes": ((1024,), (1024,)), "live": 2},
    "wmse": {"width": "64-d projections, whitened over the batch", "shapes": ((64,), (64,)), "live": 2},
    "koleo": {"width": "384-d features", "shapes": ((384,),), "live": 1},
    "swav": {"width": "512 prototypes, 2 global and 6 local crops", "views": (8,), "dim": 512, "live": 1},
    "msn": {
        "width": "256-d projections, 1024 prototypes",
        "shapes": ((256,), (256,)),
        "more": ((1024, 256),),
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

    DINO: student logits, teacher logits, center. SwAV: cosines. Masked MSE: predictions and targets of all
    patches, and the indices of the masked ones.
    """
    case, rng = CASES[name], np.random.default_rng(0)

    def normal(*shape):
        return rng.standard_normal(shape, dtype="float32")

    if name == "swav":
        return (np.tanh(normal(*case["views"], batch, case["dim"])),)
    if "views" in case:
        student, teacher = case["views"]
        dim = case["dim"]
        return normal(student, batch, dim), normal(teacher, batch, dim), np.zeros(dim, "float32")
    if "patches" in case:
        patches, hidden, dim = case["patches"]
        index = np.argsort(rng.random((batch, patches)), axis=1)[:, :hidden]
        return normal(batch, patches, dim), normal(batch, patches, dim), index
    of_batch = [normal(batch, *shape) for shape in case["shapes"]]
    return (*of_batch, *(normal(*shape) for shape in case.get("more", ())))
