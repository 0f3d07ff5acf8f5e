"""The settings and the data of a run, as its checkpoints keep them, compared with others."""

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import keras

# Settings under which a run may be continued though they were others before: they change no number of a
# healthy step.
MAY_CHANGE = frozenset(("jit_compile", "run_eagerly", "steps_per_execution", "nonfinite"))
# Those of schedules that follow from the length of the run.
LENGTHS = frozenset(("total_steps", "decay_steps", "first_decay_steps", "warmup_steps"))
# What two makings of the same model may differ in.
_INCIDENTAL = frozenset(
    ("name", "module", "registered_name", "build_config", "shared_object_id", "trained_on", *MAY_CHANGE)
)
_NAMED = 6


def model_settings(model: keras.Model) -> dict:
    """The constructor's and `compile`'s arguments of a model, as JSON keeps them."""
    return json.loads(json.dumps(keras.saving.serialize_keras_object(model)))


def differing_settings(there: dict, here: dict, lengths: bool) -> list[str]:
    """The settings in which two models differ, each in words.

    Args:
        there: `model_settings` of the model that was trained.
        here: of the one that is to go on.
        lengths: whether the lengths of schedules count.
    """
    found = [(path, *values) for path, *values in _walk(_plain(there), _plain(here))]
    if found:
        # An older version may have written the same settings otherwise.
        there = _as_written_now(there)
        found = [(path, *values) for path, *values in _walk(_plain(there), _plain(here))]
    if not lengths:
        found = [entry for entry in found if not LENGTHS & set(entry[0])]
    return [_say(".".join(map(str, path)) or "method", *values) for path, *values in found]


def differing_facts(there: dict, here: dict) -> list[str]:
    """The facts in which data differs from that of a run, each in words; only facts known of both count."""
    return [
        _say(name, there[name], here[name]) for name in there if there[name] != here.get(name, there[name])
    ]


def listed(differences: list[str]) -> str:
    """The first differences as one sentence."""
    more = len(differences) - _NAMED
    return "; ".join(differences[:_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _as_written_now(settings: dict) -> dict:
    """The settings of a model as this version writes them; as they are if it cannot make the model."""
    try:
        # Keras takes apart what it makes objects from.
        given = copy.deepcopy(settings)
        model = keras.saving.deserialize_keras_object(given)
        if settings.get("compile_config"):
            model.compile_from_config(copy.deepcopy(settings["compile_config"]))
        return model_settings(model)
    except (ValueError, TypeError, KeyError, AttributeError, ImportError):
        return settings


def _walk(there: Any, here: Any, path: tuple = ()) -> Iterator[tuple]:
    """`(path, there, here)` of all that differs."""
    if isinstance(there, dict) and isinstance(here, dict):
        classes = there.get("class_name"), here.get("class_name")
        if classes[0] != classes[1]:
            yield path, *classes
            return
        for key in sorted(there.keys() | here.keys()):
            inside = path if key in ("config", "compile_config") else (*path, key)
            yield from _walk(there.get(key), here.get(key), inside)
    elif isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        for index, pair in enumerate(zip(there, here, strict=True)):
            yield from _walk(*pair, (*path, index))
    elif there != here:
        yield path, there, here


def _plain(value: Any, top: bool = True, layers: dict | None = None) -> Any:
    """Settings without what differs between two makings: names, and seeds below the method's own."""
    if isinstance(value, list):
        return [_plain(entry, False, layers) for entry in value]
    if not isinstance(value, dict):
        return value
    if "DTypePolicy" in str(value.get("class_name")):
        return {"class_name": value["class_name"], "policy": (value.get("config") or {}).get("name")}
    if "input_layers" in value and "layers" in value:
        layers = {layer.get("name"): index for index, layer in enumerate(value["layers"])}
    plain = {}
    for key, entry in value.items():
        if key in _INCIDENTAL or (key == "seed" and not top):
            continue
        if key in ("input_layers", "output_layers", "keras_history"):
            entry = _numbered(entry, layers or {})
        # Paths of variables begin with names that Keras counts up.
        key = re.sub(r"_\d+(?=/|$)", "", key) if "/" in key else key
        plain[key] = _plain(entry, top and key == "config", layers)
    return plain


def _numbered(value: Any, layers: dict) -> Any:
    """A graph's ends with the numbers of its layers in place of their names."""
    if isinstance(value, dict):
        return {key: _numbered(entry, layers) for key, entry in value.items()}
    if isinstance(value, list):
        return [_numbered(entry, layers) for entry in value]
    return layers.get(value, value) if isinstance(value, str) else value


def _say(name: str, there: Any, here: Any) -> str:
    return f"{name} is {_short(there)} there, {_short(here)} here"


def _short(value: Any) -> str:
    if isinstance(value, dict):
        value = value.get("class_name", value)
    text = value if isinstance(value, str) and value.isidentifier() else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
