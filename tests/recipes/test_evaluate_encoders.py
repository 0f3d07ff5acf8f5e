"""`recipes.evaluate` where it looks into encoders: patches of objects, weights that can be zero."""

import keras
import numpy as np
import pytest
from PIL import Image

import kerassl
from recipes import evaluate

pytestmark = pytest.mark.backends("torch")
SETTINGS = {"dataset": "digits", "limit_train": 120, "limit_test": 60}


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    """A .keras file of an untrained ViT."""
    keras.utils.set_random_seed(0)
    encoder = kerassl.backbones.vit((8, 8, 1), patch_size=2, hidden_dim=12, depth=1, num_heads=3)
    path = tmp_path_factory.mktemp("masks") / "vit"
    return str(kerassl.methods.SimCLR(encoder, views="digits").export_encoder(path, format="keras"))


def masked_images(folder, count):
    """A white and a black square on gray, in other places in each image."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for index in range(count):
        image, mask = np.full((8, 8), 128, "uint8"), np.zeros((8, 8), "uint8")
        image[:4, index : index + 4], mask[:4, index : index + 4] = 255, 1
        image[4:, 4 - index : 8 - index], mask[4:, 4 - index : 8 - index] = 0, 2
        Image.fromarray(image).save(folder / f"images/{index}.png")
        Image.fromarray(mask).save(folder / f"masks/{index}.png")
    return str(folder)


def test_patches_and_sparsity_are_in_the_table_and_on_the_page(vit, tmp_path, capsys):
    page = tmp_path / "report.html"
    masks = masked_images(tmp_path / "objects", 3)
    rows = evaluate.run(
        encoder=vit,
        masks=masks,
        protocols="sparsity,knn,uniformity,tolerance",
        report=str(page),
        **SETTINGS,
    )
    assert "Prompts and objects: 3 images of" in capsys.readouterr().out
    features = ["kNN k20 t0.1", "uniformity", "tolerance"]
    patches = ["prompt IoU", "prompt threshold", "intra-object", "inter-object", "object overlap"]
    assert list(rows["raw pixels"]) == features
    for name in ("random encoder", "trained encoder"):
        assert list(rows[name]) == [*features, *patches, "essential sparsity"]
    row = rows["trained encoder"]
    images, found = kerassl.data.load_masks(masks, (8, 8), channels=1)
    patch_features = kerassl.evaluation.patch_features(keras.models.load_model(vit, compile=False), images)
    assert row["prompt IoU"] == kerassl.evaluation.prompt_segmentation(patch_features, found).best_iou > 0.3
    # Even a network that has learnt nothing tells white from black.
    assert row["intra-object"] > row["inter-object"] and 0 <= row["essential sparsity"] < 1
    text = page.read_text()
    assert "kNN accuracy with the smallest weights zero" in text and "an object found from one of its" in text


def test_one_object_an_image_is_not_compared_with_others(vit, tmp_path):
    masks = masked_images(tmp_path / "objects", 2)
    for file in (tmp_path / "objects/masks").iterdir():
        Image.fromarray(np.minimum(np.asarray(Image.open(file)), 1)).save(file)
    row = evaluate.run(encoder=vit, masks=masks, protocols="rankme", **SETTINGS)["trained encoder"]
    assert list(row) == ["RankMe", "prompt IoU", "prompt threshold"]


def test_what_does_not_fit_is_refused(tmp_path):
    resnet = kerassl.backbones.ResNet((8, 8, 1), depths=(1,), width=4, stem="small")
    path = kerassl.methods.SimCLR(resnet, views="digits").export_encoder(tmp_path / "resnet", format="keras")
    masks = masked_images(tmp_path / "objects", 1)
    with pytest.raises(ValueError, match="model must be or hold a ViT of kerassl.backbones"):
        evaluate.run(encoder=str(path), masks=masks, protocols="knn", **SETTINGS)
    np.savez(tmp_path / "bare.npz", images=np.zeros((20, 8, 8, 1), "uint8"))
    bare = {**SETTINGS, "dataset": f"npz:{tmp_path / 'bare.npz'}"}
    with pytest.raises(ValueError, match="sparsity is by kNN accuracy: it needs labels"):
        evaluate.run(encoder=str(path), protocols="sparsity", **bare)
    with pytest.raises(ValueError, match="sparsities"):
        evaluate.run(encoder=str(path), protocols="sparsities", **SETTINGS)


def test_without_labels_what_needs_none_is_measured(vit, tmp_path):
    np.savez(tmp_path / "bare.npz", images=np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), "uint8"))
    settings = {"dataset": f"npz:{tmp_path / 'bare.npz'}"}
    rows = evaluate.run(encoder=vit, protocols="knn,alpha_req,uniformity", **settings)
    assert list(rows["trained encoder"]) == ["alpha-ReQ", "uniformity"]
    assert list(evaluate.run(encoder=vit, protocols="knn", **settings)["trained encoder"]) == ["RankMe"]
