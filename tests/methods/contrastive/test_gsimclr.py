import keras
import numpy as np
import pytest
from tiny import images, labels, make, ready_views, state, terms_and_rest, tiny_encoder

import kerassl
from kerassl.losses import nt_xent
from kerassl.methods.contrastive import gsimclr

pytestmark = pytest.mark.backends("torch")

TINY = {
    "GSimCLR": {"arguments": {"projection_dim": 8, "num_clusters": 4, "autoencoder_epochs": 1}},
}


def in_order(dataset, num_clusters, epochs, seed, verbose):
    """Clusters of neighboring images, without an autoencoder."""
    assert (epochs, seed) == (1, 0)
    return (np.arange(dataset.num_examples) * num_clusters // dataset.num_examples).astype("int32")


@pytest.fixture
def known_clusters(monkeypatch):
    monkeypatch.setattr(gsimclr, "cluster_images", in_order)


def test_the_loss_is_simclrs_on_the_official_head():
    model = make("GSimCLR", views=None, temperature=0.3)
    views = ready_views("GSimCLR")
    z = keras.ops.convert_to_numpy(model.projector(model.encoder(np.concatenate(views), training=True)))
    terms, _ = terms_and_rest(model, views)
    assert float(terms["nt_xent"]) == pytest.approx(float(nt_xent(z[:8], z[8:], 0.3)), rel=1e-5)
    shapes = [tuple(v.shape) for v in kerassl.methods.GSimCLR(tiny_encoder()).projector.weights]
    assert shapes == [(16, 256), (256,), (256, 128), (128,), (128, 50), (50,)]


def test_fit_trains_on_guided_batches(monkeypatch, known_clusters):
    given = []
    monkeypatch.setattr(kerassl.SSLModel, "fit", lambda self, x, y=None, **options: given.append((x, y)))
    model = make("GSimCLR", num_clusters=None, num_classes=24)
    dataset = kerassl.data.ImageDataset(images(24), np.arange(24), batch_size=8)
    model.fit(images(24), np.arange(24), batch_size=8)
    model.fit(dataset)
    model.fit(model.guide(dataset))
    for batches, y in given:
        assert isinstance(batches, kerassl.data.GuidedBatches) and y is None
        assert batches.clusters.tolist() == np.repeat(np.arange(8), 3).tolist()
        # Neighbors of three are a cluster.
        assert all(sorted(batches[index][1] // 3) == list(range(8)) for index in range(3))


@pytest.mark.backends("tensorflow")  # The data, not the backend.
def test_a_resumed_run_takes_the_clusters_of_its_folder(tmp_path, monkeypatch, known_clusters, capsys):
    def train(folder, epochs):
        model = make("GSimCLR")
        model.compile(keras.optimizers.SGD(0.05))
        checkpoint = kerassl.callbacks.Checkpoint(folder)
        model.fit(images(24), labels(24), batch_size=8, epochs=epochs, verbose=0, callbacks=[checkpoint])
        return state(model)

    whole = train(tmp_path / "whole", 2)
    train(tmp_path / "parts", 1)
    # Another autoencoder would find other clusters.
    monkeypatch.setattr(gsimclr, "cluster_images", lambda *arguments: pytest.fail("clustered again"))
    resumed = train(tmp_path / "parts", 2)
    assert "Continuing at epoch 2" in capsys.readouterr().out
    for (path, value), other in zip(whole.items(), resumed.values(), strict=True):
        np.testing.assert_array_equal(value, other, err_msg=path)
    with pytest.raises(ValueError, match="holds the clusters of 24 images; got 16"):
        make("GSimCLR").guide(
            kerassl.data.ImageDataset(images(16), batch_size=8), tmp_path / "parts" / "clusters.npy"
        )


def test_bad_arguments():

    class Stream(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return images(8), labels(8)

    with pytest.raises(ValueError, match="needs them in memory, not a Stream: pass an array or"):
        make("GSimCLR").fit(Stream(), verbose=0)
