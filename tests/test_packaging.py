"""What is built is what is wanted, and runs where it is installed, away from the sources."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile

import pytest

pytestmark = pytest.mark.backends("tensorflow")  # It is built once.
ROOT = pathlib.Path(__file__).parents[1]
FILES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff")
BUILD = "from setuptools import build_meta as b; b.build_sdist('dist'); b.build_wheel('dist')"
# Of the sources nothing may be found.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the source distribution."""
    source = tmp_path_factory.mktemp("source")
    for name in FILES:
        shutil.copy(ROOT / name, source)
    for name in ("kerassl", "recipes"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = [sys.executable, "-c", BUILD]
    subprocess.run(build, cwd=source, env=ENVIRONMENT, check=True, capture_output=True)
    return tuple(next((source / "dist").glob(pattern)) for pattern in ("*.whl", "*.tar.gz"))


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """The folder of executables of an environment with the wheel and, by a path, what it depends on."""
    place = tmp_path_factory.mktemp("installed")
    venv.create(place)
    (packages,) = place.glob("lib/python*/site-packages")
    # Packages on a path are found, but editable installations among them are not.
    paths = {sysconfig.get_paths()[name] for name in ("purelib", "platlib")}
    (packages / "dependencies.pth").write_text("\n".join(paths))
    install = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python"), "install", "--no-deps"]
    subprocess.run([*install, str(built[0])], env=ENVIRONMENT, check=True, capture_output=True)
    return place / "bin"


def run(folder, *command):
    # The backend that starts soonest.
    environment = {**ENVIRONMENT, "KERAS_BACKEND": "torch"}
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def test_the_wheel_holds_one_package_with_its_launchers(built):
    with zipfile.ZipFile(built[0]) as wheel:
        names = wheel.namelist()
        metadata = wheel.read("kerassl-0.1.0.dist-info/METADATA").decode()
    assert {name.split("/")[0] for name in names} == {"kerassl", "kerassl-0.1.0.dist-info"}
    sources = {f"kerassl/recipes/{file.name}" for file in (ROOT / "recipes").glob("*.py")}
    sources |= {file.relative_to(ROOT).as_posix() for file in (ROOT / "kerassl").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == sources
    assert "kerassl-0.1.0.dist-info/licenses/LICENSE" in names
    assert "License-Expression: Apache-2.0" in metadata
    assert "Project-URL: Homepage, https://github.com/kerassl/kerassl" in metadata


def test_the_source_distribution_builds_by_itself(built):
    with tarfile.open(built[1]) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert names.issuperset((*FILES, "recipes/cli.py", "kerassl/__init__.py"))
    assert {name.split("/")[0] for name in names if "/" in name} == {"kerassl", "kerassl.egg-info", "recipes"}


def test_the_index_would_take_both(built):
    pytest.importorskip("twine", reason="of the extra `test`")
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, built)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_version_is_the_same_everywhere():
    version = re.search(r'__version__ = "(.*)"', (ROOT / "kerassl" / "version.py").read_text())[1]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## [{version}]" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize(
    "arguments", (["--help"], ["--version"], ["completion", "bash"], ["completion", "zsh"])
)
def test_answers_without_a_backend(installed, tmp_path, arguments):
    done = run(tmp_path, installed / "python", "-X", "importtime", installed / "kerassl", *arguments)
    assert "kerassl" in done.stdout
    imported = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "kerassl" in imported
    assert not imported & {"keras", "torch", "tensorflow", "jax", "numpy", "absl"}


def test_pretrains_evaluates_and_exports_in_a_foreign_folder(installed, tmp_path):
    code = "import kerassl, kerassl.recipes as r; print(kerassl.__file__, r.__file__, kerassl.SSLModel)"
    found = run(tmp_path, installed / "python", "-c", code).stdout
    assert found.count(str(installed.parent)) == 2 and str(ROOT) not in found

    small = ["--width=4", "--limit_train=64", "--limit_test=32", "--epochs=1", "--batch_size=32"]
    small += ["--nosaved_model", "--workdir=run"]
    done = run(tmp_path, installed / "kerassl", "pretrain", *small)
    assert "trained encoder" in done.stdout and "InitializeLog" not in done.stderr
    assert (tmp_path / "run" / "encoder.keras").exists()
    done = run(tmp_path, installed / "kerassl", "evaluate", "--encoder=run", "--protocols=knn")
    assert "trained encoder" in done.stdout
    run(tmp_path, installed / "kerassl", "export", "--encoder=run", "--formats=keras")
    assert (tmp_path / "run" / "exported.keras").exists()
