"""What a new user gets wrong: each is an InputError of one line that names what was given and what is allowed."""

import numpy as np
import pytest

import snnsim as sn
from snnsim import registry
from snnsim.errors import InputError

X, Y = np.linspace(0, 1, 24).reshape(6, 4), np.array([0, 1, 2, 0, 1, 2])
NAN = np.where(np.arange(24).reshape(6, 4) == 5, np.nan, X)
PAIRS = [([1.0, 2.0], [0, 3])] * 6
RECORDING = np.zeros(3, [("t", int), ("x", int), ("y", int), ("p", int)])


def model(network="4-3", **options):
    return sn.Model(network, **{"dt": 1.0, "n_steps": 5, **options})


def fit(x=X, y=Y, network="4-3", fitting=None, **options):
    return lambda: model(network, **options).fit(x, y, epochs=1, progress=False, **(fitting or {}))


def events(**columns):
    made = RECORDING.copy()
    for name, value in columns.items():
        made[name] = value
    return [made] * 6


def without(field):
    return [RECORDING[[name for name in RECORDING.dtype.names if name != field]]] * 6


class Wrong:
    """A loss whose parts are wrong."""

    reads = "membrane"

    def __init__(self, found):
        self.found = found

    def __call__(self, v, y):
        return self.found(v, y)


def two(w, g):
    """Take too few parameters for an optimiser."""


def no_pair(x, rng):
    return np.zeros(3)


def far(x, rng):
    return np.array([99.0]), np.array([0])


TRAINED = {}


def trained():
    if not TRAINED:
        TRAINED["m"] = model()
        TRAINED["m"].fit(X, np.array(["a", "b", "c"])[Y], epochs=0, progress=False)
    return TRAINED["m"]


REFUSED = {
    # arrays
    "x 1-d": (fit(X[0]), "x: 1-d; must be (samples, ...): 4 a sample, or 5 steps of that"),
    "x width": (fit(X[:, :3]), "x: samples of shape 3; the network takes 4 a sample, or 5 steps of that"),
    "x none": (fit(X[:0], Y[:0]), "x: has no samples"),
    "x empty list": (fit([], []), "x: has no samples"),
    "x nan": (fit(NAN), "x[1, 1] = nan: must be a finite number"),
    "x inf": (fit(np.where(np.isnan(NAN), np.inf, X)), "x[1, 1] = inf: must be a finite number"),
    "x above 1": (fit(X * 16), "x: 1.3913 among them; floats lie in 0..1, or give range = (low, high)"),
    "x negative": (fit(X - 0.5), "x: -0.5 among them; floats lie in 0..1"),
    "x 16 bit": (fit((X * 4000).astype(int)), "x: 347 among them; whole numbers lie in 0..255, or give range"),
    "x out of range": (fit(X * 20, range=(0, 16)), "x: 16.5217 among them; range = (0, 16)"),
    "range backwards": (fit(range=(1, 0)), "Model: data.range = [1.0, 0.0]: must be two numbers in ascending order"),
    "x text": (fit(X.astype(str)), "x: <U32; must be numbers"),
    "x complex": (fit(X * 1j), "x: complex128; must be numbers"),
    "x objects": (fit(X.astype(object)), "x: object; must be numbers"),
    "x ragged": (fit([[1, 2, 3, 4], [1, 2]], [0, 1]), "x: samples of different shapes make no array"),
    "x number": (fit(3), "x: a int; must be arrays, spikes, events, a file or batches"),
    "x none at all": (fit(None), "x: a NoneType; must be arrays"),
    "x dict": (fit({"x": X}), "x: a dict of x; must be arrays, spikes, events or batches"),
    "x file": (fit("nothing.h5", None), "dataset 'nothing.h5': must be one of mnist"),
    "x file and y": (fit("nothing.h5"), "y: the file nothing.h5 brings its labels along"),
    "image size": (fit(X.reshape(6, 2, 2), network="3x3-3"), "x: samples of shape 2x2; the network takes 1x3x3 or 9 a"),
    "steps": (fit(np.zeros((6, 7, 4))), "x: samples of shape 7x4; the network takes 4 a sample, or 5 steps of that"),
    "counts half": (fit(np.full((6, 5, 4), 0.5)), "x: must be whole numbers of spikes, at least 0; currents need a"),
    "counts negative": (fit(np.full((6, 5, 4), -1)), "x: must be whole numbers of spikes, at least 0"),
    "current nan": (fit(NAN, input="current"), "x[1, 1] = nan: must be a finite number"),
    "current on events": (fit(input="current", engine="event"), "current"),
    # labels
    "y missing": (fit(y=None), "y: there is none to learn from"),
    "y short": (fit(y=Y[:5]), "y: 5 entries for 6 samples"),
    "y number": (fit(y=1), "y: array(1); must have one entry a sample"),
    "y too many": (fit(y=np.arange(6)), "y: 6 classes (0, 1, 2, 3, 4, 5); the network has 3 outputs"),
    "y too few": (fit(y=Y - 1, network="4-5"), "y: 3 classes (-1, 0, 1); the network has 5 outputs"),
    "y names": (fit(y=["a", "b"] * 3), "y: 2 classes ('a', 'b'); the network has 3 outputs"),
    "y fractions": (fit(y=Y / 2), "y: 0.5 among them; loss membrane-mean takes classes, membrane-mse takes numbers"),
    "y nan": (fit(y=np.array([0, 1, 2, 0, 1, np.nan])), "y: nan among them; loss membrane-mean takes classes"),
    "y mixed": (fit(y=np.array([0, "a", 1, 2, 0, 1], object)), "y: int, str; classes must be all text or all whole"),
    "y one-hot": (fit(y=np.eye(3)[Y]), "y: shape (6, 3); loss membrane-mean takes one class a sample (y.argmax(axis"),
    "y dates": (fit(y=Y.astype("datetime64[s]")), "y: datetime64[s]; classes must be whole numbers or text"),
    "y unknown": (lambda: trained().evaluate(X, ["a"] * 5 + ["z"]), "y: 'z' is no class of this model, which has 'a',"),
    # targets
    "targets width": (fit(y=X, loss="membrane-mse"), "y: shape (6, 4); the network has 3 outputs: must be (n, 3) or ("),
    "targets steps": (fit(y=np.zeros((6, 4, 3)), loss="membrane-mse"), "y: shape (6, 4, 3); the network has 3 outputs"),
    "targets nan": (fit(y=NAN[:, :3], loss="membrane-mse"), "y: nan among them; must be finite numbers"),
    "targets text": (fit(y=Y.astype(str), loss="membrane-mse"), "y: <U21; loss membrane-mse takes numbers"),
    "trains to classes": (fit(y=[([1.0], [0])] * 6), "loss membrane-mean: y are spike trains; loss van-rossum takes"),
    "trains far": (fit(y=[([9.0], [0])] * 6, loss="van-rossum"), "spikes of trial 0: 9 among the times; they must lie"),
    "trains outputs": (
        fit(y=sn.Spikes.from_trials([([1.0], [0])] * 6, 2, 5.0), loss="van-rossum"),
        "y: trains of 2 neurons; the network has 3 outputs",
    ),
    # spikes and events
    "spikes neurons": (fit(sn.Spikes.from_trials(PAIRS, 5, 5.0)), "5 inputs"),
    "spikes late": (fit(sn.Spikes.from_trials([([7.0], [0])] * 6, 4, 9.0)), "x: spikes up to 7, 100 % of them beyond"),
    "pairs unequal": (fit([([1.0, 2.0], [0])] * 6), "x[0]: 2 times and 1 channels: must be equally many"),
    "pairs channel": (fit([([1.0], [4])] * 6), "x[0]: channel 4: must lie in 0..3"),
    "pairs negative": (fit([([-1.0], [0])] * 6), "x[0]: -1 among the times"),
    "pairs nan": (fit([([np.nan], [0])] * 6), "x[0]: nan among the times"),
    "pairs halves": (fit([([1.0], [0.5])] * 6), "x[0]: units: must be a list of whole numbers"),
    "pairs and arrays": (fit([*PAIRS[:5], 3]), "x[5]: must be a pair of times and units, as x[0] is"),
    "events without y": (fit(without("y"), network="2x3x3-3"), "x[0]: events without a field y"),
    "events without t": (fit(without("t"), network="2x3x3-3"), "x[0]: fields x, y, p: events must have t and x"),
    "events to a line": (fit(events(y=[0, 1, 0])), "x[0]: events with a field y"),
    "events beside": (fit(events(x=3), network="2x3x3-3"), "x[0]: an event with x = 3: must lie in 0..2 of a sensor"),
    "events polarity": (fit(events(p=2), network="2x3x3-3"), "x[0]: an event with p = 2: must lie in 0..1"),
    "events late": (fit(events(t=9000), network="2x3x3-3"), "x: spikes up to 9, 100 % of them beyond the trial's end"),
    "events alone": (fit(RECORDING, network="2x3x3-3"), "x: one array of events is one sample; give a list of them"),
    "events mixed": (fit([*events()[:5], 3], network="2x3x3-3"), "x[5]: a int; must be an array of events, as x[0] is"),
    "event unit": (fit(events(), network="2x3x3-3", event_unit="hour"), "data.time_unit: must be s, ms, us, ns"),
    "batches and y": (fit([(X, Y)]), "y: x brings targets along, as pairs; give no other ones"),
    "batches flat": (fit([(X[0], Y)], None), "y: there is none to learn from"),
    "batches differ": (fit([(X, Y), (X[:, :3], Y)], None), "x: batches of different shapes"),
    "batches and more": (fit([(X, Y), X], None), "x: pairs of x and y, and others; must all be pairs"),
    # training
    "epochs": (lambda: model().fit(X, Y, epochs=1.5), "epochs = 1.5: must be a whole number, at least 0"),
    "batch": (fit(fitting={"batch_size": 0}), "batch_size = 0: must be a whole number, at least 1"),
    "validation share": (fit(fitting={"validation": 1.0}), "validation = 1.0: a share must lie in 0..1"),
    "validation all": (fit(fitting={"validation": 6}), "validation = 6: must leave some of the 6 samples to learn fro"),
    "validation text": (fit(fitting={"validation": "some"}), "validation = 'some': must be a number of at least 0"),
    "validation triple": (fit(fitting={"validation": (X, Y, Y)}), "validation: a tuple of 3; must be (x, y)"),
    "validation width": (fit(fitting={"validation": (X[:, :3], Y)}), "validation x: samples of shape 3"),
    "callback": (fit(fitting={"callbacks": [3]}), "callbacks: 3: must have one of on_prepare"),
    "monitor": (fit(fitting={"callbacks": [sn.EarlyStopping("loss")]}), "monitor = 'loss': must be one of epoch, trai"),
    "no validation": (fit(fitting={"callbacks": [sn.EarlyStopping()]}), "monitor = 'val_loss': there is none; fit tak"),
    "target": (fit(fitting={"target": "tpu"}), "target = 'tpu': must be one of cpu, cuda, auto"),
    # models
    "notation": (lambda: model("4-x-3"), "Model: network.layers = 4-x-3: x: must be a size"),
    "sizes": (lambda: model([4, 0]), "network[1] = 0: must be a whole number, at least 1"),
    "network": (lambda: model(4), "network = 4: must be a notation such as '784-400-10', sizes, a Network or a Config"),
    "option": (lambda: model(learning_rate=1), "Model: unknown option learning_rate"),
    "near option": (lambda: model(target_rates=1), "Model: unknown option target_rates; did you mean target_rate?"),
    "loss": (lambda: model(loss="mse"), "Model: loss.name = 'mse': must be one of membrane-mean, membrane-max, membra"),
    "loss object": (lambda: model(loss=3), "loss = 3: must be a name, a function or an object"),
    "loss reads": (lambda: model(loss=lambda v, y: 0), "must be callable, with reads = one of membrane, counts, spike"),
    "loss returns": (fit(loss=Wrong(lambda v, y: 0.0)), "must return the loss of each sample and its derivative"),
    "loss shape": (fit(loss=Wrong(lambda v, y: (v.mean(), v))), "loss of shape (); must be (6,)"),
    "loss slope": (fit(loss=Wrong(lambda v, y: (v.mean((1, 2)), v[0]))), "derivative of shape (5, 3); must be (6, 5,"),
    "loss module": (fit(loss="no.such:Loss"), "loss.name = 'no.such:Loss': No module named 'no'"),
    "encoder returns": (fit(encoder=no_pair), "must return times and neurons, a pair"),
    "encoder late": (fit(encoder=far), "spikes of trial 0: 99 among the times; they must lie in 0..5"),
    "optimizer": (fit(optimizer=two), "update takes w, g; must take w, g, lr, step and slots"),
    "optimizer value": (lambda: sn.Adam(beta1=1.0), "optimizer.beta1 = 1.0: must lie in [0, 1)"),
    "schedule": (fit(schedule=lambda progress: -1.0), "learning rate -0.001 at 0 of the run"),
    "engine": (lambda: model(engine="fast"), "Model: simulation.engine = 'fast': must be one of clock, hybrid, event"),
    "dtype": (lambda: model(dtype=np.float16), "Model: simulation.precision = 'float16': must be one of auto, float32"),
    "dt": (lambda: model(dt=-1.0), "Model: simulation.dt = -1.0: must be a positive number"),
    "dt text": (lambda: model(dt="small"), "Model: simulation.dt = 'small': must be a number"),
    "estimator": (lambda: model(estimator="bptt"), "Model: gradient.method = 'bptt': must be one of exact, literal, t"),
    "neuron": (lambda: model(neuron=10.0), "neuron: 10.0: must be a neuron such as LIF(), or one for each layer"),
    "neurons": (lambda: model(neuron=[sn.LIF()] * 3), "must be one value, or one for each of the 1 layers"),
    "neuron twice": (
        lambda: model(sn.Network.of_layers([4, 3], sn.LIF()), neuron=sn.LIF()),
        "neuron: the network has its own neurons",
    ),
    "two inputs": (lambda: two_inputs().predict(X), "x: the network has 2 inputs; a training gives one"),
    "no file": (lambda: sn.load_model("nothing.h5"), "nothing.h5: no such file or directory"),
    "no run": (lambda: sn.load_model("tests"), "tests: no model.h5; the run has not finished an epoch"),
    "no model": (lambda: sn.load_model("pyproject.toml"), "pyproject.toml: "),
    "target rate": (lambda: model(target_rate=2).predict(X), "target_rate: initial weights are scaled by the data; fi"),
}


def two_inputs():
    network = sn.Network()
    network.input("a", 4)
    network.input("b", 4)
    network.population("output", 3, sn.LI())
    network.connect("a", "output")
    network.connect("b", "output")
    return model(network)


@pytest.mark.parametrize("name", REFUSED)
def test_one_clear_line(name):
    call, wanted = REFUSED[name]
    with pytest.raises(InputError) as caught:
        call()
    line = str(caught.value)
    assert wanted in line
    assert "\n" not in line
    assert len(line) < 300


def test_there_are_enough_of_them():
    assert len(REFUSED) >= 60


def test_unknown_names_of_parts_are_refused_with_the_known_ones():
    for table in (registry.LOSSES, registry.ENCODERS, registry.OPTIMIZERS, registry.SCHEDULES, registry.ESTIMATORS):
        with pytest.raises(InputError, match=rf"^{table.option} = 'nothing': must be one of {next(iter(table))}"):
            table.find("nothing")
        for name in table:
            assert table.find(name) is not None
