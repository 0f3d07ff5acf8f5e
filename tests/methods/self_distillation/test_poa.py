import keras
import numpy as np
import pytest
from tiny import images, labels, make, ready_views, terms_and_rest, tiny_encoder

import kerassl
from kerassl.backbones import sub_vit

pytestmark = pytest.mark.backends("torch")

TINY = {
    "POA": {
        "encoder": "tokens",
        "arguments": {
            "num_prototypes": (16, 12),
            "hidden_dim": 16,
            "bottleneck_dim": 8,
            "freeze_last_layer_epochs": 0,
            "patch_start_epoch": 0,
        },
        "views": ("ibot_cifar", {"num_local_crops": 1}),
        "sizes": (16, 16, 8, 8),
        "with": "masks",
        "without_chance": {},
    },
}


def numpy(x):
    return keras.ops.convert_to_numpy(x)


def terms_of(model, views):
    return {name: float(numpy(term)) for name, term in terms_and_rest(model, views)[0].items()}


def test_intact_weight_of_one_is_dinov2_of_each_head():
    views = ready_views("POA")
    model = make("POA", views=None, intact_weight=1.0)
    model.compile()
    poa = terms_of(model, views)
    each = []
    for head, teacher_head in zip(model.head.heads, model.teacher_head.heads, strict=True):
        alone = make("DINOv2", views=None, num_prototypes=head.output_dims[0])
        alone.compile()
        for mine, theirs in (
            (alone.encoder, model.encoder),
            (alone.teacher_encoder, model.teacher_encoder),
            (alone.head, head),
            (alone.teacher_head, teacher_head),
        ):
            mine.set_weights(theirs.get_weights())
        each.append(terms_of(alone, views))
    assert poa["poa"] == 0.0
    for name in ("dino", "ibot"):
        assert poa[name] == pytest.approx(np.mean([terms[name] for terms in each]), rel=1e-5), name


def test_where_the_elastic_student_is_the_whole_the_distillation_is_the_entropy_of_the_intact_one():
    model = make("POA", views=None, min_width=16, min_depth=2, num_prototypes=(16,))
    model.compile()
    views = ready_views("POA")
    assert set(map(tuple, model.networks.tolist())) == {(16, 2)}
    terms, _ = terms_and_rest(model, views)
    crops, mask = model.crops_and_mask(views)
    logits = numpy(model.head(model.student_pass(crops, mask, True)[0])).astype("float64") / 0.1
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    entropy = -np.sum(p * np.log(p), axis=1)
    expected = 0.2 * (entropy[:16].mean() + entropy[16:].mean())
    assert float(numpy(terms["poa"])) == pytest.approx(expected, rel=1e-4)
    # Both students say the same, so their mean does, too.
    assert terms_of(model, views)["dino"] == pytest.approx(
        terms_of(make_alike(model, intact_weight=1.0), views)["dino"], rel=1e-5
    )


def make_alike(model, **kwargs):
    config = {"min_width": 16, "min_depth": 2, "num_prototypes": (16,), **kwargs}
    other = make("POA", views=None, **config)
    other.compile()
    other.set_weights(model.get_weights())
    return other


def test_the_elastic_terms_are_those_of_a_network_cut_out():
    model = make("POA", views=None, intact_weight=0.0, koleo_weight=0.0)
    model.compile()
    model.elastic_network = lambda training: (8, np.array([1.0, 0.0], "float32"))
    views = ready_views("POA")
    small = sub_vit(model.encoder, 8, 1)
    crops, mask = model.crops_and_mask(views)
    tokens = small.encode_tokens(
        small.embed_patches(np.concatenate(crops[:2]), mask=mask, mask_token=model.mask_token[:8])
    )
    alone = np.concatenate([numpy(tokens)[:, 0], *[numpy(small(crop)) for crop in crops[2:]]])
    features, elastic_tokens = model.elastic_pass(crops, mask, 8, np.array([1.0, 0.0], "float32"), True)
    # Small crops have positions of their own, which a cut out network interpolates.
    np.testing.assert_allclose(numpy(features)[:16, :8], alone[:16], atol=1e-5)
    np.testing.assert_allclose(numpy(elastic_tokens)[..., :8], numpy(tokens)[:, 1:], atol=1e-5)
    assert not numpy(features)[:, 8:].any()
    # What enters a head is scaled like what enters any linear layer.
    _, teacher_tokens = model.teacher_pass(crops, True)
    _, rest = terms_and_rest(model, views)
    logits = model.head(2.0 * features, training=True)
    assert numpy(logits).shape == (32, 28)
    dino = np.mean(
        [
            float(numpy(kerassl.losses.dino(np.reshape(numpy(own), (4, 8, -1)), numpy(targets), 0.1)))
            for own, targets in zip(model.head.split(logits), model.head.split(rest["targets"]), strict=True)
        ]
    )
    assert terms_of(model, views)["dino"] == pytest.approx(dino, rel=1e-4)
    assert numpy(teacher_tokens).shape == (16, 16, 16)


def test_every_sub_network_has_its_turn_before_the_list_is_shuffled_anew():
    model = make("POA", views=None, min_width=8, min_depth=1)
    model.compile()
    # Widths 8 and 16 three times and once, depths 1 and 2 likewise; the whole once less than it would be.
    assert model.networks.tolist() == [[8, 1]] * 9 + [[8, 2]] * 3 + [[16, 1]] * 3
    rounds = []
    for step in range(30):
        model.clock.step.assign(step)
        width, blocks = model.elastic_network(True)
        rounds.append((int(numpy(width)), int(numpy(blocks).sum())))
    for one in (rounds[:15], rounds[15:]):
        assert sorted(one) == sorted(map(tuple, model.networks.tolist()))
    assert rounds[:15] != rounds[15:]
    assert [tuple(map(float, numpy(x).ravel())) for x in model.elastic_network(False)] == [
        tuple(map(float, numpy(x).ravel())) for x in model.elastic_network(False)
    ]


def test_no_patch_is_hidden_before_its_epoch():
    model = make("POA", views=None, patch_start_epoch=1)
    model.compile()
    views = ready_views("POA")
    model.clock.steps_per_epoch.assign(2)
    assert terms_of(model, views)["ibot"] == 0.0
    model.clock.step.assign(2)
    assert terms_of(model, views)["ibot"] > 0.1


def test_encoders_of_several_sizes_leave_the_run(tmp_path):
    model = make("POA", min_width=8, min_depth=1)
    model.compile(keras.optimizers.SGD(0.1))
    model.fit(images(8), labels(8), batch_size=8, verbose=0)
    assert set(model.sub_encoders) == {"8x1", "16x2"}
    path = model.export_encoder(tmp_path / "small", format="keras", width=8, depth=1)
    small = keras.models.load_model(path)
    expected = model.sub_encoder(8, 1)(model.views.preprocess(images(3)))
    np.testing.assert_allclose(numpy(small(images(3))), numpy(expected), atol=1e-5)
    assert small.output_shape == (None, 8)
    # The whole is the teacher.
    np.testing.assert_allclose(
        numpy(model.sub_encoder(16, 2)(model.views.preprocess(images(3)))),
        model.predict(images(3)),
        atol=1e-5,
    )
    with pytest.raises(ValueError, match="width 12 and depth 1 was not trained"):
        model.sub_encoder(12, 1)


def test_bad_arguments():
    with pytest.raises(ValueError, match="POA trains networks that are parts of the encoder"):
        kerassl.methods.POA(tiny_encoder())
    with pytest.raises(ValueError, match="min_width=12 must be a multiple of 8"):
        make("POA", min_width=12)
    with pytest.raises(ValueError, match=r"min_depth must be at most depth=2, got 3"):
        make("POA", min_depth=3)
