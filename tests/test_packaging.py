"""The wheel: everything is in it, and its command runs from an environment of its own."""

import json
import os
import re
import shutil
import site
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from tests import ROOT

NAMES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")


def run(*command, timeout=300, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build from a copy of what is in the checkout, so that nothing is left behind in it."""
    folder = tmp_path_factory.mktemp("build")
    source = folder / "source"
    source.mkdir()
    for name in ("snnsim", "cli", "data", "pyproject.toml", "README.md", "LICENSE"):
        (source / name).symlink_to(ROOT / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(source)]
    try:
        import setuptools

        recent = int(setuptools.__version__.split(".")[0]) >= 77
    except ImportError:
        recent = False
    if recent:  # otherwise pip fetches one for the build alone
        command.append("--no-build-isolation")
    run(*command)
    return next(folder.glob("snnsim-*.whl"))


@pytest.fixture(scope="module")
def contents(wheel):
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Environment with the wheel; its dependencies are those of the environment of the tests."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    packages = Path(run(python, "-c", "import site; print(site.getsitepackages()[0])").strip())
    # Only added to the path, not read as a site folder: an editable install of the checkout there has no effect.
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()))
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel)
    return folder


def snnsim(installed, *arguments, cwd):
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "SNNSIM_DATA")}
    return run(installed / "bin" / "snnsim", *map(str, arguments), cwd=cwd, env=environment)


def test_every_module_is_in_the_wheel(contents):
    on_disk = {f"snnsim/{p.relative_to(ROOT / 'snnsim').as_posix()}" for p in (ROOT / "snnsim").rglob("*.py")}
    on_disk |= {f"snnsim_cli/{p.name}" for p in (ROOT / "cli").glob("*.py")}
    in_wheel = {name for name in contents if name.endswith(".py") and not name.startswith("snnsim_data/")}
    assert in_wheel == on_disk


def test_configurations_and_data_are_in_the_wheel(contents):
    configs = {f"snnsim/configs/{p.name}" for p in (ROOT / "snnsim" / "configs").glob("*.toml")}
    assert configs
    assert configs <= contents
    assert {f"snnsim_data/mnist/{name}-ubyte.gz" for name in NAMES} <= contents
    assert "snnsim_data/README.md" in contents


def test_metadata(wheel):
    with zipfile.ZipFile(wheel) as file:
        name = next(n for n in file.namelist() if n.endswith("/METADATA"))
        metadata = file.read(name).decode()
        entry = file.read(name.replace("METADATA", "entry_points.txt")).decode()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"Version: {project['version']}\n" in metadata
    assert "Requires-Python: <3.15,>=3.11" in metadata
    assert "snnsim = snnsim_cli.main:main" in entry


def test_the_installed_command_is_the_wheel_s_own(installed, tmp_path):
    code = "import snnsim, snnsim_cli; print(snnsim.__file__); print(snnsim_cli.__file__)"
    for line in run(installed / "bin" / "python", "-c", code, cwd=tmp_path).splitlines():
        assert line.startswith(str(installed))


def test_the_installed_command_runs(installed, tmp_path):
    assert "train" in snnsim(installed, "--help", cwd=tmp_path)
    listed = snnsim(installed, "config", "list", cwd=tmp_path).split()
    on_disk = {p.stem for p in (ROOT / "snnsim" / "configs").glob("*.toml") if not p.stem.startswith("reproduce-")}
    assert set(listed) == on_disk
    assert "[network]" in snnsim(installed, "config", "show", cwd=tmp_path)


def test_the_installed_command_trains_on_the_data_in_the_wheel(installed, tmp_path):
    out = snnsim(
        installed, "train", "--limit", 60, "--layers", "784-10-10", "--steps", 12, "--epochs", 1, "--json", cwd=tmp_path
    )
    assert json.loads(out)["run_dir"] == "runs/default-0"
    assert (tmp_path / "runs" / "default-0" / "model.h5").is_file()


def test_the_citation_is_of_this_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    cited = dict(re.findall(r"(?m)^(version|license): (.+)$", (ROOT / "CITATION.cff").read_text()))
    assert cited == {"version": project["version"], "license": project["license"]}
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """Wheel and sdist as ``python -m build`` makes them of a copy of the checkout."""
    source = tmp_path_factory.mktemp("checkout") / "snnsim"
    dropped = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "runs", "traces", "results")
    shutil.copytree(ROOT, source, ignore=dropped)
    run(sys.executable, "-m", "build", str(source), timeout=900)
    return {path.suffix: path for path in (source / "dist").iterdir()}


def interpreters():
    """Pythons that can be had: those named in SNNSIM_PYTHONS, else those on the path."""
    named = os.environ.get("SNNSIM_PYTHONS", "").split(os.pathsep)
    found = [name for name in named if name] or [shutil.which(f"python3.{minor}") for minor in range(11, 15)]
    return [path for path in found if path and subprocess.run([path, "-V"], capture_output=True).returncode == 0]


@pytest.mark.slow
def test_an_index_would_take_the_distributions(distributions):
    assert set(distributions) == {".whl", ".gz"}
    out = run(sys.executable, "-m", "twine", "check", "--strict", *map(str, distributions.values()))
    assert out.count("PASSED") == 2, out
    with tarfile.open(distributions[".gz"]) as file:
        held = {name.partition("/")[2] for name in file.getnames()}
    assert {"CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "Makefile", "docs/conf.py", "tests/conftest.py"} <= held
    assert not [name for name in held if name.endswith((".pyc", ".nbi", ".nbc"))]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [".whl", ".gz"])
@pytest.mark.parametrize("interpreter", interpreters())
def test_a_distribution_works_in_a_clean_environment(distributions, tmp_path, interpreter, kind):
    """Installed with what it needs, it trains, simulates what it trained, and shows it."""
    folder = tmp_path / "environment"
    run(interpreter, "-m", "venv", str(folder))
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", str(distributions[kind]), timeout=900)
    run(python, "-m", "pip", "check")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert snnsim(folder, "--version", cwd=tmp_path) == f"snnsim {version}\n"
    small = ("--limit", 60, "--layers", "784-10-10", "--steps", 12, "--epochs", 1)
    snnsim(folder, "train", *small, "--run-dir", "run", cwd=tmp_path)
    snnsim(folder, "simulate", "run", "--record", "spikes,v", "--record-trials", "0:5", "-o", "traces", cwd=tmp_path)
    snnsim(folder, "plot", "raster", "traces", "-o", "raster.png", cwd=tmp_path)
    assert (tmp_path / "raster.png").stat().st_size > 1000
