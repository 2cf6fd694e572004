"""``snnsim analyze`` on recordings and networks, its results, and what it refuses."""

import json

import numpy as np
import pytest

from snnsim.errors import InputError
from snnsim.experiments import own
from snnsim.parameters import LIFParameters
from snnsim.recording.runs import load_tree
from tests.command import Caller, start


@pytest.fixture
def command(monkeypatch, capsys):
    return Caller(monkeypatch, capsys)


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    """A recording of 4 trials with voltages, and one without."""
    folder = tmp_path_factory.mktemp("traces")
    config = folder / "c.toml"
    config.write_text("[network]\nlayers = [784, 20, 10]\n[simulation]\nn_steps = 128\n")
    for name, record in (("v", "spikes,v"), ("spikes", "spikes")):
        options = ("-o", folder / name, "--record", record, "--record-trials", "0:4")
        process = start("simulate", config, *options)
        _, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
    return folder


def results(folder, name):
    document = load_tree(folder / f"{name}.h5", "analysis")
    assert document["provenance"]["snnsim"]
    return document["results"]


def test_spectrum(command, traces, tmp_path):
    code, out, _ = command("analyze", "spectrum", traces / "v", "--segment", 32, "-o", tmp_path)
    assert code == 0
    assert "power density" in out
    r = results(tmp_path, "spectrum")
    assert (tmp_path / "spectrum.png").stat().st_size > 10_000
    assert r["neurons"].shape == (15, 20)
    np.testing.assert_allclose(r["power"], r["neurons"].mean(axis=1))
    assert r["discrete"][0] == pytest.approx(r["power"][0])


def test_wavelet(command, traces, tmp_path):
    arguments = (
        "analyze",
        "wavelet",
        traces / "v",
        "--layer",
        "hidden0",
        "--neuron",
        3,
        "--level",
        2,
        "--trials",
        "0:2",
    )
    code, _, error = command(*arguments, "-o", tmp_path)
    assert code == 0, error
    r = results(tmp_path, "wavelet")
    assert r["neuron"] == 3
    assert r["n_trials"] == 2
    assert len(r["wavelet"]["details"]) == 2
    assert r["share"].sum() == pytest.approx(1)
    assert command(*arguments, "-o", tmp_path)[0] == 2
    assert command(*arguments, "-o", tmp_path, "--force")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("spectrum", "{}/spikes"), "has no voltages; record v to analyse them"),
        (("wavelet", "{}/spikes"), "has no voltages; record v to analyse them"),
        (("spectrum", "{}/v", "--layer", "deep"), "--layer deep: "),
        (("wavelet", "{}/v", "--neuron", "99"), "--neuron 99: "),
        (("wavelet", "{}/v", "--level", "12"), "level = 12: must be between 1 and 7"),
        (("frequency", "--dts", "1.3"), "forward Euler is stable only for dt < 2 min(tau_mem, tau_syn) = 1.2"),
        (("frequency", "--dts", "0"), "--dts 0: must be positive numbers"),
        (("frequency", "--schemes", "magic"), "--schemes magic: must be of forward_euler"),
        (("frequency", "--layer", "7"), "--layer 7: the network has layers 0..1"),
        (("population", "--grid", "20x20"), "grid too coarse for the jump size"),
        (("population", "--grid", "fine"), "--grid fine: must be cells in v x cells in i"),
        (("convergence", "--dts", "0.03"), "dt = 0.03: must divide the duration"),
        (("step", "--tolerance", "2"), "tolerance = 2.0: must lie between 0 and 1"),
        (("step", "--schemes", "magic"), "--schemes magic: must be of forward_euler"),
    ],
)
def test_bad_input_is_one_line(command, traces, tmp_path, arguments, message):
    line = command.refused("analyze", *(x.format(traces) for x in arguments), "-o", tmp_path / "out")
    assert message in line
    assert not (tmp_path / "out").exists()


def test_frequency_is_theory(command, tmp_path):
    code, out, _ = command("analyze", "frequency", "--dts", "0.1,0.5", "-o", tmp_path)
    assert code == 0
    assert "1.01036" in out  # (0.8 + 0.6)/(2 sqrt(0.48))
    r = results(tmp_path, "frequency")
    assert abs(r["continuous"][0]) == pytest.approx(1.2, rel=1e-3)


def test_population():
    parameters = LIFParameters(v_threshold=1.5, v_reset=1.0)
    r = own.population_of_neuron(parameters, 20.0, 0.1, 2.0, 40, 130, 4000, 0)
    assert abs(r["master"]["mass_error"]) < 1e-10
    # At the end of the second time constant: within five standard errors of the sample.
    deviation = (r["sample"]["moments"][1] - r["master"]["moments"][1]) / r["sample"]["moment_errors"][1]
    assert abs(deviation) < 5


def test_gradients(command, tmp_path):
    code, out, error = command(
        "analyze", "gradients", "--estimators", "exact,literal", "--samples", 5, "--set", "network.layers=[784,15,10]",
        "-o", tmp_path,
    )  # fmt: skip
    assert code == 0, error
    assert "cosine with exact" in out
    r = results(tmp_path, "gradients")
    assert r["cosine"].shape == (2, 2)
    np.testing.assert_allclose(r["cosine"][0], 1)
    assert r["cosine"][1, 0] < 0


def test_convergence(command, tmp_path):
    code, out, error = command(
        "analyze", "convergence", "--set", "network.layers=[784,10,10]", "--set", "encoder.name=latency", "--set",
        "network.target_rate=1.0", "--set", "loss.name=first-spike", "--set", "simulation.n_steps=40", "--dts",
        "0.1,0.02", "--samples", 2, "--schemes", "backward_euler,exact", "-o", tmp_path,
    )  # fmt: skip
    assert code == 0, error
    for words in (
        "backward_euler",
        "hybrid",
        "order",
        "Euler's bound of the free v",
        "orders fitted to dt <= 0.06",
        "hidden0->output",
    ):
        assert words in out
    assert {p.name for p in tmp_path.iterdir()} == {
        "convergence.h5", "convergence-errors.png", "convergence-gradients.png", "convergence-tensors.png",
    }  # fmt: skip
    assert results(tmp_path, "convergence")["gradient_cosine"].shape == (3, 2, 2)


def test_nothing_chosen(traces):
    from snnsim import open_traces

    with open_traces(traces / "v") as t, pytest.raises(InputError, match="no trial is chosen"):
        own.spectrum_of_traces(t, trials=slice(0, 0))


STEP = (
    "analyze", "step", "--set", "network.layers=[784,12,10]", "--set", "encoder.name=latency", "--set",
    "network.target_rate=1.0", "--set", "loss.name=first-spike", "--set", "simulation.n_steps=40", "--samples", 2,
    "--schemes", "exact", "--finest", 0.02,
)  # fmt: skip


def test_step(command, tmp_path):
    code, out, error = command(*STEP, "-o", tmp_path)
    assert code == 0, error
    for words in ("Largest dt within 1 % of continuous time: 2 trials of 4", "hybrid", "ms a trial", "Cheapest within"):
        assert words in out
    assert {p.name for p in tmp_path.iterdir()} == {"step.h5", "step.png"}
    assert results(tmp_path, "step")["gradient"].shape[::2] == (2, 2)
    code, out, error = command(*STEP, "--json", "--force", "-o", tmp_path)
    assert code == 0, error
    numbers = json.loads(out)
    assert set(numbers["runs"]) == {"exact", "hybrid"}
    assert numbers["runs"]["hybrid"]["distance"]["spikes lost or added"] <= 0.01
    assert numbers["cheapest"]["run"] in ("event", "hybrid", "exact")
