"""The inputs of `benchmarks.agreement`, generated identically on both sides."""

import numpy as np

# Name: how many of its inputs receive a gradient.
CASES = {
    "nt_xent": 2,
    "dcl": 2,
    "dclw": 2,
    "info_nce": 1,
    "barlow_twins": 2,
    "dino": 2,
    "frossl": 2,
    "ibot": 1,
    "koleo": 2,
    "mmcr": 2,
    "msn": 1,
    "negative_cosine": 1,
    "vicreg": 2,
    "vicregl": 2,
    "sigreg": 2,
    "swav": 2,
    "tico": 1,
    "visreg": 2,
    "wmse": 2,
}
SIZES = ((8, 16), (64, 128), (256, 32))
SEEDS = range(3)
# Rows of a case that stand for the patches or cells of one image.
TOKENS = 4


def token_mask(batch: int) -> np.ndarray:
    """Boolean `(batch / TOKENS, TOKENS)`: which rows stand for hidden patches; none of the first image's."""
    image, token = np.indices((batch // TOKENS, TOKENS))
    return ((image + token) % 3 > 0) & (image > 0)


def inputs(name: str, batch: int, dim: int, seed: int) -> list[np.ndarray]:
    """Two batches of embeddings that are similar like two views, and further inputs of the loss.

    For DINO they are the student's logits, and the others the teacher's and their center; for VICRegL the
    rows are cells of images, and the others their places in both views.
    """
    rng = np.random.default_rng(seed)
    # Whitening asks for more images than dimensions.
    dim = min(dim, batch // 2) if name == "wmse" else dim
    shared = rng.normal(size=(batch, dim))
    views = [3 * (shared + rng.normal(size=(batch, dim))) for _ in range(2)]
    shapes = {
        "info_nce": (4 * batch, dim),
        "sigreg": (dim, 64),
        "visreg": (dim, 64),
        "msn": (32, dim),
        "dino": (2, batch, dim),
    }
    more = [rng.normal(size=shapes[name])] if name in shapes else []
    if name == "dino":
        more.append(rng.normal(size=dim))
    if name == "vicregl":
        # The peer lists matches by distance, we by place, and statistics are taken along the list: each cell
        # is nearest to its own, the farther the later it comes, so that both lists are one.
        apart = np.tile(np.arange(1, TOKENS + 1) / 2, batch // TOKENS)[:, None]
        noise = views[1] - views[0]
        views[1] = views[0] + apart * noise / np.linalg.norm(noise, axis=1, keepdims=True)
        places = np.tile(10.0 * np.arange(TOKENS), batch // TOKENS)[:, None] * np.ones(2)
        more = [places, places + apart]
    return [array.astype("float32") for array in (*views, *more)]
