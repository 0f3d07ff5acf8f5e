import json

import keras
import numpy as np
import pytest
from absl import flags

import kerassl
from kerassl.training import make_optimizer, optimizer_settings
from recipes import (
    build,
    classify,
    command_line,
    distill,
    embed,
    evaluate,
    export,
    fine_tune,
    pretrain,
    scores,
    semi_supervised,
)
from recipes.devices import devices
from recipes.names import BACKBONES, CLASSIFIERS, DISTILLATION, METHODS, PRETRAINING, check_name
from recipes.workdir import Workdir, read_metrics, write_text

RECIPES = (
    pretrain.run,
    evaluate.run,
    distill.run,
    classify.run,
    export.run,
    embed.run,
    semi_supervised.run,
    fine_tune.run,
)


def parse(run, *arguments):
    values = flags.FlagValues()
    command_line.define(run, values)
    values(["program", *arguments])
    return command_line.given(run, values)


@pytest.mark.parametrize("run", RECIPES)
def test_every_keyword_is_a_documented_flag(run):
    assert all(flag.about for flag in run.flags.values())
    values = flags.FlagValues()
    command_line.define(run, values)
    assert set(run.flags) <= set(values)


def test_flags_have_types_and_are_passed_only_if_given():
    given = parse(
        pretrain.run,
        "--workdir=w",
        "--epochs=3",
        "--learning_rate=1e-3",
        "--nosaved_model",
        '--method_args={"temperature": 0.2}',
    )
    assert given == {
        "workdir": "w",
        "epochs": 3,
        "learning_rate": 1e-3,
        "saved_model": False,
        "method_args": {"temperature": 0.2},
    }


def test_help_shows_defaults_and_bounds():
    text = command_line.usage(pretrain.run, "kerassl pretrain")
    assert "--method=str (default: simclr)" in text and "--epochs=int (default: 100)" in text
    assert "passes over the training images. Must be >= 1." in text and "--config" in text
    assert "kerassl pretrain --dataset=digits" in text and "python -m" not in text


def test_command_line_wins_over_config_file(tmp_path):
    file = tmp_path / "c.json"
    config = {
        "method": "byol",
        "epochs": 7,
        "learning_rate": 1.0,
        "method_args": {"momentum": 0.9},
        "width": None,
    }
    file.write_text(json.dumps({**config, "about": {"backend": "any"}}))
    assert parse(pretrain.run, f"--config={file}", "--workdir=w", "--epochs=3") == {
        **config,
        "workdir": "w",
        "epochs": 3,
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"methd": "byol"}', "Unknown flag in .* 'methd'.* Did you mean 'method'"),
        ('{"epochs": "many"}', "c.json: --epochs must be an integer >= 1, got 'many'"),
        ('{"epochs": true}', "c.json: --epochs must be an integer >= 1, got True"),
        ("{", "is not JSON"),
        ("[1]", "must hold an object"),
    ],
)
def test_bad_config_file(tmp_path, content, message):
    file = tmp_path / "c.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=message):
        parse(pretrain.run, f"--config={file}", "--workdir=w")


def test_missing_file_flag_and_unknown_flag(tmp_path):
    with pytest.raises(ValueError, match="there is no such file"):
        parse(pretrain.run, "--workdir=w", f"--config={tmp_path}/no.json")
    with pytest.raises(ValueError, match="--workdir is needed: folder of the run"):
        parse(pretrain.run)
    with pytest.raises(flags.UnrecognizedFlagError, match="Did you mean: epochs"):
        parse(pretrain.run, "--epoch=3")
    with pytest.raises(flags.IllegalFlagValueError, match="not JSON"):
        parse(pretrain.run, "--method_args={temperature: 1}")


@pytest.mark.backends("torch")  # Nothing of a backend in it.
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("method", "simclrr", "Unknown method 'simclrr'.*Did you mean 'simclr'"),
        ("backbone", "resnet-18", "Did you mean 'resnet18'"),
        ("dataset", "digit", "Did you mean 'digits'"),
        ("optimizer", "adam", "Did you mean 'adamw'"),
        ("strategy", "miror", "Did you mean 'mirrored'"),
        ("precision", "bfloat16", "Did you mean 'mixed_bfloat16'"),
        ("views", "digit", "Did you mean 'digits'"),
        (
            "method_args",
            {"temprature": 1.0},
            "do not fit simclr, .*temprature.*takes: temperature, .*Did you mean 'temp",
        ),
        ("backbone_args", {"depht": 1}, "do not fit resnet18.*depht.*it takes: stem, width"),
        ("warmup_epochs", 2.0, r"warmup_epochs must be in \[0, epochs\), and epochs is 1; got 2"),
    ],
)
def test_unknown_names_are_answered_and_leave_no_trace(tmp_path, name, value, message):
    arguments = {"workdir": str(tmp_path / "run"), "epochs": 1, "width": 4, "limit_train": 64, name: value}
    with pytest.raises(ValueError, match=message):
        pretrain.run(**arguments)
    assert not (tmp_path / "run").exists()


def test_strategies_name_the_backend_that_they_need():
    running = keras.backend.backend()
    for strategy, needed in (("mirrored", "tensorflow"), ("data_parallel", "jax")):
        if running != needed:
            with pytest.raises(ValueError, match=f"runs on {needed}, but KERAS_BACKEND is {running}"):
                with devices(strategy):
                    pass


def test_precision_holds_only_inside():
    with devices(precision="mixed_bfloat16") as count:
        assert keras.config.dtype_policy().name == "mixed_bfloat16" and count == 1
    assert keras.config.dtype_policy().name == "float32"


def test_check_name_without_anything_near():
    with pytest.raises(ValueError, match=rf"Unknown method 'qqqq'; there are: .*{max(PRETRAINING)}\.$"):
        check_name("method", "qqqq", PRETRAINING)


SHORT = {"epochs": 10, "steps_per_epoch": 10}


def settings(method, **keywords):
    return optimizer_settings(METHODS[method].recipe, **keywords)


def test_long_runs_take_the_paper_scaled_by_the_batch_and_short_ones_adamw():
    long = {"epochs": 1000, "steps_per_epoch": 100}
    assert settings("simclr", **long, batch_size=1024) == {
        "optimizer": "lars",
        "learning_rate": pytest.approx(1.2),
        "weight_decay": 1e-6,
        "final_weight_decay": 1e-6,
        "warmup_epochs": 10,
    }
    dino = settings("dino", **long, batch_size=512)
    assert dino == {
        "optimizer": "adamw",
        "learning_rate": pytest.approx(1e-3),
        "weight_decay": 0.04,
        "final_weight_decay": 0.4,
        "warmup_epochs": 10,
    }
    assert settings("mae", **long, batch_size=4096)["learning_rate"] == pytest.approx(2.4e-3)
    # With the root of the batch.
    for name, rate in (("dinov2", 4e-3), ("simclr_v2", 2.4), ("finetuned_classifier", 0.16)):
        found = settings(name, **long, batch_size=1024)["learning_rate"]
        assert found == pytest.approx(rate), name
    # BYOL's rate and decay go with the teacher's momentum.
    for updates, rate, decay in ((19_999, 0.45, 1e-6), (149_999, 0.3, 1e-6), (150_000, 0.2, 1.5e-6)):
        found = settings("byol", epochs=updates, steps_per_epoch=1, batch_size=256)
        assert (found["learning_rate"], found["weight_decay"]) == (rate, decay)
    short = settings("simclr", epochs=50, steps_per_epoch=6, batch_size=1024)
    assert (short["optimizer"], short["learning_rate"], short["warmup_epochs"]) == ("adamw", 2e-3, 5)
    given = settings(
        "dino",
        optimizer="sgd",
        epochs=50,
        steps_per_epoch=6,
        batch_size=256,
        learning_rate=0.3,
        weight_decay=0.1,
        warmup_epochs=0,
    )
    assert given == {
        "optimizer": "sgd",
        "learning_rate": 0.3,
        "weight_decay": 0.1,
        "final_weight_decay": 0.1,
        "warmup_epochs": 0,
    }


@pytest.mark.parametrize("name", ["adamw", "lars", "sgd"])
def test_optimizer_warms_up_and_decays(name):
    chosen = settings("dino", optimizer=name, **SHORT, batch_size=256)
    optimizer = make_optimizer(METHODS["dino"].recipe, **chosen, **SHORT)
    rate = optimizer._learning_rate
    assert [float(rate(step)) for step in (0, 10, 100)] == pytest.approx([0.0, chosen["learning_rate"], 0.0])
    assert type(optimizer) is getattr(kerassl.optimizers, {"adamw": "AdamW"}.get(name, name.upper()))
    if name == "adamw":
        assert optimizer.clipnorm == 3.0
        assert float(optimizer._weight_decay(100)) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("simclr", {"lr_in_momentum": True}),
        ("simclr_v2", {"lr_in_momentum": True}),
        ("byol", {"lr_in_momentum": False, "decay_bias_and_norm": False}),
        ("swav", {"decay_bias_and_norm": True}),
        ("all4one", {"trust_coefficient": 0.02, "clip": True}),
        ("moco_v3", {"decay_bias_and_norm": True}),
        ("frossl", {"trust_coefficient": 0.02, "clip": True}),
        ("emp_ssl", {"trust_coefficient": 0.005, "clip": True}),
        ("ressl", {"nesterov": False, "decay_bias_and_norm": False}),
        ("visreg", {"global_clipnorm": 1.0}),
        ("ps_kd", {"nesterov": True, "decay_bias_and_norm": True}),
        ("mean_teacher", {"nesterov": True, "decay_bias_and_norm": False}),
        ("palm", {"nesterov": True}),
        ("sla", {"nesterov": False}),
        ("mae", {"beta_2": 0.95}),
        ("ibot", {"beta_2": 0.999, "clipnorm": 3.0}),
        ("msn", {"global_clipnorm": 3.0, "clipnorm": None}),
        ("poa", {"clipnorm": 1.5}),
    ],
)
def test_the_optimizer_has_its_papers_options(method, options):
    long = {"epochs": 1000, "steps_per_epoch": 100}
    chosen = settings(method, **long, batch_size=256)
    optimizer = make_optimizer(METHODS[method].recipe, **chosen, **long)
    assert {name: getattr(optimizer, name) for name in options} == options


def test_another_optimizer_is_without_the_papers_options():
    chosen = settings("dino", optimizer="sgd", **SHORT, batch_size=256)
    assert make_optimizer(METHODS["dino"].recipe, **chosen, **SHORT).clipnorm is None


@pytest.mark.parametrize(("name", "constant"), [("sgd", {0.03}), ("adamw", set())])
def test_simsiams_predictor_has_a_constant_rate_under_the_papers_optimizer(name, constant):
    encoder = kerassl.backbones.resnet18((8, 8, 1), stem="small", width=4)
    model = kerassl.methods.SimSiam(encoder, projection_dim=8, prediction_hidden_dim=4)
    chosen = settings("simsiam", optimizer=name, **SHORT, batch_size=256, learning_rate=0.03)
    optimizer = make_optimizer(METHODS["simsiam"].recipe, **chosen, **SHORT, model=model)
    assert set(optimizer.constant_rates.values()) == constant
    paths = {v.path for v in model.predictor.trainable_variables}
    assert set(optimizer.constant_rates) == (paths if constant else set())


def test_every_public_method_is_launched():
    for room, found in (
        (kerassl.methods, PRETRAINING),
        (kerassl.distillation, DISTILLATION),
        (kerassl.classifiers, CLASSIFIERS),
    ):
        public = [getattr(room, name) for name in room.__all__]
        methods = {each for each in public if issubclass(each, kerassl.SSLModel)}
        assert methods - {kerassl.classifiers.PrototypeClassifier} == {each.cls for each in found.values()}
        assert list(found) == sorted(found)
    for name, (launch_name, _, recipe) in METHODS.items():
        assert name == launch_name
        assert {"optimizer", "learning_rate", "weight_decay", "warmup_epochs"} <= recipe.paper.keys()
        assert {"learning_rate", "weight_decay"} <= recipe.short.keys()
        assert {recipe.views, recipe.digits_views} <= {"default", *kerassl.views.PRESETS}
    assert len(METHODS) == len(PRETRAINING) + len(DISTILLATION) + len(CLASSIFIERS)


def test_self_distillation_has_no_teacher():
    alone = {name for name, method in DISTILLATION.items() if method.learns_from_itself}
    assert alone == {"fst", "lsskd", "mean_teacher", "ps_kd", "sla", "uskd"}


@pytest.mark.backends("torch")  # Nothing of a backend in it.
@pytest.mark.parametrize("name", [*PRETRAINING, *CLASSIFIERS])
def test_the_arguments_of_a_short_run_are_the_methods(name):
    method, info = METHODS[name], kerassl.data.load("digits", limit_train=60)[2]
    if method.cls.wants == "tokens" or not method.recipe.backbone_args:
        encoder = build.make_encoder("vit_tiny", (8, 8, 1), 96, {"depth": 1, "num_heads": 3})
    else:
        encoder = build.make_encoder("resnet18", (8, 8, 1), 16, method.recipe.backbone_args)
    arguments = method.arguments(num_updates=100, num_examples=500, given={})
    model = build.make_method(method, [encoder], "default", "digits", info, arguments, seed=0)
    for argument, value in arguments.items():
        assert model.get_config()[argument] == value
    with pytest.raises(ValueError, match=f"--method_args=.* do not fit {name}, which has no 'tempo'"):
        build.make_method(method, [encoder], "default", "digits", info, {"tempo": 1}, seed=0)


@pytest.mark.backends("torch")  # Nothing of a backend in it.
@pytest.mark.parametrize(
    ("name", "kind", "flip"),
    [
        ("simclr", "TwoViews", 0.0),
        ("ressl", "TwoViews", 0.0),
        ("mae", "MaskedView", 0.0),
        ("random_teacher", "OneView", 0.0),
        ("classifier", "OneView", 0.0),
        ("palm", "TwoViews", 0.0),
        ("prob_psenn", "OneView", 0.0),
    ],
)
def test_digits_are_not_mirrored(name, kind, flip):
    method, info = METHODS[name], kerassl.data.load("digits", limit_train=60)[2]
    encoder = build.make_encoder("vit_tiny", (8, 8, 1), 24, {"depth": 1, "num_heads": 1})
    small = {} if name != "mae" else {"decoder_dim": 8, "decoder_depth": 1, "decoder_num_heads": 1}
    model = build.make_method(method, [encoder], "default", "digits", info, small, seed=0)
    assert type(model.views).__name__ == kind
    view = getattr(model.views, "view1", None) or model.views.view
    assert view.get_config()["flip"] == flip


def test_one_view_of_two_and_default_views():
    shape, classifier = (8, 8, 1), METHODS["classifier"]
    assert build.make_views(classifier, "default", "folder:x", shape) == "default"
    assert build.make_views(METHODS["seer"], "default", "folder:x", shape) == "seer"
    assert build.make_views(METHODS["simclr"], "byol", "digits", shape) == "byol"
    one = build.make_views(classifier, "byol", "folder:x", shape)
    assert isinstance(one, kerassl.views.FusedAugmentation) and one.size == (8, 8)
    with pytest.raises(ValueError, match="Unknown views 'byoll'.*Did you mean 'byol'"):
        build.make_views(classifier, "byoll", "digits", shape)


def test_arguments_of_an_older_version_have_their_present_names():
    mae = METHODS["mae"]
    given = mae.arguments(num_updates=100, num_examples=1, given={"decoder_heads": 2})
    assert given["decoder_num_heads"] == 2 and "decoder_heads" not in given
    assert METHODS["sogclr"].arguments(100, 7, None)["num_examples"] == 7


def test_a_workdir_of_an_older_version_is_continued_under_present_names(tmp_path):
    here = {
        "method": "mae",
        "dataset": "digits",
        "views": "mae_digits",
        "method_args": {"decoder_num_heads": 3},
    }
    there = {**here, "views": "default", "method_args": {"decoder_heads": 3}}
    Workdir(tmp_path, there)
    (tmp_path / "result.json").write_text("{}")
    assert Workdir(tmp_path, here).finished
    with pytest.raises(ValueError, match="views is 'mae_digits' there, 'byol' here"):
        Workdir(tmp_path, {**here, "views": "byol"})


@pytest.mark.backends("torch")  # Nothing of a backend in it.
def test_a_pretrained_encoder_gives_its_feature_map_where_that_is_needed(tmp_path):
    encoder = build.make_encoder("resnet18", (8, 8, 1), 4, {})
    path = kerassl.methods.SimCLR(encoder, views="digits").export_encoder(
        tmp_path / "encoder", format="keras"
    )
    pooled = classify.pretrained(path, {})
    unpooled = classify.pretrained(path, {"pool": None})
    assert pooled.output_shape == (None, 32) and unpooled.output_shape == (None, 1, 1, 32)
    x = np.random.default_rng(0).normal(size=(3, 8, 8, 1)).astype("float32")
    np.testing.assert_allclose(
        unpooled.predict(x, verbose=0).mean(axis=(1, 2)), encoder.predict(x, verbose=0), atol=1e-5
    )


@pytest.mark.parametrize("name", ("look", "supcon", "ps_kd", "palm"))
def test_supervised_methods_need_labels(name):
    METHODS[name].check_labels("folder:x", 2)
    METHODS["simclr"].check_labels("folder:x", None)
    with pytest.raises(ValueError, match=f"--method={name} learns from labels, and folder:x has none."):
        METHODS[name].check_labels("folder:x", None)


def test_patches_leave_a_usual_grid():
    assert [build.patch_size(n) for n in (8, 16, 28, 32, 64, 96, 224)] == [2, 4, 2, 4, 8, 8, 16]


@pytest.mark.backends("torch")  # Nothing of a backend in it.
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_is_built(backbone):
    small = {"depth": 1} if backbone.startswith("vit") else {}
    width = 24 if backbone == "vit_tiny" else 4 if backbone.startswith("resnet") else None
    assert build.make_encoder(backbone, (8, 8, 1), width, small).input_shape == (None, 8, 8, 1)


def test_images_must_be_square():
    with pytest.raises(ValueError, match="8 x 9 pixels; pass --image_size"):
        build.make_encoder("resnet18", (8, 9, 1), 4, {})


def test_workdir_refuses_another_run_and_names_what_differs(tmp_path):
    Workdir(tmp_path, {"epochs": 2, "seed": 0, "about": {"backend": "jax"}})
    Workdir(tmp_path, {"epochs": 2, "seed": 0, "about": {"backend": "torch"}})
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(ValueError, match="epochs is 2 there, 3 here; width is None there, 4 here"):
        Workdir(tmp_path, {"epochs": 3, "seed": 0, "width": 4})


def test_cut_off_metrics_and_whole_files(tmp_path):
    (tmp_path / "m.jsonl").write_text('{"epoch": 1}\n{"epo')
    assert read_metrics(tmp_path / "m.jsonl") == [{"epoch": 1}]
    write_text(tmp_path / "f", "new")
    assert [(file.name, file.read_text()) for file in tmp_path.glob("f*")] == [("f", "new")]


def test_scores_of_unlabeled_and_of_few_images():
    features = np.random.default_rng(0).normal(size=(40, 5)).astype("float32")
    images = np.zeros((40, 8, 8, 1), "uint8")
    bare = kerassl.data.ImageDataset(images)
    assert list(scores.score(features, bare, None, None)) == ["RankMe"]
    few = kerassl.data.ImageDataset(images[:12], np.arange(12) % 4)
    row = scores.score(features[:12], few, features[:12], few)
    assert list(row) == ["1-label", "kNN k12 t0.1", "linear", "RankMe"]
    assert scores.from_json(json.loads(json.dumps(scores.to_json({"a": row})))) == {"a": row}


def test_sample_is_fixed_and_divisible():
    images = np.arange(50, dtype="uint8").reshape(50, 1, 1, 1)
    data = kerassl.data.ImageDataset(images, np.arange(50), shuffle=True)
    part = scores.sample(data, 21, multiple=4)
    assert part.num_examples == 20
    np.testing.assert_array_equal(part.images.ravel(), part.labels)
    np.testing.assert_array_equal(part.labels, scores.sample(data, 21, multiple=4).labels)


def test_unlabeled_images_are_added_with_label_minus_one():
    train, _, info = kerassl.data.load("digits", limit_train=100)
    both = distill.with_unlabeled(train, "digits", info, 50)
    assert both.num_examples == 150 and both.shuffle
    assert (both.labels[100:] == -1).all() and (both.labels[:100] >= 0).all()
    assert distill.with_unlabeled(train, None, info, None) is train


def test_export_takes_weights_of_timm(tmp_path, capsys):
    from safetensors.numpy import save_file

    def norm(name):
        parts = ("weight", "bias", "running_mean", "running_var")
        return {f"{name}.{part}": np.ones(8, "float32") for part in parts}

    state = {"conv1.weight": np.ones((8, 3, 3, 3), "float32"), **norm("bn1")}
    for number in (1, 2):
        state |= {f"layer1.0.conv{number}.weight": np.ones((8, 8, 3, 3), "float32")}
        state |= norm(f"layer1.0.bn{number}")
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="does not say by which mean and std"):
        export.run(encoder=str(tmp_path / "model.safetensors"), formats="keras")
    told = {"input_size": [3, 16, 16], "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
    (tmp_path / "config.json").write_text(json.dumps(told))
    files = export.run(encoder=str(tmp_path / "model.safetensors"), formats="keras", image_size=20)
    encoder = keras.models.load_model(files["keras"])
    assert files == {"keras": tmp_path / "model.keras"} and encoder.input_shape == (None, 20, 20, 3)
    assert "less the mean (0.5, 0.5, 0.5)" in (tmp_path / "model.md").read_text(encoding="utf-8")
    assert "| `keras` | 0." in capsys.readouterr().out


def test_evaluate_and_export_say_what_is_missing(tmp_path):
    with pytest.raises(ValueError, match="holds no run"):
        evaluate.run(encoder=str(tmp_path))
    with pytest.raises(ValueError, match="There is no .*e.keras. Check the path"):
        evaluate.run(encoder=str(tmp_path / "e.keras"))
    (tmp_path / "e.keras").touch()
    with pytest.raises(ValueError, match="--dataset is needed"):
        evaluate.run(encoder=str(tmp_path / "e.keras"))
    with pytest.raises(ValueError, match="Unknown format 'onx'.*Did you mean 'onnx'"):
        export.run(encoder=str(tmp_path), formats="saved_model,onx")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="has no checkpoint yet"):
        export.run(encoder=str(tmp_path))
