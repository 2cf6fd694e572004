"""Networks as files and as tables of a configuration: what comes back is the same, every field."""

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snnsim import InputError, LIFParameters, Network, Spikes, blueprint, config, simulate
from snnsim.models import load_model, save_model
from snnsim.training.parts import with_network
from tests.command import Caller

quick = settings(
    max_examples=40, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)  # fmt: skip
FINITE = st.floats(-1e3, 1e3)
POSITIVE = st.floats(1e-3, 1e3)


@st.composite
def parameters(draw):
    threshold = draw(FINITE)
    below = st.floats(1e-3, 1e3).map(lambda x: threshold - x)
    return LIFParameters(
        draw(POSITIVE), draw(POSITIVE), draw(POSITIVE), threshold, draw(below), draw(below),
        draw(st.sampled_from(["hard", "subtract", "none"])),
    )  # fmt: skip


@st.composite
def networks(draw):
    sizes = draw(st.lists(st.integers(1, 5), min_size=2, max_size=5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    scale = draw(st.sampled_from([0.0, -0.0, 1.0, 1e-30, 1e30]))
    weights = [(scale * rng.normal(size=shape)).astype(dtype) for shape in itertools.pairwise(sizes)]
    if draw(st.booleans()):
        weights = [np.asfortranarray(w) for w in weights]
    return Network.chain(weights, [draw(parameters()) for _ in weights], draw(st.sampled_from(["spiking", "leaky"])))


@quick
@given(networks())
def test_a_saved_network_is_the_same(tmp_path, network):
    save_model(tmp_path / "m.h5", network)
    found, _ = load_model(tmp_path / "m.h5")
    assert found == network
    assert [w.tobytes() for w in found.weights] == [w.tobytes() for w in network.weights]
    assert found.dtype == network.dtype


@quick
@given(networks())
def test_a_configuration_describes_the_same_network(tmp_path, network):
    loss = "membrane-mean" if network.readout == "leaky" else "count-mse"
    described = with_network(config.load(None, ["network.layers=[1,1]", f"loss.name={loss}"]), network)
    again = config.from_tree(config.parse(config.to_toml(described), "text"))
    assert again == described
    made = blueprint.network_of(again)
    assert made.populations_by_name == network.populations_by_name
    assert made.tensor_shapes() == network.tensor_shapes()


def mixed(readout="spiking"):
    rng = np.random.default_rng(0)
    resets = "hard", "subtract", "none"
    weights = [rng.normal(0.15, 0.3, shape) for shape in itertools.pairwise((6, 5, 4, 3))]
    return Network.chain(weights, [LIFParameters(v_reset=0.3, reset=reset) for reset in resets], readout)


def test_every_layer_keeps_its_reset():
    network = mixed()
    described = with_network(
        config.load(None, ["loss.name=count-mse", "simulation.precision=float64", "network.layers=[1,1]"]), network
    )
    assert described.network.reset == ("hard", "subtract", "none")
    spikes = Spikes.from_dense(np.random.default_rng(1).random((2, 50, 6)) < 0.4, 0.1)
    expected = simulate(network, spikes, dt=0.1)
    found = simulate(Network.chain(network.weights, config.neurons(described)), spikes, dt=0.1)
    same = simulate(Network.chain(network.weights, network.parameters[0]), spikes, dt=0.1)
    for name in network.populations:
        assert found[name].spikes == expected[name].spikes
    assert same["output"].spikes != expected["output"].spikes


def test_the_command_evaluates_every_layer_with_its_reset(tmp_path, monkeypatch, capsys):
    call = Caller(monkeypatch, capsys)
    settings = ["--dataset", "yin-yang", "--layers", "5-20-20-3", "--limit", "60", "--gradient", "surrogate"]
    settings += ["--loss", "count-mse"]
    reset = ("--set", 'network.reset=["hard","subtract","none"]')
    assert call("train", *settings, *reset, "--epochs", 1, "--run-dir", tmp_path / "r")[0] == 0
    network, _ = load_model(tmp_path / "r" / "model.h5")
    assert [p.reset for p in network.parameters] == ["hard", "subtract", "none"]
    changes = (), reset, ("--set", "network.reset=hard")
    own, same, other = (call("evaluate", tmp_path / "r", "--json", *change)[1] for change in changes)
    assert own == same != other


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ('network.reset=["hard"]', "network.reset = ['hard']: must be one value, or one for each of the 2 layers"),
        ('network.reset=["hard","sub"]', "must be one of hard, subtract, none; did you mean subtract?"),
        ("network.reset=3", "network.reset = 3: must be a string or a list of strings"),
    ],
)
def test_resets_refused(setting, message):
    with pytest.raises(InputError) as error:
        config.load(None, [setting])
    assert message in str(error.value)
    with pytest.raises(InputError, match="engines event and hybrid allow hard and subtract"):
        config.load(None, ['network.reset=["none","hard"]', "simulation.engine=event"])
