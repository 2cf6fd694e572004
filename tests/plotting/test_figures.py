"""Figures show the numbers of their files, with units, in three formats; bad requests end in one line."""

import json
import sys

import numpy as np
import pytest
from matplotlib.image import imread
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from snnsim_cli.main import main

from snnsim.connections import Convolution
from snnsim.errors import InputError
from snnsim.models import save_model
from snnsim.network import Network
from snnsim.parameters import LI, LIFParameters
from snnsim.plotting import (
    plot_connection,
    plot_network,
    plot_raster,
    plot_rates,
    plot_trace,
    plot_training,
    plot_weights,
    save_figure,
)
from snnsim.plotting.style import legend_below, new_figure
from snnsim.recording.membrane import with_resets
from snnsim.recording.reader import open_traces
from snnsim.recording.writer import TraceWriter
from tests.recordings import SIZES, network, recording

STEPS, DT, UNIT = 20, 0.01, 2.0


def write(directory, record=("spikes", "v", "i_syn"), readout="spiking", **options):
    made = recording(**options)
    writer = TraceWriter(
        directory, network(SIZES, readout), duration=made.duration, dt=made.dt, scheme=made.scheme,
        engine=made.engine, record=record, time_unit_ms=UNIT, sample_step=DT,
    )  # fmt: skip
    with writer:
        writer.append(made, label=np.arange(len(made["input"].spikes)))
    return made


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    directory = tmp_path_factory.mktemp("plots") / "traces"
    made = write(directory)
    with open_traces(directory) as opened:
        yield opened, made


def test_raster_shows_every_spike_of_the_trial_and_no_other(traces):
    opened, made = traces
    figure = plot_raster(opened, trial=1)
    assert [axis.get_ylabel().split("\n")[0] for axis in figure.axes] == ["input", "hidden0", "output"]
    assert figure.axes[-1].get_xlabel() == "time (ms)"
    for axis, layer in zip(figure.axes, made.layers, strict=True):
        times, neurons = layer.spikes.trial(1)
        segments = np.array(axis.collections[0].get_segments())
        np.testing.assert_allclose(segments[:, :, 0].mean(axis=1), times * UNIT)
        np.testing.assert_allclose(segments[:, :, 1].mean(axis=1), neurons)
    colours = {axis.yaxis.label.get_color() for axis in figure.axes}
    assert len(colours) == 3


def test_raster_of_a_large_layer_and_a_window(tmp_path):
    sizes = (100, 3)
    made = recording(sizes=sizes, v=False)
    with TraceWriter(tmp_path, network(sizes), duration=made.duration, dt=DT, scheme="exact") as writer:
        writer.append(made)
    with open_traces(tmp_path) as opened:
        figure = plot_raster(opened, 0, ["input"], window=(0.05, 0.1))
    times, neurons = made["input"].spikes.trial(0)
    inside = (times >= 0.05) & (times <= 0.1)
    points = figure.axes[0].collections[0]
    np.testing.assert_allclose(points.get_offsets(), np.stack([times[inside], neurons[inside]], 1), atol=1e-12)
    assert points.get_rasterized()


def test_trace_shows_samples_spikes_threshold_and_reset(traces):
    opened, made = traces
    figure = plot_trace([opened], trial=2, layer="hidden0", neurons=[5], variables=("v", "i_syn"))
    membrane, current = figure.axes
    times, neurons = made["hidden0"].spikes.trial(2)
    own = times[neurons == 5]
    drawn = {tuple(p) for p in np.round(membrane.lines[0].get_xydata(), 6).tolist()}
    for k, v in enumerate(made["hidden0"].v[2, :, 5].astype(float)):
        assert (round((k + 1) * DT * UNIT, 6), round(v, 6)) in drawn
    for time in own:
        assert (round(time * UNIT, 6), 1.0) in drawn  # the reset of these parameters
    np.testing.assert_allclose(membrane.lines[1].get_xdata(), own * UNIT)
    labels = [line.get_label() for line in membrane.lines]
    heights = {name: membrane.lines[labels.index(name)].get_ydata()[0] for name in ("threshold", "reset")}
    assert heights == {"threshold": 1.5, "reset": 1.0}
    np.testing.assert_allclose(current.lines[0].get_ydata()[1:], made["hidden0"].i_syn[2, :, 5])
    assert membrane.get_ylabel() == "v (mV)"
    assert "nA" in current.get_ylabel()


def test_trace_lays_several_dt_over_each_other_and_names_them(traces, tmp_path):
    opened, _ = traces
    made = recording(n_steps=40, dt=DT / 2)
    writer = TraceWriter(
        tmp_path,
        network(),
        duration=made.duration,
        dt=DT / 2,
        scheme="exact",
        record=("spikes", "v"),
        time_unit_ms=UNIT,
    )
    with writer:
        writer.append(made)
    with open_traces(tmp_path) as fine:
        figure = plot_trace([opened, fine])
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "dt = 0.02 ms" in labels
    assert "dt = 0.01 ms" in labels
    assert "threshold" in labels


def test_reset_is_drawn_off_the_grid_from_threshold():
    parameters = network().parameters[0]
    samples = np.array([1.0, 2.0, 3.0]), np.array([0.5, 1.2, 1.1])
    times, v, tops = with_resets(*samples, np.array([1.5]), np.array([1.5]), parameters)
    np.testing.assert_array_equal(times, [1.0, 1.5, 1.5, 2.0, 3.0])
    np.testing.assert_array_equal(v, [0.5, 1.5, 1.0, 1.2, 1.1])
    np.testing.assert_array_equal(tops, [1.5])


def test_trace_picks_the_neuron_with_the_most_spikes(traces):
    opened, made = traces
    figure = plot_trace([opened], trial=0)
    busiest = int(made["hidden0"].spikes.counts()[0].argmax())
    assert figure.axes[0].get_title(loc="left") == f"hidden0, neuron {busiest}"


@pytest.mark.parametrize("trials", [None, [0, 2]])
def test_rates_count_every_neuron_that_fires(traces, trials):
    opened, made = traces
    figure = plot_rates(opened, trials=trials)
    for axis, layer in zip(figure.axes, made.layers, strict=False):
        counts = layer.spikes.counts()[slice(None) if trials is None else trials].mean(axis=0)
        bars = axis.patches[0].get_data()
        assert bars.values.sum() == (counts > 0).sum()
        # Each bin holds as many whole numbers of spikes, and none lies on an edge.
        edges = bars.edges * (len(layer.spikes) if trials is None else len(trials))
        np.testing.assert_allclose(np.diff(edges), round(np.diff(edges)[0]), atol=1e-9)
        np.testing.assert_allclose(edges % 1, 0.5, atol=1e-9)
        told = [text.get_text().strip() for text in axis.texts]
        silent = int((counts == 0).sum())
        assert (f"{silent} silent" in told) == (silent > 0)
        dashed = next(line for line in axis.lines if line.get_linestyle() == "--")
        assert dashed.get_xdata()[0] == pytest.approx(counts.mean())
        assert axis.get_xlabel() == "spikes per trial"
        # 20 steps of 0.01 at 2 ms a unit: one spike a trial is 2500 Hz.
        rate = axis.child_axes[0]
        assert rate.get_xlabel() == "firing rate (kHz)"
        figure.draw_without_rendering()
        assert rate.get_xlim()[1] == pytest.approx(axis.get_xlim()[1] * 2.5)


def test_rates_of_a_layer_that_never_fires_and_of_a_leaky_readout(tmp_path):
    write(tmp_path / "silent", rate=0.0)
    with open_traces(tmp_path / "silent") as opened:
        figure = plot_rates(opened)
    assert all(any("no spikes" in text.get_text() for text in axis.texts) for axis in figure.axes)
    write(tmp_path / "leaky", readout="leaky")
    with open_traces(tmp_path / "leaky") as opened:
        readout = plot_raster(opened, 1).axes[2]
        drawn = sorted(line.get_ydata()[-1] for line in readout.lines)
        np.testing.assert_allclose(drawn, np.sort(opened.v("output", 1)[-1]))
        assert readout.get_ylabel() == "output\nv (mV)"
        labels = [line.get_label() for line in plot_trace([opened], layer="output", neurons=[0]).axes[0].lines]
        assert "threshold" not in labels
        with pytest.raises(InputError, match="layer output: has no threshold"):
            plot_rates(opened, layers=["output"])
    write(tmp_path / "spikes", record=("spikes",), readout="leaky")
    with open_traces(tmp_path / "spikes") as opened:
        assert len(plot_raster(opened).axes) == 2
        with pytest.raises(InputError, match="does not record its v"):
            plot_raster(opened, layers=["output"])


def test_weight_maps_are_the_columns(tmp_path):
    weights = np.random.default_rng(0).standard_normal((25, 8)).astype(np.float32)
    figure = plot_weights(weights, neurons=[6, 1])
    for axis, neuron in zip(figure.axes[:2], (6, 1), strict=True):
        np.testing.assert_array_equal(axis.images[0].get_array(), weights[:, neuron].reshape(5, 5))
        assert axis.get_title() == str(neuron)
    low, high = figure.axes[0].images[0].get_clim()
    assert low == -high
    assert figure.axes[-1].get_ylabel() == "weight"
    strongest = plot_weights(weights, count=3)
    shown = {axis.get_title() for axis in strongest.axes[:3]}
    assert shown == {str(n) for n in np.argsort(-np.linalg.norm(weights, axis=0))[:3]}
    oblong = plot_weights(weights[:24], neurons=[0], shape=(4, 6))
    assert oblong.axes[0].images[0].get_array().shape == (4, 6)
    matrix = plot_weights(weights[:7])
    assert matrix.axes[0].images[0].get_array().shape == (7, 8)


def test_learning_curves(tmp_path):
    records = [
        {"epoch": e, "train_loss": 2.0 / e, "train_accuracy": 0.5 + e / 10, "val_loss": None, "val_accuracy": a,
         "spikes_per_neuron": [1.0, e]}
        for e, a in ((1, 0.5), (2, 0.75), (3, 0.7))
    ]  # fmt: skip
    figure = plot_training({"run": records})
    loss, accuracy, activity = figure.axes
    assert [line.get_label() for line in loss.lines] == ["training"]
    np.testing.assert_allclose(loss.lines[0].get_ydata(), [2.0, 1.0, 2 / 3])
    curves = {line.get_label(): line.get_ydata() for line in accuracy.lines}
    np.testing.assert_allclose(curves["validation (best 75.00 %)"], [50, 75, 70])
    np.testing.assert_allclose(activity.lines[1].get_ydata(), [1, 2, 3])
    assert [line.get_label() for line in activity.lines] == ["layer 1", "layer 2"]
    named = plot_training({"run": records}, ["hidden0", "output"]).axes[2]
    assert [line.get_label() for line in named.lines] == ["hidden0", "output"]
    assert len(plot_training({"a": records, "b": records[:1]}).axes) == 2


@pytest.mark.parametrize(("suffix", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_same_figure_same_bytes(traces, tmp_path, suffix, magic):
    opened, _ = traces
    for name in ("a", "b"):
        save_figure(plot_raster(opened), tmp_path / f"{name}.{suffix}", dpi=80)
    first = (tmp_path / f"a.{suffix}").read_bytes()
    assert first.startswith(magic)
    assert first == (tmp_path / f"b.{suffix}").read_bytes()


def test_nothing_leaves_the_picture(traces, tmp_path):
    """The outermost pixels stay white: no label is cut off."""
    opened, _ = traces
    figures = {
        "raster": plot_raster(opened),
        "trace": plot_trace([opened, opened]),
        "rates": plot_rates(opened),
        "weights": plot_weights(np.eye(16)),
    }
    for name, figure in figures.items():
        save_figure(figure, tmp_path / f"{name}.png", dpi=100)
        pixels = imread(tmp_path / f"{name}.png")[:, :, :3]
        border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert (border == 1).all(), name


@pytest.fixture
def snnsim(monkeypatch, capsys):
    """The command, in this process: ``(exit code, standard error)``."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["snnsim", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, capsys.readouterr().err

    return run


def test_command_draws_each_kind(traces, tmp_path, snnsim):
    opened, _ = traces
    save_model(tmp_path / "model.h5", network())
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"epoch": 1, "train_loss": 1.0, "train_accuracy": 0.5}) + "\n{")
    for arguments in (
        ("raster", opened.directory, "--layers", "hidden0,output", "--window", "0:0.2"),
        ("trace", opened.directory, "--neurons", "1,2", "--variables", "v,i_syn"),
        ("rates", opened.directory, "--trials", "0:2"),
        ("weights", tmp_path, "--shape", "5x6"),
        ("training", tmp_path),
    ):
        output = tmp_path / f"{arguments[0]}.svg"
        assert snnsim("plot", *arguments, "-o", output) == (0, "")
        assert output.stat().st_size > 5000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("raster", "{}", "-o", "x.gif"), "--output x.gif: must end in .png, .svg or .pdf"),
        (("raster", "{}", "-o", "x.png", "--trial", "9"), "trial 9"),
        (("raster", "{}", "-o", "x.png", "--layers", "hidden7"), "layer 'hidden7'"),
        (("raster", "{}", "-o", "x.png", "--window", "0:9"), "window 0..4.5: must lie within a trial"),
        (("trace", "{}", "-o", "x.png", "--neurons", "99"), "neuron 99 of hidden0: does not exist"),
        (("trace", "{}", "-o", "x.png", "--variables", "u"), "variable 'u': must be one of"),
        (("weights", "{}", "-o", "x.png"), "no model.h5"),
        (("training", "{}", "-o", "x.png"), "metrics.jsonl: no such file"),
    ],
)
def test_bad_requests_end_in_one_line(traces, tmp_path, monkeypatch, snnsim, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, error = snnsim("plot", *(a.format(traces[0].directory) for a in arguments))
    assert code == 2
    assert error.startswith("snnsim: error: ")
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def graph():
    """A map, a convolution with pooling, a cycle of two populations, a skip and a readout."""
    net = Network()
    net.input("input", (2, 8, 8))
    net.population("maps", (3, 6, 6), LIFParameters())
    net.population("a", 20, LIFParameters())
    net.population("b", 20, LIFParameters())
    net.population("output", 4, LI())
    net.connect("input", "maps", Convolution(3))
    net.connect("maps", "a")
    net.connect("a", "b", delay=0.1)
    net.connect("b", "a", delay=0.1)
    net.connect("a", "a", delay=0.2)
    net.connect("b", "output")
    net.connect("maps", "output")
    rng = np.random.default_rng(0)
    for connection in net.connections:
        source, target = (net.populations_by_name[name] for name in (connection.source, connection.target))
        shape = connection.shape.weight_shape(source.shape, target.shape, connection.name)
        net.set(connection.name, rng.standard_normal(shape).astype(np.float32))
    return net


def test_the_graph_shows_every_population_and_connection(tmp_path):
    net = graph()
    figure = plot_network(net)
    texts = [text.get_text() for text in figure.axes[0].texts]
    for name in net.populations_by_name:
        assert name in texts
    boxes = [p for p in figure.axes[0].patches if isinstance(p, FancyBboxPatch)]
    arrows = [p for p in figure.axes[0].patches if isinstance(p, FancyArrowPatch)]
    assert len(boxes) == 5
    assert len(arrows) == len(net.connections) == 7
    assert sum("delay 0.1" in text for text in texts) == 2
    assert any(text.startswith("conv 3x3\n54 weights") for text in texts)
    # A cycle stands in one column, what follows it further right.
    place = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    assert place["a"][0] == place["b"][0]
    assert place["input"][0] < place["maps"][0] < place["a"][0] < place["output"][0]
    save_figure(figure, tmp_path / "network.svg")


def test_weights_are_drawn_as_what_they_join_asks_for():
    net = graph()
    kernels = plot_connection(net, "input->maps")
    images = [axis.images[0] for axis in kernels.axes if axis.images]
    assert len(images) == 2 * 3
    np.testing.assert_array_equal(images[1].get_array(), net.tensors["input->maps"][1, :, :, 0])
    cycle = plot_connection(net, "a->b").axes[0]
    np.testing.assert_allclose(cycle.images[0].get_array(), net.tensors["a->b"])
    assert (cycle.get_xlabel(), cycle.get_ylabel()) == ("to neuron", "from neuron")
    # Neurons behind maps: the picture at place (neuron, channel) holds that channel's weights, channels last.
    maps = plot_connection(net, "maps->output", neurons=[2])
    cube = net.tensors["maps->output"][:, 2].reshape(6, 6, 3)
    shown = [axis.images[0].get_array() for axis in maps.axes if axis.images]
    np.testing.assert_allclose(shown[1], cube[:, :, 1])


def test_logarithmic_axes_have_plain_numbers(tmp_path):
    for low, high in ((0.2, 0.9), (0.02, 0.4), (0.001, 100)):
        figure, axes = new_figure(3, 2)
        axes[0, 0].loglog([low, high], [low, high])
        save_figure(figure, tmp_path / "x.png", 50)
        texts = [label.get_text() for label in axes[0, 0].get_xticklabels(which="both")]
        assert sum(bool(text) for text in texts) >= 3
        assert not any("times" in text or "10^" in text for text in texts)


def test_legends_stay_inside_their_figure():
    figure, axes = new_figure(7, 3)
    for k in range(9):
        axes[0, 0].plot([0, 1], [0, k], label=f"a rather long name of a recording, number {k}")
    legend_below(figure, axes[0, 0])
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1
