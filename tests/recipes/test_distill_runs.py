"""Where teachers and students of `recipes.distill` come from. Run on torch, which has nothing to compile."""

import keras
import numpy as np
import pytest

import kerassl
from recipes import distill, pretrain
from recipes.saved import load_run
from recipes.workdir import Workdir, read_metrics

pytestmark = pytest.mark.backends("torch")
TINY = {
    "limit_train": 100,
    "limit_test": 64,
    "batch_size": 50,
    "epochs": 1,
    "knn_every": 1,
    "saved_model": False,
    "verbose": 0,
}
RESNET = {**TINY, "backbone": "resnet18", "width": 3}
VIT = {**TINY, "backbone": "vit_tiny", "width": 12, "backbone_args": {"depth": 1, "num_heads": 3}}


def classifier_run(folder, width):
    """A workdir that holds a classifier, as a launcher leaves it."""
    encoder = kerassl.backbones.ResNet((8, 8, 1), (1,), width=width, stem="small")
    model = kerassl.classifiers.Classifier(
        encoder, views=kerassl.views.preset("digits", 8, 1).view1, num_classes=10
    )
    images, labels = np.zeros((8, 8, 8, 1), "uint8"), np.arange(8)
    checkpoint = kerassl.callbacks.Checkpoint(Workdir(folder, {}).checkpoints)
    model.fit(images, labels, batch_size=8, verbose=0, callbacks=[checkpoint])
    return model


def test_several_classifiers_teach_one_which_starts_as_a_third(tmp_path):
    first, _, start = (classifier_run(tmp_path / str(i), width) for i, width in enumerate((3, 4, 5)))
    names = f"{tmp_path}/0,{tmp_path}/1"
    rows = distill.run(
        workdir=str(tmp_path / "run"), teacher=names, init=f"{tmp_path}/2", method="meal_v2", **RESNET
    )
    assert list(rows)[2:] == ["teacher 1", "teacher 2", "trained encoder"]
    line = read_metrics(tmp_path / "run" / "metrics.jsonl")[0]
    assert {"soft_cross_entropy", "discriminator", "accuracy"} <= line.keys()
    model = load_run(tmp_path / "run")
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), dtype="uint8")
    said = model.teachers[0].network(model.teachers[0].preprocess(images), training=False)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(keras.ops.softmax(said)), first.classify(images), atol=1e-5
    )
    assert model.feature_dim == start.feature_dim
    with pytest.raises(ValueError, match="names 2 teachers, but seed learns from one"):
        distill.run(workdir=str(tmp_path / "x"), teacher=names, method="seed", **RESNET)


def test_further_pretraining_restarts_from_a_run_of_mae(tmp_path):
    small = {"decoder_dim": 24, "decoder_depth": 1, "decoder_num_heads": 3}
    for name in ("start", "further"):
        pretrain.run(
            workdir=str(tmp_path / name), method="mae", method_args=small, seed=int(name == "further"), **VIT
        )
    distill.run(
        workdir=str(tmp_path / "run"),
        teacher=str(tmp_path / "further"),
        init=str(tmp_path / "start"),
        method="further_pretraining",
        learning_rate=0.0,
        **VIT,
    )
    start, further, model = (load_run(tmp_path / name) for name in ("start", "further", "run"))
    pairs = ((model.encoder, start.encoder), (model.decoder, start.decoder))
    for mine, its in (*pairs, (model.teacher.network, further.encoder)):
        for a, b in zip(mine.get_weights(), its.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    assert {"masked_mse", "feature_distance"} <= read_metrics(tmp_path / "run" / "metrics.jsonl")[0].keys()


def test_unfused_clusters_the_images_of_the_run(tmp_path):
    encoder = kerassl.backbones.ResNet((8, 8, 1), (1,), width=4, stem="small")
    teacher = kerassl.methods.SimCLR(encoder, views="digits")
    path = teacher.export_encoder(tmp_path / "encoder", format="keras")
    distill.run(workdir=str(tmp_path / "run"), teacher=str(path), method="unfused", **RESNET)
    model = load_run(tmp_path / "run")
    clusters = keras.ops.convert_to_numpy(model.clusters.values)
    assert clusters.shape == (101,) and (clusters[:100] >= 0).all() and len(model.branches) == 3
    np.testing.assert_array_equal(model.teacher.network.get_weights()[0], encoder.get_weights()[0])


def test_a_student_starts_as_the_encoder_of_a_run(tmp_path):
    student = kerassl.backbones.ResNet((8, 8, 1), (1,), width=3, stem="small")
    model = classifier_run(tmp_path / "start", 3)
    model.export_encoder(tmp_path / "start" / "encoder", format="keras")
    distill.start_of(kerassl.distillation.SSLD, student, tmp_path / "start")
    for mine, its in zip(student.get_weights(), model.encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)
    other = kerassl.backbones.ResNet((8, 8, 1), (1,), width=4, stem="small")
    with pytest.raises(ValueError, match="repeat its --backbone, --width and --backbone_args"):
        distill.start_of(kerassl.distillation.SSLD, other, tmp_path / "start")
