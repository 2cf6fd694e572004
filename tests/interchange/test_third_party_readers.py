"""The field's own tools open recordings: bluepysnap, bmtk, Elephant; and files that bmtk writes load here."""

import warnings

import numpy as np
import pytest

from snnsim import open_traces, read_spikes
from snnsim.recording.writer import TraceWriter
from tests.recordings import network, recording

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

N_TRIALS, UNIT = 6, 5.0
NAMES = ("input", "hidden0", "output")


@pytest.fixture(scope="module")
def batch():
    return recording(N_TRIALS)


@pytest.fixture(scope="module")
def path(batch, tmp_path_factory):
    path = tmp_path_factory.mktemp("traces")
    options = {"duration": 0.2, "dt": 0.01, "scheme": "exact", "record": ("spikes", "v", "i_syn"), "time_unit_ms": UNIT}
    with TraceWriter(path, network(), **options) as writer:
        writer.append(batch)
    return path


def on_clock(batch, name):
    """(times in ms on the common clock, neurons) of a population."""
    spikes = batch[name].spikes
    trial = np.repeat(np.arange(N_TRIALS), np.diff(spikes.offsets))
    return trial * 0.2 * UNIT + spikes.times * UNIT, spikes.neurons


def test_bluepysnap(path, batch):
    bluepysnap = pytest.importorskip("bluepysnap")
    simulation = bluepysnap.Simulation(str(path / "simulation_config.json"))
    assert set(simulation.spikes.population_names) == set(NAMES)
    assert simulation.time_stop == pytest.approx(N_TRIALS * 0.2 * UNIT)
    for name in NAMES:
        times, neurons = on_clock(batch, name)
        got = simulation.spikes[name].get()
        np.testing.assert_array_equal(got.to_numpy(), neurons)
        np.testing.assert_allclose(got.index.to_numpy(), times, rtol=1e-12)
        assert simulation.circuit.nodes[name].size == batch[name].spikes.n_neurons
        assert simulation.spikes[name].nodes.size == batch[name].spikes.n_neurons
    one = simulation.spikes["hidden0"].get(group=[3])
    times, neurons = on_clock(batch, "hidden0")
    np.testing.assert_allclose(one.index.to_numpy(), times[neurons == 3], rtol=1e-12)
    for variable in ("v", "i_syn"):
        report = simulation.reports[variable]
        assert set(report.population_names) == {"hidden0", "output"}
        for name in ("hidden0", "output"):
            frame = report[name].get()
            values = getattr(batch[name], variable)
            np.testing.assert_array_equal(frame.to_numpy(), values.reshape(N_TRIALS * 20, -1))
            clock = np.arange(N_TRIALS)[:, None] * 0.2 * UNIT + batch[name].sample_times * UNIT
            np.testing.assert_allclose(frame.index.to_numpy(), clock.ravel(), rtol=1e-12)
            # Trial 2 by its window on the common clock, half a step after its start.
            window = report[name].get(group=[1, 3], t_start=(2 * 0.2 + 0.005) * UNIT, t_stop=3 * 0.2 * UNIT + 1e-9)
            np.testing.assert_array_equal(window.to_numpy(), values[2][:, [1, 3]])


def test_bmtk_reads(path, batch):
    reports = pytest.importorskip("bmtk.utils.reports")
    trains = reports.SpikeTrains.load(str(path / "spikes.h5"))
    assert set(trains.populations) == set(NAMES)
    for name in NAMES:
        times, neurons = on_clock(batch, name)
        assert trains.sort_order(population=name).value == "by_time"
        frame = trains.to_dataframe(populations=name)
        np.testing.assert_allclose(frame.timestamps.to_numpy(), times, rtol=1e-12)
        np.testing.assert_array_equal(frame.node_ids.to_numpy(), neurons)
        np.testing.assert_allclose(np.sort(trains.get_times(3, population=name)), times[neurons == 3], rtol=1e-12)
    for variable, unit in (("v", "mV"), ("i_syn", "nA")):
        report = reports.CompartmentReport.load(str(path / f"{variable}.h5"))
        assert set(report.populations) == {"hidden0", "output"}
        cells = report["hidden0"]
        assert (cells.units(), cells.variable()) == (unit, variable)
        assert (cells.tstart(), cells.dt()) == pytest.approx((0.01 * UNIT, 0.01 * UNIT))
        assert cells.node_ids().tolist() == list(range(20))
        values = getattr(batch["hidden0"], variable).reshape(N_TRIALS * 20, 20)
        np.testing.assert_array_equal(cells.data(), values)
        np.testing.assert_array_equal(cells.data(node_id=7).ravel(), values[:, 7])


def test_spikes_that_bmtk_writes_load_here(tmp_path):
    reports = pytest.importorskip("bmtk.utils.reports")
    rng = np.random.default_rng(0)
    times, nodes = rng.random(200) * 100, rng.integers(0, 12, 200)
    trains = reports.SpikeTrains(adaptor=None)
    for t, n in zip(times, nodes, strict=True):
        trains.add_spike(int(n), float(t), population="cells")
    out = tmp_path / "spikes.h5"
    trains.to_sonata(str(out))
    trains.close()
    spikes, labels = read_spikes(out, population="cells", n_neurons=12)
    order = np.lexsort((nodes, times))
    np.testing.assert_array_equal(spikes.times, times[order])
    np.testing.assert_array_equal(spikes.neurons, nodes[order])
    assert labels.tolist() == [-1]
    cut, _ = read_spikes(out, population="cells", n_neurons=12, trial_length=25.0)
    assert len(cut) == 4
    assert np.diff(cut.offsets).tolist() == np.histogram(times, [0, 25, 50, 75, 100])[0].tolist()


def test_elephant_takes_the_neo_block(path, batch):
    statistics = pytest.importorskip("elephant.statistics")
    with open_traces(path) as traces:
        block = traces.to_neo(layers=["hidden0"])
    counts = batch["hidden0"].spikes.counts()
    for b, segment in enumerate(block.segments):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rates = [float(statistics.mean_firing_rate(train).rescale("Hz")) for train in segment.spiketrains]
            intervals = [statistics.isi(train).rescale("ms").magnitude for train in segment.spiketrains]
        np.testing.assert_allclose(rates, counts[b] / (0.2 * UNIT / 1000), rtol=1e-9)
        for neuron, gaps in enumerate(intervals):
            times, neurons = batch["hidden0"].spikes.trial(b)
            np.testing.assert_allclose(gaps, np.diff(times[neurons == neuron] * UNIT), rtol=1e-9)
