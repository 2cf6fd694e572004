"""The house keeps its own rules."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
OURS = ("snnsim", "cli", "tests")
PACKAGES = ROOT / "snnsim"


def sources(*folders):
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def importers(pattern, *folders):
    """Files whose code imports what the pattern names, at the top or within a function."""
    wanted = re.compile(rf"^\s*(?:import|from)\s+(?:{pattern})\b", re.M)
    return {str(path.relative_to(ROOT)) for path in sources(*folders) if wanted.search(path.read_text())}


def tool(*command):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def test_imports_point_only_downward():
    tool(Path(sys.executable).with_name("lint-imports"), "--no-cache")


def test_ruff_finds_nothing():
    tool(sys.executable, "-m", "ruff", "check", "--no-cache", *OURS)


def test_packages_are_those_on_the_disk():
    listed = set(PROJECT["tool"]["setuptools"]["packages"])
    places = PROJECT["tool"]["setuptools"]["package-dir"]
    files = [path for kind in ("*.py", "*.toml") for path in PACKAGES.rglob(kind)]
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in files}
    assert listed - {"snnsim_cli", "snnsim_data"} == found
    for name in ("snnsim_cli", "snnsim_data"):
        assert name in listed
        assert (ROOT / places[name]).is_dir()


def test_only_the_listed_places_import_heavy_things():
    assert {name.split("/")[1] for name in importers("matplotlib", "snnsim")} == {"plotting", "viewer"}
    assert {name.split("/")[1] for name in importers("h5py", "snnsim")} == {"files", "recording"}
    assert importers("typer", "snnsim") == set()
    # Trainings show their progress from Python, too: in terminals and in notebooks.
    assert importers("rich", "snnsim") == {"snnsim/terminal.py", "snnsim/training/progress.py"}


def test_equations_import_only_math_and_register_jitable():
    for path in sources("snnsim/dynamics"):
        found = re.findall(r"(?m)^(?:import|from)\s+(\S+)", path.read_text())
        assert all(name in ("math", "numba.extending") or name.startswith("snnsim.dynamics") for name in found), path


def test_commands_import_nothing_heavy_at_their_top():
    allowed = set(sys.stdlib_module_names) | {"typer"}
    light = ("snnsim.tables", "snnsim.terminal")  # that it is, the next test sees
    for path in sources("cli"):
        for name in re.findall(r"(?m)^(?:import|from)\s+(\S+)", path.read_text()):
            assert name.startswith(".") or name.split(".")[0] in allowed or name in light, f"{path.name} imports {name}"


def test_help_loads_no_numerics():
    code = (
        "import sys; sys.argv = ['snnsim', '--help']\n"
        "from snnsim_cli.main import main\n"
        "try:\n main()\nexcept SystemExit as stop:\n assert not stop.code\n"
        "loaded = {'numpy', 'numba', 'scipy', 'h5py', 'matplotlib'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    tool(sys.executable, "-c", code)


def test_references_import_no_kernel():
    assert importers(r"snnsim\.(?:kernels|engines)|snnsim import kernels", "tests/reference") == set()


@pytest.mark.parametrize("folder", [*OURS, "docs"])
def test_no_paths_of_one_machine(folder):
    texts = [p for p in (ROOT / folder).rglob("*") if p.suffix in (".py", ".toml", ".md", ".sh", ".json")]
    texts += [ROOT / name for name in ("README.md", "Makefile", "pyproject.toml")]
    place = re.compile(r"(?<![\w.])/(?:work|root|home/\w+|Users/\w+|tmp/w)/")
    for path in texts:
        if path != Path(__file__):
            assert not place.search(path.read_text()), path


def test_nothing_is_left_to_do():
    marker = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b")
    for path in sources(*OURS):
        if path != Path(__file__):
            assert not marker.search(path.read_text()), path
