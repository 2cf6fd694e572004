"""Neurons in configurations, files and on the command line: every field comes back as it was."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnsim import config as configuration
from snnsim.blueprint import network_of
from snnsim.errors import InputError
from snnsim.models import load_model, save_model
from snnsim.network import Network
from snnsim.neurons import MODELS, LIFParameters
from snnsim.neurons import settings as fields_of
from snnsim.outline import outline

SIZE = 3
POSITIVE = ("tau_mem", "tau_syn", "tau_a", "r", "tau_exc", "tau_inh")


def numbers(name):
    low, high = (0.1, 50.0) if name in POSITIVE else (0.0, 5.0)
    if name in ("v_threshold",):
        low, high = 2.0, 9.0
    if name in ("v_reset", "v_leak", "v0", "coupling"):
        low, high = -1.0, 1.0
    one = st.floats(low, high, allow_nan=False).map(lambda x: round(x, 6))
    return st.one_of(one, st.lists(one, min_size=SIZE, max_size=SIZE))


@st.composite
def neurons(draw):
    """A neuron of any model with any of its fields, as a configuration has them, and constants that it learns."""
    kind = draw(st.sampled_from([kind for kind, made in MODELS.items() if made.on_clock]))
    made = MODELS[kind]
    names = draw(st.lists(st.sampled_from(made.constants()), unique=True))
    values = {name: draw(numbers(name)) for name in names}
    if made.has_threshold:
        values["reset"] = draw(st.sampled_from(made.resets))
    if np.any(values.get("coupling", 0)):
        values.pop("t_ref", None)
    learn = draw(st.lists(st.sampled_from(("bias", *made.constants())), unique=True))
    return kind, values, learn, draw(st.booleans())


@settings(max_examples=60, deadline=None)
@given(neurons())
def test_every_field_comes_back_from_text_and_files(tmp_path_factory, made):
    kind, values, learn, each = made
    tree = {
        "simulation": {"engine": "clock", "scheme": "exact"},
        "population": [
            {"name": "input", "neuron": "input", "shape": 2},
            {"name": "output", "neuron": kind, "shape": SIZE, "learn": learn, "learn_each": each, **values},
        ],
        "connection": [{"source": "input", "target": "output"}],
    }
    config = configuration.from_tree(tree)
    again = configuration.from_tree(configuration.parse(configuration.to_toml(config), "text"))
    assert again == config
    network = network_of(again)
    neuron = network.populations_by_name["output"].neuron
    assert type(neuron) is MODELS[kind]
    for name, value in values.items():
        np.testing.assert_array_equal(getattr(neuron, name), value)
    for name in set(learn) - {"bias"}:
        tensor = network.tensors[f"output.{name}"]
        wanted = neuron.start if name == "v0" else getattr(neuron, name)
        np.testing.assert_array_equal(tensor, np.broadcast_to(wanted, tensor.shape))
        assert tensor.shape == ((SIZE,) if each or np.ndim(wanted) else ())
    assert set(network.learnt()) == {"input->output", *(f"output.{name}" for name in learn)}
    network.set("input->output", np.ones((2, SIZE)))
    path = tmp_path_factory.mktemp("model") / "model.h5"
    save_model(path, network, config)
    found, _ = load_model(path)
    assert found == network
    assert kind == found.populations_by_name["output"].neuron.kind
    assert MODELS[kind](**fields_of(neuron)) == neuron
    assert len(outline(found)) == 6


def test_the_network_names_neurons_for_all_its_layers():
    config = configuration.load(
        None,
        ["network.layers=[4, 3, 2]", 'network.neuron=["alif", "lif"]', "network.tau_a=[3.0, 1.0]", "network.beta=0.4",
         "network.t_ref=0.5", 'network.learn=["tau_mem", "beta"]', "loss.name=first-spike"],
    )  # fmt: skip
    network = network_of(config)
    first, last = (network.populations_by_name[name] for name in ("hidden0", "output"))
    assert (first.neuron.kind, first.neuron.tau_a, first.neuron.beta, first.neuron.t_ref) == ("alif", 3.0, 0.4, 0.5)
    assert (last.neuron.kind, last.neuron.t_ref) == ("lif", 0.5)
    assert first.learn == {"tau_mem", "beta"}
    assert last.learn == {"tau_mem"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["network.neuron=alit"], "network.neuron = 'alit': must be one of lif, alif, adlif"),
        (['network.learn=["tau_men"]'], "network.learn = 'tau_men': must be one of bias, i0"),
        (['network.neuron=["alif", "lif", "lif"]', "network.layers=[4, 3, 2]"], "one for each of the 2 layers"),
        (["network.t_ref=-1"], "t_ref = -1"),
        (["network.neuron=alif", "network.reset=none"], "reset = 'none': must be one of hard, subtract"),
        (["network.neuron=adlif", "network.coupling=0.5", "simulation.engine=event"], "use engine clock"),
    ],
)
def test_wrong_words_are_one_line(settings, message):
    with pytest.raises(InputError) as error:
        configuration.load(None, settings)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_population_says_what_its_neuron_has():
    tree = {
        "population": [
            {"name": "input", "neuron": "input", "shape": 2},
            {"name": "output", "neuron": "lif", "shape": 2, "beta": 1.0},
        ],
        "connection": [{"source": "input", "target": "output"}],
    }  # fmt: skip
    with pytest.raises(InputError, match="population 'output': beta: lif has tau_mem, tau_syn, r"):
        configuration.from_tree(tree)


def test_learnt_constants_stay_within_their_bounds():
    network = Network()
    network.input("input", 1)
    neuron = LIFParameters(tau_mem=2.0, v_threshold=1.0)
    network.population("output", 2, neuron, learn=("tau_mem", "v_threshold", "v_reset", "t_ref", "r"))
    network.connect("input", "output", weight=np.ones((1, 2)))
    tensors = {name: np.array(value) for name, value in network.tensors.items()}
    tensors["output.tau_mem"][:] = 1e-9, 1e9
    tensors["output.v_threshold"][:] = -5.0, 3.0
    tensors["output.v_reset"][:] = 0.0, 7.0
    tensors["output.t_ref"][:] = -1.0, 99.0
    tensors["output.r"][:] = -1.0, 1e9
    network.project(tensors, 0.1, 10.0)
    np.testing.assert_allclose(tensors["output.tau_mem"], [0.1, 40.0])
    np.testing.assert_allclose(tensors["output.t_ref"], [0.0, 10.0])
    np.testing.assert_allclose(tensors["output.r"], [1.2 / 20, 24.0])
    assert (tensors["output.v_reset"] < tensors["output.v_threshold"]).all()
    assert network.with_tensors(tensors).neuron_of("output").tau_mem.tolist() == [0.1, 40.0]
