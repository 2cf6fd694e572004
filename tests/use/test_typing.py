"""What an editor and a type checker know: completion by jedi, mypy of a user's script, annotations on public names."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import jedi
import pytest

import snnsim

ROOT = Path(__file__).parents[2]
SCRIPT = '''
import numpy as np
import snnsim as sn

x, y = np.zeros((10, 4)), np.arange(10) % 3
neuron = sn.LIF(tau_mem=np.linspace(5, 20, 4), tau_syn=5.0)
model = sn.Model("4-3", dt=1.0, n_steps=5, neuron=sn.LIF(), loss="membrane-mean", target_rate=2)
history = model.fit(x, y, epochs=2, callbacks=[sn.EarlyStopping(patience=5)])
losses: list[float] = history["val_loss"]
share: float | None = model.evaluate(x, y).accuracy
gradients: dict[str, np.ndarray] = model.gradients(x, y)
v = model.simulate(x)["output"].v
network = sn.Network()
network.input("in", 4)
network.population("out", 3, sn.LI())
network.connect("in", "out", delay=1.0)
spikes: sn.Spikes = sn.Spikes.from_trials([([1.0], [2])], 4, 5.0)
sn.load_model("m.h5").save("n.h5")
'''


def test_mypy_of_a_users_script(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "wrong.py").write_text(SCRIPT + 'model.fitt(x)\nsn.EarlyStopping(patience="x")\nsn.Modell("4-3")\n')
    options = ["--follow-imports=silent", "--ignore-missing-imports", "--cache-dir", str(tmp_path / "cache")]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(tmp_path / "script.py"), str(tmp_path / "wrong.py")],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert not [line for line in lines if "script.py" in line], done.stdout
    assert [line.split("[")[-1] for line in lines] == ["attr-defined]", "arg-type]", "attr-defined]"], done.stdout


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("import snnsim as sn\nsn.Mod", {"Model"}),
        ("import snnsim as sn\nsn.Early", {"EarlyStopping"}),
        ("import snnsim as sn\nsn.Model('4-3').", {"fit", "evaluate", "predict", "gradients", "simulate", "save"}),
        ("import snnsim as sn\nsn.Model('4-3').fit(1).best", {"best_epoch"}),
        ("import snnsim as sn\nsn.Network().con", {"connect", "connections"}),
        ("import snnsim as sn\nsn.load_model('x').pre", {"predict"}),
        ("import snnsim as sn\nsn.Model('4-3').simulate(1)['a'].sp", {"spikes"}),
    ],
)
def test_completion(text, names):
    script = jedi.Script(text, project=jedi.Project(ROOT))
    line, column = text.count("\n") + 1, len(text.splitlines()[-1])
    assert names <= {found.name for found in script.complete(line, column)}


def unannotated(function):
    signature = inspect.signature(function)
    parameters = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    missing = [p.name for p in parameters if p.annotation is p.empty]
    return missing + (["return"] if signature.return_annotation is signature.empty else [])


@pytest.mark.parametrize("name", snnsim.__all__)
def test_annotations_and_words_on_public_names(name):
    found = getattr(snnsim, name)
    assert inspect.getdoc(found)
    if not inspect.isclass(found):
        assert not unannotated(found)
        return
    for kind in found.__mro__:
        for key, value in vars(kind).items() if kind.__module__.startswith("snnsim") else ():
            value = getattr(value, "__func__", None) or getattr(value, "fget", None) or value
            if inspect.isfunction(value) and (not key.startswith("_") or key == "__init__"):
                assert not unannotated(value), f"{kind.__name__}.{key}"


def test_what_editors_read_are_the_names_that_there_are():
    text = (ROOT / "snnsim" / "__init__.py").read_text()
    block = text[text.index("if TYPE_CHECKING") : text.index("keep_compiled_code()\n")]
    shown = set(re.findall(r" as (\w+)", block))
    assert shown == set(snnsim.__all__)
    assert (ROOT / "snnsim" / "py.typed").exists()


def test_importing_loads_nothing_heavy():
    """`import snnsim` costs nothing: it imports no NumPy, no Numba, and few modules of its own."""
    code = "import sys; before = set(sys.modules); import snnsim; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = done.stdout.split()
    heavy = {"numpy", "numba", "h5py", "scipy", "rich", "matplotlib", "typer"}
    assert not heavy & {module.partition(".")[0] for module in loaded}
    assert len([m for m in loaded if m.startswith("snnsim")]) < 8
    assert snnsim.__version__ in (ROOT / "pyproject.toml").read_text()
