"""VICRegL: VICReg on whole images and on the matching cells of their feature maps.

"VICRegL: Self-Supervised Learning of Local Visual Features", arXiv 2210.01571, section 3.
Official code: facebookresearch/VICRegL, `main_vicregl.py`, `transforms.py`.

- The loss of whole images is VICReg's (`kerassl/methods/redundancy/vicreg.py`), except that the covariance
  terms of the two views are averaged, as in the official code of this method; VICReg sums them.
- Matching by location keeps equally many cells in both directions; the official code keeps 20 in one and 4 in
  the other.
- There are two views of one size; the official commands for ConvNeXt add six small ones.
- The location of a cell accounts for the crop and its flip. The official code ignores the flip by default.
- The local loss is the mean over both orders of the views. The official code divides the loss of the last
  order by their number, which halves it.
- Variances and covariances are computed over the global batch, cell by cell, with gradients of all replicas.
"""

from keras import KerasTensor, Model, layers, ops

from kerassl.backbones.feature_maps import average_pool, check_feature_map
from kerassl.heads import mlp
from kerassl.losses import matched_cells
from kerassl.methods.redundancy.vicreg import VICREG_PAPER, VICReg
from kerassl.training import Batch, Fraction, Outputs, PositiveInt, Recipe
from kerassl.views import LocatedViews, TwoViews, cell_centers
from kerassl.views.choice import choose_views


class VICRegL(VICReg):
    """VICRegL (arXiv 2210.01571).

    Args:
        encoder: built `keras.Model` from images to a feature map `(batch, h, w, dim)`, for example a
            `kerassl.backbones` network made with `pool=None`.
        global_weight: weight of the loss of whole images, alpha in the paper, in [0, 1]; the loss of cells
            has weight `1 - global_weight`. 0.75 or 0.9 in the paper.
        num_matches: number of nearest pairs of cells that are kept per image in the matching by location,
            gamma in the paper; all if a map has fewer cells.
        local_dim: width of the cells' embedding, and of its head's two hidden layers.
        **kwargs: the other arguments of `VICReg`: `invariance`, `variance`, `covariance`, `projection_dim`,
            `hidden_dim`, `seed`, `name`.

    Raises:
        ValueError: for an encoder that pools its feature map or views without crop locations, and as
            `VICReg`.

    Example:
        >>> import kerassl
        >>> encoder = kerassl.backbones.resnet18((32, 32, 3), stem="small", width=16, pool=None)
        >>> model = kerassl.methods.VICRegL(encoder, projection_dim=64, hidden_dim=64, local_dim=32)
        >>> type(model.views).__name__
        'LocatedViews'
    """

    wants = "feature map"
    terms = (*VICReg.terms, *(f"local_{name}" for name in VICReg.terms))

    # As in VICReg.
    recipes = {
        "vicregl": Recipe(
            paper=VICREG_PAPER,
            short_arguments={
                "global_weight": 0.9,
                "num_matches": 2,
                "hidden_dim": 1024,
                "projection_dim": 1024,
                "local_dim": 128,
            },
            backbone_args={"pool": None},
        )
    }

    def __init__(
        self,
        encoder: Model,
        *,
        views: str | layers.Layer | None = "default",
        global_weight: Fraction = 0.75,
        num_matches: PositiveInt = 20,
        local_dim: PositiveInt = 512,
        **kwargs,
    ) -> None:
        views = choose_views(views, self.default_views, encoder, num_views=2, options={})
        if isinstance(views, TwoViews) and not isinstance(views, LocatedViews):
            views = LocatedViews(views.view1, views.view2)
        if views is not None and not isinstance(views, LocatedViews):
            raise ValueError(
                f"VICRegL must know where its views were cropped, which {type(views).__name__} does not say; "
                "pass kerassl.views.LocatedViews."
            )
        super().__init__(encoder, views=views, **kwargs)
        check_feature_map(encoder, "VICRegL")
        self.local_projector = mlp(
            self.feature_dim, (local_dim, local_dim), local_dim, hidden_bias=True, name="local_projector"
        )

    def loss_terms(self, views: tuple, batch: Batch, training: bool) -> Outputs:
        """VICReg of the images, and of the cells that match by features and by location."""
        view1, view2, *boxes = views
        maps = [self.encode_unpooled(self.encoder, view, training) for view in (view1, view2)]
        features = [average_pool(feature_map) for feature_map in maps]
        z1, z2 = (self.projector(f, training=training) for f in features)
        cells = [self.project_cells(feature_map, training) for feature_map in maps]
        height, width = maps[0].shape[1:3]
        centers = [cell_centers(box, height, width) for box in boxes]
        # Two matchings, each in both directions: mean over directions, sum over matchings.
        pairs = matched_cells(*cells, *centers, num_matches=self.arguments.num_matches)
        local = [self.measure(x, y) for x, y in pairs]
        local = [sum(values) / 2 for values in zip(*local, strict=True)]
        terms = {}
        for prefix, share, measured in (
            ("", self.arguments.global_weight, self.measure(z1, z2)),
            ("local_", 1 - self.arguments.global_weight, local),
        ):
            for (name, weight), value in zip(self.term_weights.items(), measured, strict=True):
                terms[prefix + name] = share * weight * value
        return Outputs(terms, features=features)

    def project_cells(self, feature_map: KerasTensor, training: bool) -> KerasTensor:
        """Embeddings `(batch, cells, local_dim)` of a map's cells, each projected separately."""
        _, height, width, dim = feature_map.shape
        z = self.local_projector(ops.reshape(feature_map, (-1, dim)), training=training)
        return ops.reshape(z, (-1, height * width, self.arguments.local_dim))
