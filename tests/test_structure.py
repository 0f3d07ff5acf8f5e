"""What may stand where: private names of Keras, names of backends, and the arrows between rooms."""

import ast
import contextlib
import functools
import importlib
import inspect
import pathlib

import keras
import pytest

import kerassl

ROOT = pathlib.Path(__file__).parents[1]
INTERNALS = ROOT / "kerassl/engine/keras_internals.py"
BACKENDS = {"tensorflow", "torch", "jax"}
# Some formats of export are a backend's, and so are TensorFlow's datasets.
NAME_BACKENDS = ("kerassl/engine/", "kerassl/export/", "kerassl/data/tensorflow_datasets.py")
# The rooms from below: one imports those before it. `engine` stands on Keras alone.
ROOMS = (
    "version",
    "arguments",
    "engine",
    "batch",
    "schedules",
    "optimizers",
    "metrics",
    "losses",
    "heads",
    "backbones",
    "memory",
    "teachers",
    "clustering",
    "views",
    "data",
    "objectives",
    "evaluation",
    "export",
    "training",
    "methods",
    "classifiers",
    "distillation",
    "callbacks",
)
# `fit` warns of collapse by itself, with a callback that others may pass, too.
ALLOWED_UP = ("kerassl.training.guards -> kerassl.callbacks",)
KERAS_CLASSES = (
    keras.Model,
    keras.Sequential,
    keras.Variable,
    keras.callbacks.Callback,
    keras.layers.BatchNormalization,
    keras.metrics.Mean,
    keras.optimizers.AdamW,
    keras.optimizers.LossScaleOptimizer,
    keras.random.SeedGenerator,
)


def sources(*folders):
    for folder in folders:
        file = ROOT / f"{folder}.py"
        yield from [file] if file.exists() else sorted((ROOT / folder).rglob("*.py"))


def is_private(name):
    return name.startswith("_") and not name.startswith("__") and name != "_"


def attributes(tree):
    """The private names that some code reads, writes or defines on objects."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def own_names(tree):
    """The private names that some code defines: functions, and attributes of `self`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if isinstance(node.value, ast.Name) and node.value.id == "self":
                yield node.attr


def of_keras(kind):
    """The private names of a class of Keras and of those that it derives from."""
    bases = [base for base in kind.__mro__ if base.__module__.split(".")[0] == "keras"]
    return set().union(*map(private_names, bases))


@functools.cache
def private_names(base):
    """The private names that one class defines."""
    names = set(filter(is_private, vars(base)))
    # Some classes are made by a function, and have no source of their own.
    with contextlib.suppress(OSError):
        tree = ast.parse(inspect.cleandoc("\n" + inspect.getsource(base)))
        names |= set(filter(is_private, own_names(tree)))
    return names


def test_private_names_of_keras_stand_in_one_file():
    private = set().union(*map(of_keras, KERAS_CLASSES)) | {"_use_cached_eval_dataset"}
    assert {"_flatten_layers", "_moments", "_var_key", "_loss_tracker", "_distribute_strategy"} & private
    found = []
    for path in sources("kerassl", "recipes", "benchmarks"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        ours = set(own_names(tree))
        names = sorted(set(filter(is_private, attributes(tree))) & private - ours)
        if path != INTERNALS:
            found += [f"{path.relative_to(ROOT)}: {name}" for name in names]
    assert found == []


def test_what_derives_from_keras_overrides_nothing_private():
    found = []
    for path in sources("kerassl"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if path == INTERNALS or name.split(".")[-1] in BACKENDS - {keras.backend.backend()}:
            continue
        if name.endswith(("feeding", "torch_reduce")):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        module = importlib.import_module(name)
        for node in tree.body:
            kind = getattr(module, node.name, None) if isinstance(node, ast.ClassDef) else None
            if isinstance(kind, type):
                clash = set(filter(is_private, own_names(node))) & of_keras(kind)
                found += [f"{path.relative_to(ROOT)}: {kind.__name__}.{name}" for name in sorted(clash)]
    assert not found


def imported(tree, package):
    """The modules that some code imports anywhere, also within functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                above = package.split(".")[: 1 - node.level or None]
                module = ".".join([*above, module] if module else above)
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def test_keras_src_is_imported_in_one_file():
    found = [
        str(path.relative_to(ROOT))
        for path in sources("kerassl", "recipes", "benchmarks")
        for name in imported(ast.parse(path.read_text(encoding="utf-8")), "")
        if f"{name}.".startswith("keras.src.") and path != INTERNALS
    ]
    assert not found


def test_backends_are_imported_where_they_may_be():
    found = []
    for path in sources("kerassl"):
        where = path.relative_to(ROOT)
        if str(where).startswith(NAME_BACKENDS):
            continue
        names = {name.split(".")[0] for name in imported(ast.parse(path.read_text(encoding="utf-8")), "")}
        found += [f"{where}: {name}" for name in sorted(names & BACKENDS)]
    assert not found


def import_graph(folder):
    """`{module: modules of the package that it imports}` for all modules under a folder."""
    paths = list(sources(folder))
    names = {}
    for path in paths:
        parts = path.relative_to(ROOT).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    graph = {}
    for name, path in names.items():
        package = name if path.stem == "__init__" else name.rpartition(".")[0]
        found = set(imported(ast.parse(path.read_text(encoding="utf-8")), package))
        # `from package import module` is no arrow to the package.
        found -= {other.rpartition(".")[0] for other in found if other in names}
        graph[name] = {other for other in found if other.split(".")[0] == name.split(".")[0]} - {name}
    return graph


def circle(graph):
    """A circle of modules that import one another, or none."""
    done, path = set(), []

    def visit(module):
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done or module not in graph:
            return None
        path.append(module)
        for other in sorted(graph[module]):
            if found := visit(other):
                return found
        path.pop()
        done.add(module)
        return None

    return next((found for module in sorted(graph) if (found := visit(module))), None)


def arrows_up(room, rooms):
    """What a room imports of the package beyond itself and the rooms before it."""
    below = {f"kerassl.{name}" for name in rooms[: rooms.index(room) + 1]}
    return sorted(
        f"{module} -> {other}"
        for module, others in import_graph(f"kerassl/{room}").items()
        for other in others
        if other != "kerassl" and ".".join(other.split(".")[:2]) not in below
    )


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_no_circle_and_no_arrow_up(room):
    graph = import_graph(f"kerassl/{room}")
    # The room's own `__init__` names its modules and is named by none of them.
    assert circle(graph) is None
    assert [arrow for arrow in arrows_up(room, ROOMS) if not arrow.startswith(ALLOWED_UP)] == []


def test_every_room_has_its_place():
    found = {path.stem for path in (ROOT / "kerassl").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert found - {"__init__", "__pycache__", "public", *ROOMS} == {"recipes"} & found


def test_circles_and_arrows_up_would_be_seen():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) is None
    assert arrows_up("optimizers", ("optimizers", "engine")) != []
    code = "def f():\n    from kerassl import engine\n    from . import step\n"
    assert {"kerassl.engine", "kerassl.engine.step"} <= set(imported(ast.parse(code), "kerassl.engine"))


def test_the_version_is_that_of_the_package():
    assert kerassl.__version__ == kerassl.version.__version__
    assert 'attr = "kerassl.version.__version__"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
