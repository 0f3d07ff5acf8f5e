"""Position embeddings of a grid of patches: fixed sines and cosines, and resizing of learned ones."""

import numpy as np
from keras import KerasTensor, ops


def sincos_positions(
    hidden_dim: int, grid: tuple[int, int], native_grid: tuple[int, int] | None = None
) -> np.ndarray:
    """Returns fixed 2-D sine-cosine position embeddings.

    As in MAE (arXiv 2111.06377; facebookresearch/mae `util/pos_embed.py`): the first half of the
    features encodes the column, the second half the row, each as [sin(p w_i), cos(p w_i)] with
    w_i = 10000^(-i / (hidden_dim / 4)).

    Args:
        hidden_dim: number of features, a multiple of 4.
        grid: (rows, columns) of the patches.
        native_grid: the grid that the coordinates refer to; a different `grid` covers the same extent
            with patch centers in between, the exact form of an interpolation. `grid` by default.

    Returns:
        float32 array (rows * columns, hidden_dim), row by row.

    Raises:
        ValueError: when `hidden_dim` is not a multiple of 4.

    Example:
        >>> from kerassl.backbones import sincos_positions
        >>> sincos_positions(4, (1, 2)).round(3).tolist()
        [[0.0, 1.0, 0.0, 1.0], [0.8410000205039978, 0.5400000214576721, 0.0, 1.0]]
    """
    if hidden_dim % 4:
        raise ValueError(
            f"sin-cos positions need a hidden_dim that is a multiple of 4, not {hidden_dim}; "
            'take another hidden_dim or positions="learned".'
        )
    native_grid = native_grid or grid
    rows, columns = (
        (np.arange(n) + 0.5) * native / n - 0.5 for n, native in zip(grid, native_grid, strict=True)
    )
    frequencies = 10000.0 ** (-np.arange(hidden_dim // 4) / (hidden_dim / 4))

    def encode(coordinates: np.ndarray) -> np.ndarray:
        angles = coordinates.reshape(-1, 1) * frequencies
        return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)

    row, column = np.meshgrid(rows, columns, indexing="ij")
    return np.concatenate([encode(column), encode(row)], axis=1).astype("float32")


def resize_positions(
    positions: KerasTensor, grid: tuple[int, int], new_grid: tuple[int, int], antialias: bool = False
) -> KerasTensor:
    """Resizes learned patch positions to another grid by bicubic interpolation.

    Pixel centers are at half-integers, as in `torch.nn.functional.interpolate(mode="bicubic")`: the cubic
    kernel has a = -0.75, and borders are repeated. DINO's positions extend a tenth of a patch further. timm
    sets `antialias=True`: a = -0.5, a kernel as wide as the reduction, and weights that are cut off at the
    border and sum to one. It is two products with constant matrices, so that it compiles everywhere and lets
    gradients pass.

    Args:
        positions: tensor (rows * columns, dim), row by row.
        grid: (rows, columns) of `positions`.
        new_grid: (rows, columns) wanted.
        antialias: as timm does.

    Returns:
        Tensor (new rows * new columns, dim); `positions` itself when the grids agree.

    Example:
        >>> import numpy as np
        >>> from kerassl.backbones import resize_positions
        >>> tuple(resize_positions(np.ones((4, 8), "float32"), (2, 2), (3, 3)).shape)
        (9, 8)
    """
    if tuple(grid) == tuple(new_grid):
        return positions
    dim = positions.shape[-1]
    dtype = positions.dtype
    matrix = _antialiased_matrix if antialias else _bicubic_matrix
    resize_rows = ops.cast(matrix(grid[0], new_grid[0]), dtype)
    resize_columns = ops.cast(matrix(grid[1], new_grid[1]), dtype)
    table = ops.matmul(resize_rows, ops.reshape(positions, (grid[0], grid[1] * dim)))
    table = ops.matmul(resize_columns, ops.reshape(table, (new_grid[0], grid[1], dim)))
    return ops.reshape(table, (new_grid[0] * new_grid[1], dim))


def _bicubic_matrix(size: int, new_size: int) -> np.ndarray:
    centers = (np.arange(new_size) + 0.5) * size / new_size - 0.5
    taps = np.floor(centers).astype(int)[:, None] + np.arange(-1, 3)
    weights = _cubic(centers[:, None] - taps, -0.75)
    matrix = np.zeros((new_size, size))
    np.add.at(matrix, (np.arange(new_size)[:, None], np.clip(taps, 0, size - 1)), weights)
    return matrix.astype("float32")


def _antialiased_matrix(size: int, new_size: int) -> np.ndarray:
    scale = size / new_size
    centers = (np.arange(new_size) + 0.5) * scale - 0.5
    weights = _cubic((centers[:, None] - np.arange(size)) / max(scale, 1.0), -0.5)
    return (weights / weights.sum(axis=1, keepdims=True)).astype("float32")


def _cubic(offsets: np.ndarray, a: float) -> np.ndarray:
    distance = np.abs(offsets)
    near = (a + 2) * distance**3 - (a + 3) * distance**2 + 1
    far = a * (distance**3 - 5 * distance**2 + 8 * distance - 4)
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))
