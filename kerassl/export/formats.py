"""The export formats: the function that writes each, and the lines of Python that read it."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence

import keras
import numpy as np

from kerassl.export.parts import sample_inputs
from kerassl.export.quantization import check_int8, quantized


@dataclasses.dataclass(frozen=True)
class Format:
    """One way to store a network.

    Attributes:
        suffix: suffix of the file; empty for a folder.
        backend: the backend of the process that writes it; `None` for any.
        packages: packages that writing requires.
        extra: the extra of kerassl with the packages for writing and reading.
        load: Python that loads the file `PATH` by the format's own runtime.
        call: Python that then makes `features` of `INPUTS`, an array of the type `DTYPE`.
        call_several: the same where `INPUTS` are several arrays; `None` where the format takes one.
    """

    suffix: str
    backend: str | None
    packages: tuple[str, ...]
    extra: str
    load: str
    call: str
    call_several: str | None = None

    def load_lines(self, path: str | os.PathLike) -> str:
        """The lines of `load` for a file."""
        return self.load.replace("PATH", json.dumps(str(path)))

    def call_lines(self, inputs: str = "images", dtype: str = "float32", several: bool = False) -> str:
        """The lines of `call` for a variable of that name and a network that takes that type."""
        lines = self.call_several if several else self.call
        return lines.replace("INPUTS", inputs).replace("DTYPE", dtype)


FORMATS = {
    "tf_saved_model": Format(
        suffix="",
        backend="tensorflow",
        packages=("tensorflow",),
        extra="export",
        load="import tensorflow as tf\n\nencoder = tf.saved_model.load(PATH)",
        call='features = encoder.serve(INPUTS.astype("DTYPE")).numpy()',
        call_several="features = encoder.serve(INPUTS).numpy()",
    ),
    "onnx": Format(
        suffix=".onnx",
        backend="tensorflow",
        packages=("tensorflow", "onnx", "tf2onnx"),
        extra="export",
        load="import onnxruntime\n\nsession = onnxruntime.InferenceSession(PATH)",
        call='(features,) = session.run(None, {session.get_inputs()[0].name: INPUTS.astype("DTYPE")})',
        call_several="(features,) = session.run(None, INPUTS)  # {name: array}",
    ),
    "keras": Format(
        suffix=".keras",
        backend=None,
        packages=(),
        extra="",
        load="import keras\n\nimport kerassl\n\nencoder = keras.models.load_model(PATH, compile=False)",
        call="features = encoder.predict(INPUTS, verbose=0)",
        call_several="features = encoder.predict(INPUTS, verbose=0)",
    ),
    "litert": Format(
        suffix=".tflite",
        backend="tensorflow",
        packages=("tensorflow",),
        extra="litert",
        load="from ai_edge_litert.interpreter import Interpreter\n\ninterpreter = Interpreter(PATH)",
        call="""\
place = interpreter.get_input_details()[0]["index"]
interpreter.resize_tensor_input(place, INPUTS.shape)
interpreter.allocate_tensors()
interpreter.set_tensor(place, INPUTS.astype("DTYPE"))
interpreter.invoke()
features = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])""",
    ),
    "openvino": Format(
        suffix=".xml",
        backend="tensorflow",
        packages=("tensorflow", "openvino"),
        extra="openvino",
        # Without the hint, processors that have bfloat16 compute in it.
        load="import openvino\n\n"
        'encoder = openvino.compile_model(PATH, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})',
        call='features = encoder(INPUTS.astype("DTYPE"))[0]',
    ),
    "torch": Format(
        suffix=".pt2",
        backend="torch",
        packages=("torch",),
        extra="torch",
        load="import torch\n\nencoder = torch.export.load(PATH).module()",
        call='features = encoder(torch.from_numpy(INPUTS.astype("DTYPE"))).detach().numpy()',
    ),
}

CONVERT = """
import json
import sys

import keras
from kerassl.export.formats import write_here

source, targets, int8 = json.loads(sys.argv[1])
for name in write_here(keras.models.load_model(source, compile=False), targets, int8):
    print("written:", name, flush=True)
"""


def write_network(
    network: keras.Model, path: str | os.PathLike, formats: Sequence[str], int8: bool = False
) -> Iterator[tuple[str, pathlib.Path]]:
    """Writes a network in several formats.

    A format that another backend has to make is made of a `.keras` file in a second process. LiteRT
    takes 8-bit weights by its own converter, which knows convolutions, all others by `quantized`.

    Args:
        network: a functional model that `keras.models.load_model` can load after `import kerassl`.
        path: where to; each format's suffix takes the place of one that is given.
        formats: names out of `FORMATS`.
        int8: whether weights are stored in 8 bits.

    Yields:
        A format's name and the path that was written, when it is done.

    Raises:
        ValueError: for an unknown format, one that has no int8 form of this network, or one that takes a
            single input for a network of several.
        ImportError: if a package that writes a format is missing.

    Example:
        >>> import tempfile, keras
        >>> from kerassl.export import write_network
        >>> network = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [path.name for _, path in write_network(network, f"{folder}/encoder", ["keras"])]
        ['encoder.keras']
    """
    for name in formats:
        if name not in FORMATS:
            raise ValueError(f"Unknown export format {name!r}; choose one of {', '.join(FORMATS)}.")
    alone = [name for name in formats if FORMATS[name].call_several is None]
    if alone and len(network.inputs) > 1:
        others = ", ".join(name for name, form in FORMATS.items() if form.call_several)
        raise ValueError(
            f"{alone[0]} takes one input, and {network.name} has {len(network.inputs)}: "
            f"{', '.join(part.name for part in network.inputs)}. Export it as {others}."
        )
    if int8:
        check_int8(network, formats)
    base = without_suffix(path)
    base.parent.mkdir(parents=True, exist_ok=True)
    targets = {name: base.with_name(base.name + FORMATS[name].suffix) for name in formats}
    here = keras.backend.backend()
    for backend in dict.fromkeys(FORMATS[name].backend or here for name in formats):
        part = {name: str(targets[name]) for name in formats if (FORMATS[name].backend or here) == backend}
        written = write_here(network, part, int8)
        if backend != here:
            written = _write_elsewhere(network, part, int8, backend)
        for name in written:
            yield name, targets[name]


def without_suffix(path: str | os.PathLike) -> pathlib.Path:
    """The path without the suffix of a format, if it has one; `~` is the home folder."""
    path = pathlib.Path(path).expanduser()
    known = {form.suffix for form in FORMATS.values()} - {""}
    return path.with_suffix("") if path.suffix in known else path


def _write_elsewhere(
    network: keras.Model, targets: Mapping[str, str], int8: bool, backend: str
) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder, open(os.path.join(folder, "errors"), "w+") as errors:
        source = os.path.join(folder, "network.keras")
        network.save(source)
        process = subprocess.Popen(
            [sys.executable, "-c", CONVERT, json.dumps([source, targets, int8])],
            env={**os.environ, "KERAS_BACKEND": backend},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        left = list(targets)
        with process:
            for line in process.stdout:
                if line.startswith("written: "):
                    left.remove(line.split()[1])
                    yield line.split()[1]
        if process.returncode:
            errors.seek(0)
            raise ImportError(
                f"The {left[0]} file is made by {backend} in a process of its own, which failed. "
                f'Is `pip install "kerassl[{FORMATS[left[0]].extra}]"` done?\n{errors.read()[-2000:]}'
            )


def write_here(network: keras.Model, targets: Mapping[str, str], int8: bool) -> Iterator[str]:
    """Writes formats that the backend of this process makes; yields the name of each that is done."""
    small = quantized(network) if int8 and set(targets) - {"litert"} else network
    for name, target in targets.items():
        _write_one(network if name == "litert" else small, target, name, int8)
        yield name


def _write_one(network: keras.Model, target: str, name: str, int8: bool) -> None:
    if name == "keras":
        network.save(target)
        return
    if name == "openvino":
        # OpenVINO's converter reports its use to its makers unless this package is missing.
        sys.modules.setdefault("openvino_telemetry", None)
    for package in FORMATS[name].packages:
        try:
            __import__(package)
        except ImportError as error:
            hint = f'pip install "kerassl[{FORMATS[name].extra}]"'
            raise ImportError(f"The {name} export needs {package}: {hint}") from error
    sample = sample_inputs(network)
    # Keras exports a model by the way it was last called, and a loaded one never was.
    network(sample)
    options = {}
    if name == "litert" and int8:
        import tensorflow as tf

        options["optimizations"] = [tf.lite.Optimize.DEFAULT]
    if name == "torch":
        import torch

        # A batch of one would be taken for a constant.
        options["input_signature"] = [keras.InputSpec(shape=sample.shape, dtype=str(sample.dtype))]
        options["dynamic_shapes"] = ({0: torch.export.Dim("batch")},)
    network.export(target, format=name, verbose=False, **options)
    if name == "onnx":
        _finish_onnx(network, target)


def _finish_onnx(network: keras.Model, target: str) -> None:
    """Checks a file that tf2onnx wrote, and names its output as the network's."""
    import onnx

    # tf2onnx writes operations that it does not know as unknown operations or as further inputs.
    try:
        onnx.checker.check_model(target)
        model = onnx.load(target)
        inputs = [value.name for value in model.graph.input]
        extra = [name for name in inputs if name not in {part.name for part in network.inputs}]
        problem = f"It makes inputs of constants, {', '.join(extra)}." if extra else ""
    except onnx.checker.ValidationError as error:
        problem = str(error).splitlines()[0]
    if problem:
        os.remove(target)
        raise ValueError(f"tf2onnx does not translate all of {network.name}: {problem} Take another format.")
    # A Sequential has no names.
    names = getattr(network, "output_names", [value.name for value in model.graph.output])
    for output, name in zip(model.graph.output, names, strict=True):
        before, output.name = output.name, name
        for node in model.graph.node:
            for ends in (node.input, node.output):
                ends[:] = [name if one == before else one for one in ends]
    onnx.save(model, target)


def read(
    path: str | os.PathLike,
    format: str,
    inputs: str = "images",
    dtype: str = "float32",
    several: bool = False,
) -> Callable[[np.ndarray], np.ndarray]:
    """Loads an exported network by the lines that its card shows.

    Args:
        path: the written file or folder.
        format: a name out of `FORMATS`.
        inputs: name of the network's input: "images", or "inputs" where it takes something else.
        dtype: type of that input.
        several: whether the network takes several inputs, as a dict of arrays.

    Returns:
        A function from inputs, such as images `(batch, height, width, channels)`, to features `(batch, dim)`.

    Raises:
        ImportError: where the format's runtime is not installed.

    Example:
        >>> import tempfile, keras, numpy as np
        >>> from kerassl.export import read, write_network
        >>> network = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten()])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     ((name, path),) = write_network(network, f"{folder}/encoder", ["keras"])
        ...     read(path, name)(np.ones((3, 2, 2, 1))).shape
        (3, 4)
    """
    path, form = pathlib.Path(path).expanduser(), FORMATS[format]
    names = {}
    try:
        exec(form.load_lines(path), names)
    except ImportError as error:
        raise ImportError(f'{error} is needed to read {path}: pip install "kerassl[{form.extra}]"') from error

    def features(given: np.ndarray) -> np.ndarray:
        names[inputs] = given
        exec(form.call_lines(inputs, dtype, several), names)
        return np.asarray(names["features"])

    return features
