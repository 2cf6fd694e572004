"""Made-up recordings for the tests of files: random spikes and voltages, no simulation."""

from itertools import pairwise

import numpy as np

from snnsim.network import Network
from snnsim.parameters import LIFParameters
from snnsim.recorded import LayerRecording, Recording
from snnsim.spikes import Spikes

SIZES = (30, 20, 4)


def network(sizes=SIZES, readout="spiking"):
    """Layers without weights."""
    weights = [np.zeros(shape, np.float32) for shape in pairwise(sizes)]
    parameters = [LIFParameters(v_threshold=1.5, v_reset=1.0) for _ in weights]
    return Network.chain(weights, parameters, readout)


def recording(
    n_trials=3, n_steps=20, sizes=SIZES, dt=0.01, seed=0, on_grid=True, dtype=np.float32, every=1, rate=0.1, v=True
):
    """Random Recording; spike times on the grid or anywhere, v and i_syn each ``every`` steps."""
    rng = np.random.default_rng(seed)
    duration = n_steps * dt
    names = network(sizes).populations
    sample_times = (np.arange(every - 1, n_steps, every) + 1) * dt
    layers = []
    for name, size in zip(names, sizes, strict=True):
        if on_grid:
            spikes = Spikes.from_dense(rng.random((n_trials, n_steps, size)) < rate, dt)
        else:
            counts = rng.poisson(rate * n_steps * size, n_trials)
            trials = [(rng.random(n) * duration, rng.integers(0, size, n)) for n in counts]
            spikes = Spikes.from_trials(trials, size, duration)
        shape = (n_trials, sample_times.size, size)
        values = None if name == "input" or not v else [rng.standard_normal(shape).astype(dtype) for _ in range(2)]
        layers.append(LayerRecording(name, spikes, *(values or (None, None)), sample_times, np.arange(size)))
    return Recording(tuple(layers), "clock" if on_grid else "event", duration, dt if on_grid else None, "exact")


def assert_same_spikes(a, b):
    """Equal to the bit."""
    np.testing.assert_array_equal(a.offsets, b.offsets)
    np.testing.assert_array_equal(a.times, b.times)
    np.testing.assert_array_equal(a.neurons, b.neurons)
    assert a.n_neurons == b.n_neurons
    assert a.duration == b.duration


def assert_same_recording(a, b):
    """Equal to the bit, layer by layer."""
    assert [layer.name for layer in a.layers] == [layer.name for layer in b.layers]
    for x, y in zip(a.layers, b.layers, strict=True):
        assert_same_spikes(x.spikes, y.spikes)
        for variable in ("v", "i_syn"):
            p, q = getattr(x, variable), getattr(y, variable)
            assert (p is None) == (q is None)
            if p is not None:
                assert p.dtype == q.dtype
                np.testing.assert_array_equal(p, q)
                np.testing.assert_array_equal(x.sample_times, y.sample_times)
                np.testing.assert_array_equal(x.neuron_ids, y.neuron_ids)
