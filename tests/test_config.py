"""Configurations: TOML there and back, and what is refused, in one line that says what is allowed."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snnsim import config
from snnsim.blueprint import network_of
from snnsim.errors import InputError
from snnsim.tables import choices
from tests.command import Caller


@pytest.fixture
def call(monkeypatch, capsys):
    return Caller(monkeypatch, capsys)


def refusal(*settings, source=None):
    with pytest.raises(InputError) as error:
        config.load(source, settings)
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.fixture
def toml(tmp_path):
    def write(text):
        path = tmp_path / "study.toml"
        path.write_text(text)
        return path

    return write


def test_defaults_read_back():
    assert config.from_tree(config.parse(config.to_toml(config.load()), "text")) == config.load()


def test_every_shipped_configuration_is_valid():
    for name in config.shipped():
        loaded = config.load(name)
        assert config.from_tree(config.parse(config.to_toml(loaded), name)) == loaded


def test_file_then_settings(toml):
    path = toml("[network]\nlayers = [784, 30, 10]\ntau_mem = [0.5, 1]\n[training]\nseed = 3\n")
    loaded = config.load(path, ["training.seed=4", "simulation.scheme=exact", 'data.data_dir="a b"'])
    assert loaded.network.layers == (784, 30, 10)
    assert loaded.network.tau_mem == (0.5, 1.0)
    assert [p.tau_mem for p in config.neurons(loaded)] == [0.5, 1.0]
    assert loaded.training.seed == 4
    assert loaded.simulation.scheme == "exact"
    assert loaded.data.data_dir == "a b"
    assert loaded.simulation.dt == config.load().simulation.dt


def test_a_configuration_can_be_changed():
    first = config.load(None, ["training.seed=4"])
    assert config.load(first, ["training.epochs=2"]) == config.load(None, ["training.seed=4", "training.epochs=2"])


@given(
    st.floats(1e-6, 1e6),
    st.lists(st.integers(1, 10**6), min_size=2, max_size=5),
    st.text(),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_any_value_reads_back(dt, layers, folder, seed, fallback):
    base = config.load()
    made = dataclasses.replace(
        base,
        simulation=dataclasses.replace(base.simulation, dt=dt),
        network=dataclasses.replace(base.network, layers=tuple(layers)),
        data=dataclasses.replace(base.data, data_dir=folder),
        training=dataclasses.replace(base.training, seed=seed),
        gradient=dataclasses.replace(base.gradient, tssl_fallback=fallback),
    )
    assert config.from_tree(config.parse(config.to_toml(made), "text")) == made


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[netwrok]\n", "unknown table [netwrok]; did you mean network?"),
        ("[network]\nlayer = [2, 3]\n", "unknown key network.layer; did you mean layers?"),
        ("[training]\nlr = 0.1\n", "unknown key training.lr; did you mean optimizer.lr?"),
        ("[loss]\nqqqq = 0.1\n", "unknown key loss.qqqq"),
        ("network = 3\n", "network = 3: must be a table"),
        ("[network\n", "not valid TOML"),
        ("[network]\nlayers = 784\n", "network.layers = 784: must be a list of numbers"),
        ("[network]\nlayers = [784, 2.5]\n", "network.layers = 2.5: must be a whole number"),
        ("[simulation]\ndt = true\n", "simulation.dt = True: must be a number"),
        ("[training]\nepochs = 1.5\n", "training.epochs = 1.5: must be a whole number"),
        ("[training]\nepochs = true\n", "training.epochs = True: must be a whole number"),
        ("[gradient]\ntssl_fallback = 1\n", "gradient.tssl_fallback = 1: must be true or false"),
        ("[loss]\nname = 3\n", "loss.name = 3: must be a string"),
    ],
)
def test_malformed_files_are_refused(toml, text, message):
    path = toml(text)
    refused = refusal(source=path)
    assert refused.startswith(f"{path}: ")
    assert message in refused


def test_settings_for_a_malformed_table_are_refused(toml):
    assert "network = 3: must be a table" in refusal("network.init=uniform", source=toml("network = 3\n"))


def test_missing_and_unreadable_files(tmp_path):
    assert refusal(source=tmp_path / "none.toml").startswith(f"{tmp_path}/none.toml: no such file")
    assert "a directory, not a file" in refusal(source=tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    assert "not a text file" in refusal(source=tmp_path / "binary.toml")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("training.seed", "must read table.key=value"),
        ("seed=3", "must read table.key=value"),
        ("simulation.scheme=backward-euler", "simulation.scheme = 'backward-euler': must be one of backward_euler"),
        ("optimizer.name=adan", "did you mean adam?"),
        ("simulation.dt=0", "simulation.dt = 0.0: must be a positive number"),
        ("simulation.dt=nan", "simulation.dt = nan: must be a positive number"),
        ("simulation.dt=inf", "simulation.dt = inf: must be a positive number"),
        ("simulation.n_steps=0", "simulation.n_steps = 0: must be a positive number"),
        ("optimizer.lr=-1", "optimizer.lr = -1.0: must be a positive number"),
        ("optimizer.clip_norm=-1", "optimizer.clip_norm = -1.0: must be at least 0"),
        ("optimizer.beta2=1", "optimizer.beta2 = 1.0: must lie in [0, 1)"),
        ("optimizer.momentum=-0.1", "optimizer.momentum = -0.1: must lie in [0, 1)"),
        ("optimizer.decay=nan", "optimizer.decay = nan: must be at least 0"),
        ("optimizer.final=2", "optimizer.final = 2.0: must lie in 0..1"),
        ("encoder.max_probability=1.5", "encoder.max_probability = 1.5: must lie in 0..1"),
        ("encoder.latency_floor=nan", "encoder.latency_floor = nan: must lie in 0..1"),
        ("encoder.t_latest=5.1", "encoder.t_latest = 5.1: must lie in 0..5, the trial's duration"),
        ("loss.target_true=-1", "loss.target_true = -1.0: must be at least 0"),
        ("loss.tau=0", "loss.tau = 0.0: must be a positive number"),
        ("data.rotation=200", "data.rotation = 200.0: must lie in 0..180"),
        ("data.limit=-1", "data.limit = -1: must be at least 0"),
        ("training.batch_size=0", "training.batch_size = 0: must be a positive number"),
        ("training.seed=4294967296", "training.seed = 4294967296: must be below 2**32"),
        ("network.layers=[784]", "network.layers = [784]: must be two or more sizes of at least 1"),
        ("network.layers=[784,0,10]", "must be two or more sizes of at least 1"),
        ("network.layers=[]", "must be two or more sizes of at least 1"),
        ("network.tau_mem=[1,2,3]", "network.tau_mem = [1.0, 2.0, 3.0]: must be one value, or one for each of the 2"),
        ("network.tau_syn=0", "tau_syn = 0.0: must be a positive number"),
        ("network.v_reset=1", "v_reset = 1.0: must lie below v_threshold = 1.0"),
        ("network.readout=spiking", "loss.name = 'membrane-mean': needs network.readout = leaky"),
    ],
)
def test_values_out_of_range_are_refused(setting, message):
    assert message in refusal(setting)


def test_combinations_that_do_not_exist_are_refused():
    blended = refusal("data.mixup=0.2", "network.readout=spiking", "loss.name=first-spike")
    assert "data.mixup = 0.2: loss first-spike has none" in blended
    costly = refusal("loss.activity_cost=0.1")
    assert "loss.activity_cost = 0.1: needs gradient.method = surrogate or tssl" in costly
    leaky = refusal("network.readout=leaky", "loss.name=first-spike")
    assert "loss.name = 'first-spike': needs network.readout = spiking" in leaky
    for engine in ("event", "hybrid"):
        assert f"engine {engine} has only exact" in refusal(f"simulation.engine={engine}", "gradient.method=surrogate")
        assert "engines event and hybrid allow hard and subtract" in refusal(
            f"simulation.engine={engine}", "network.reset=none"
        )


def test_forward_euler_is_refused_outside_its_stability_bound():
    # 2 min(tau_mem, tau_syn) = 1.2 with the default time constants.
    assert "dt = 1.2: forward Euler is stable only for dt < 2 min(tau_mem, tau_syn) = 1.2" in refusal(
        "simulation.scheme=forward_euler", "simulation.dt=1.2"
    )
    config.load(None, ["simulation.scheme=forward_euler", "simulation.dt=1.19"])
    config.load(None, ["simulation.scheme=backward_euler", "simulation.dt=1.2"])
    config.load(None, ["simulation.scheme=forward_euler", "simulation.dt=1.2", "simulation.engine=event"])


def test_auto_values_follow_loss_and_engine():
    assert config.readout(config.load()) == "leaky"
    assert config.readout(config.load(None, ["loss.name=count-mse"])) == "spiking"
    assert config.precision(config.load()) == "float32"
    assert config.precision(config.load(None, ["simulation.engine=event"])) == "float64"
    assert config.precision(config.load(None, ["simulation.engine=event", "simulation.precision=float32"])) == "float32"


def test_config_show_prints_what_config_check_accepts(call, toml):
    code, out, _ = call("config", "show", "--set", "training.seed=7")
    assert code == 0
    path = toml(out)
    assert config.load(path) == config.load(None, ["training.seed=7"])
    assert call("config", "check", path) == (0, f"{path}: valid\n", "")


def test_config_check_refuses_in_one_line(call, toml):
    path = toml("[simulation]\nstep = 3\n")
    assert call.refused("config", "check", path) == f"{path}: unknown key simulation.step; did you mean n_steps?"
    assert "valid TOML" in call.refused("config", "show", toml("x ="))


def test_config_list_names_the_shipped_ones(call):
    code, out, _ = call("config", "list")
    assert code == 0
    assert out.split() == config.shipped()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--layers", "784-x-10"), "--layers 784-x-10: x: must be a size"),
        (("--layers", "-784-10"), "must be layers joined by '-'"),
        (("--scheme", "euler"), "simulation.scheme = 'euler': must be one of"),
        (("--gradient", "exakt"), "did you mean exact?"),
        (("--loss", "count"), "loss.name = 'count'"),
        (("--encoder", "rate"), "encoder.name = 'rate'"),
        (("--optimizer", "sdg"), "did you mean sgd?"),
        (("--engine", "clocks"), "did you mean clock?"),
        (("--precision", "float16"), "simulation.precision = 'float16'"),
        (("--dt", "-0.1"), "simulation.dt = -0.1: must be a positive number"),
        (("--dt", "x"), "Invalid value for '--dt'"),
        (("--scheme", "forward_euler", "--dt", "2"), "forward Euler is stable only for dt <"),
        (("--steps", "0"), "simulation.n_steps = 0"),
        (("--epochs", "-1"), "training.epochs = -1: must be at least 0"),
        (("--seed", "-1"), "training.seed = -1: must be at least 0"),
        (("--lr", "inf"), "optimizer.lr = inf"),
        (("--batch-size", "0"), "training.batch_size = 0"),
        (("--set", "training.micro_batches=0"), "training.micro_batches = 0"),
        (
            ("--set", "training.micro_batches=3"),
            "training.batch_size = 50: must be a multiple of training.micro_batches",
        ),
        (("--threads", "-1"), "--threads = -1: must lie in"),
        (("--threads", "1000000"), "--threads = 1000000: must lie in"),
        (("--set", "nonsense"), "must read table.key=value"),
        (("--dataset", "minst"), "mnist"),
        (("--data-dir", "/no/such/folder"), "/no/such/folder"),
        (("--layers", "100-10"), "mnist has 784 inputs and 10 classes, so it must read 784-...-10"),
        (("--layers", "784-10-11"), "mnist has 784 inputs and 10 classes"),
        (("--no-such-flag",), "--no-such-flag"),
    ],
)
def test_bad_flags_end_with_one_line_and_code_2(call, tmp_path, flags, message):
    assert message in call.refused("train", "--run-dir", tmp_path / "run", *flags)
    assert not (tmp_path / "run").exists()


RULES = {
    "fixed-in-degree": "degree = 3",
    "fixed-probability": "probability = 0.5",
    "one-to-one": "",
    "dense": "",
    "convolution": "kernel = 3\npadding = 1",
}


@pytest.mark.parametrize(
    "delays",
    ["", "delay = 0.2", *(f'delay = [0.1, 0.3]\ndelays = "{k}"' for k in choices("connection.delays")[1:])],
)
@pytest.mark.parametrize("shape", choices("connection.shape"))
def test_every_shape_and_delay_between_tables(toml, shape, delays):
    """Also within one population, where rules draw other pairs."""
    end = '[[population]]\nname = "{}"\nneuron = "{}"\nshape = [2, 3, 3]\n'
    rows = [end.format("input", "input"), end.format("hidden", "lif"), end.format("output", "li")]
    for source, target in (("input", "hidden"), ("hidden", "hidden"), ("hidden", "output")):
        rule = f'shape = "{shape}"\n{RULES[shape]}\n{delays or "delay = 0.1"}\n'
        rows.append(f'[[connection]]\nsource = "{source}"\ntarget = "{target}"\n{rule}')
    path = toml("\n".join(rows))
    if shape == "convolution" and "synapse" in delays:
        assert "delays of shape 2x3x3x2: must be one number, or 18" in refusal(source=path)
        return
    network = network_of(config.load(path))
    sizes = {(c.source, c.target): (network.weight_shape(c), np.shape(c.delay)) for c in network.connections}
    for weights, of_delays in sizes.values():
        assert of_delays == ((18,) if "source" in delays else weights if "synapse" in delays else ())
