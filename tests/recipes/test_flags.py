"""Flags out of bounds are refused by name, before anything is read or written."""

import json
import math

import keras
import pytest

from kerassl.arguments import Bound
from recipes import (
    classify,
    distill,
    embed,
    evaluate,
    export,
    fine_tune,
    names,
    pretrain,
    semi_supervised,
)
from recipes.bounds import Choice, one_of
from recipes.command_line import NEEDED, Launcher
from recipes.devices import devices

LAUNCHERS = {
    module.__name__.split(".")[1]: module.run
    for module in (classify, distill, embed, evaluate, export, fine_tune, pretrain, semi_supervised)
}
# Of another type, or what no flag of the type takes.
WRONG = {
    bool: ("yes", 1),
    int: (2.5, "3", True, -1, math.nan),
    float: (math.nan, math.inf, "1", True, -1.0),
    str: ("", 3),
    dict: ("{}", [1]),
}
MAY_BE_ZERO = {"seed"}
FLAGS = [(launcher, name) for launcher, run in LAUNCHERS.items() for name in run.flags]


@pytest.mark.parametrize(("launcher", "name"), FLAGS)
def test_every_flag_refuses_what_is_out_of_bounds(launcher, name, tmp_path, monkeypatch):
    run, flag = LAUNCHERS[launcher], LAUNCHERS[launcher].flags[name]
    monkeypatch.chdir(tmp_path)
    needed = {other: "x" for other, f in run.flags.items() if f.default is NEEDED}
    wrong = WRONG[flag.kind]
    if flag.kind is int and name not in MAY_BE_ZERO | {"verbose"}:
        wrong += (0,)
    if any(isinstance(bound, Choice) for bound in flag.bounds):
        wrong += (9,) if flag.kind is int else ("nothing_like_it",)
    for value in wrong:
        with pytest.raises(ValueError, match=f"--{name} must be|Unknown {name}") as caught:
            run(**{**needed, name: value})
        assert repr(value) in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("launcher", "name"), FLAGS)
def test_every_number_has_bounds_in_its_help(launcher, name):
    flag = LAUNCHERS[launcher].flags[name]
    if flag.kind in (int, float):
        (bound,) = flag.bounds
        assert isinstance(bound, (Bound, Choice))
        assert flag.help.endswith(f"Must be {bound}.")


def test_a_choice_names_the_nearest():
    verbosity, side = one_of((0, 1, 2)), one_of(("left", "right"))
    assert verbosity.checked("verbose", 2) == 2 and side.checked("side", "left") == "left"
    with pytest.raises(ValueError, match="--verbose must be one of 0, 1, 2, got 9"):
        verbosity.checked("verbose", 9)
    with pytest.raises(ValueError, match="Unknown side 'rihgt'; .* Did you mean 'right'"):
        side.checked("side", "rihgt")


def test_home_is_found_in_paths(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    checked = pretrain.run.checked({"workdir": "~/run", "data_dir": "~/data", "dataset": "digits"})
    assert checked["workdir"] == f"{tmp_path}/run" and checked["data_dir"] == f"{tmp_path}/data"
    assert evaluate.run.checked({"encoder": "~/a,~/b"})["encoder"] == f"{tmp_path}/a,{tmp_path}/b"
    paths = {
        "classify": "workdir encoder data_dir",
        "distill": "workdir teacher init data_dir",
        "embed": "encoder out data_dir",
        "evaluate": "encoder data_dir masks report",
        "export": "encoder output data_dir",
        "fine_tune": "encoder workdir data_dir",
        "pretrain": "workdir data_dir",
        "semi_supervised": "workdir data_dir",
    }
    for launcher, expected in paths.items():
        for name in expected.split():
            assert LAUNCHERS[launcher].flags[name].checked("~/x") == f"{tmp_path}/x"


def test_paths_and_numbers_of_python_are_taken(tmp_path):
    import numpy as np

    checked = pretrain.run.checked({"workdir": tmp_path, "epochs": np.int64(3), "learning_rate": 1})
    assert json.dumps(checked) == json.dumps({"workdir": str(tmp_path), "epochs": 3, "learning_rate": 1})


@pytest.mark.parametrize("strategy", ("none", "multi_worker"))
@pytest.mark.parametrize("count", (1, 3))
def test_a_number_of_devices_needs_a_strategy_that_chooses_them(strategy, count):
    with pytest.raises(ValueError, match=f"--num_devices={count} chooses nothing: --strategy={strategy}"):
        with devices(strategy, num_devices=count):
            raise AssertionError("unreachable")


@pytest.mark.backends("jax")  # A strategy of JAX.
def test_more_devices_than_there_are():
    keras.ops.zeros(()) + 1
    with pytest.raises(ValueError, match="num_devices=300, but"), devices("data_parallel", num_devices=300):
        raise AssertionError("unreachable")


def test_missing_and_unknown_flags():
    with pytest.raises(ValueError, match="--workdir is needed: folder of the run"):
        pretrain.run()
    with pytest.raises(ValueError, match="Unknown flag 'epoch'.*Did you mean 'epochs'"):
        pretrain.run(workdir="x", epoch=3)
    with pytest.raises(ValueError, match="--epochs must be an integer >= 1, got None"):
        pretrain.run(workdir="x", epochs=None)


def test_fields_of_a_dataclass_are_flags_and_come_as_one_object():
    received = {}
    launcher = Launcher(semi_supervised.run.function)
    launcher.function = lambda **arguments: received.update(arguments)
    launcher(workdir="x", epochs=3, label_fraction=0.5)
    assert received["workdir"] == "x" and received["label_fraction"] == 0.5
    assert received["training"].epochs == 3 and received["training"].batch_size == 256
    assert "strategy" in pretrain.run.flags and "strategy" not in launcher.flags


class _Base:
    def __init__(self, encoder, *, views=None, num_classes=None, temperature=1.0, width=3, seed=0):
        self.temperature = temperature


class _Derived(_Base):
    def __init__(self, encoder, *, num_examples, **kwargs):
        super().__init__(encoder, **kwargs)


def test_arguments_of_a_class_and_its_base_are_known():
    names.check_arguments("method_args", {"num_examples": 3, "width": 4}, "derived", _Derived)
    with pytest.raises(ValueError) as caught:
        names.check_arguments("method_args", {"num_examples": 3, "widht": 4}, "derived", _Derived)
    assert str(caught.value) == (
        "--method_args={'num_examples': 3, 'widht': 4} do not fit derived, which has no 'widht'; "
        "it takes: num_examples, temperature, width. Did you mean 'width'?"
    )
    for own in ("encoder", "seed"):
        with pytest.raises(ValueError, match=f"which has no '{own}'"):
            names.check_arguments("method_args", {"num_examples": 3, own: 4}, "derived", _Derived)
    with pytest.raises(ValueError, match="derived needs num_examples: pass --method_args={'num_examples'"):
        names.check_arguments("method_args", {}, "derived", _Derived)


def test_a_refused_flag_leaves_no_workdir(tmp_path):
    with pytest.raises(ValueError, match="--stop_after must be >= 1, got -1"):
        pretrain.run(workdir=str(tmp_path / "run"), stop_after=-1)
    assert not (tmp_path / "run").exists()
