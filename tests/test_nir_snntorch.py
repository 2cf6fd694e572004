"""Files that snnTorch writes load with its spikes; needs snnTorch (the extra ``slow``)."""

import nir
import numpy as np
import pytest

from snnsim import Spikes, simulate
from snnsim.interchange.nir import import_nir

DT, STEPS, TRIALS = 0.1, 60, 6  # snnTorch writes 1e-4 s as its step


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Leaky", "Synaptic"])
def test_files_of_snntorch_make_its_spikes(kind, tmp_path):
    torch = pytest.importorskip("torch")
    snntorch = pytest.importorskip("snntorch")
    from snntorch import utils
    from snntorch.export_nir import export_to_nir

    torch.manual_seed(0)

    def neurons(n):
        decays = {"beta": torch.full((n,), 0.9)} | ({"alpha": torch.full((n,), 0.8)} if kind == "Synaptic" else {})
        return getattr(snntorch, kind)(
            threshold=torch.ones(n), reset_mechanism="zero", reset_delay=False, init_hidden=True, **decays
        )

    layers = torch.nn.Sequential(torch.nn.Linear(20, 15), neurons(15), torch.nn.Linear(15, 5), neurons(5))
    with torch.no_grad():
        for layer in layers[::2]:
            layer.weight.copy_(torch.randn_like(layer.weight) * 0.3 + 0.25)
            layer.bias.copy_(torch.rand_like(layer.bias) * 0.05)
    nir.write(tmp_path / "net.nir", export_to_nir(layers, torch.zeros(20)))
    x = np.random.default_rng(0).random((TRIALS, STEPS, 20)) < 0.1
    utils.reset(layers)
    theirs = np.zeros((TRIALS, STEPS, 5), bool)
    for k in range(STEPS):
        out = layers(torch.tensor(x[:, k].astype(np.float32)))
        theirs[:, k] = (out[0] if isinstance(out, tuple) else out).detach().numpy() > 0
    found = import_nir(tmp_path / "net.nir", dt=DT, match_steps=True, spike_convention="per-step")
    network = found.network.astype(np.float64)
    spikes = Spikes.from_dense(x, DT)
    recording = simulate(network, spikes, dt=DT, n_steps=STEPS, scheme=found.scheme, record=("spikes",))
    assert theirs.sum() > 500
    np.testing.assert_array_equal(recording["output"].spikes.to_dense(DT, STEPS), theirs)
