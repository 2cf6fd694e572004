"""The parts of the page: rasters, a neuron, maps and curves, each with its Bokeh figures and how to draw it anew."""

from html import escape

import numpy as np
from bokeh.core.properties import value
from bokeh.core.property.descriptors import UnsetValueError
from bokeh.events import Tap
from bokeh.models import ColorBar, ColumnDataSource, LinearColorMapper, Range1d, Span
from bokeh.plotting import figure
from matplotlib import colormaps
from matplotlib.colors import to_hex

from snnsim.plotting.style import BLACK, CYCLE, DIVERGING, GREY, RED
from snnsim.recording.units import labelled
from snnsim.viewer.cells import look, shades
from snnsim.viewer.neuron import thinned

TICK_PIXELS = 4
"""Height of a row from which on a spike is a tick as high as its row; a dot below."""
NO_LINE = {"x": [], "y": []}


def plain(text):
    """Text of a file as a title may have it: Bokeh would take two dollar signs for mathematics."""
    return str(text).replace("$$", "$ $")


def ramp(colour):
    """256 shades from clear white over a colour to its dark, of which the first means no spike."""
    middle = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)], float)
    ends = np.array([[255, 255, 255], middle, 0.55 * middle])
    shades = [np.interp(np.linspace(0, 1, 255), (0, 0.65, 1), ends[:, c]).round().astype(int) for c in range(3)]
    return ["#ffffff00"] + [f"#{r:02x}{g:02x}{b:02x}ff" for r, g, b in zip(*shades, strict=True)]


class Raster:
    """Raster of one population of a source.

    Parameters
    ----------
    source : snnsim.viewer.source.Source
        Open.
    name : str
    colour : str
    x_range : Range1d
    y_range : Range1d
    tapped : callable
        Called with the population, the neuron and the time of a click.
    """

    def __init__(self, source, name, colour, x_range, y_range, tapped):
        self.source, self.name = source, name
        self.ids = source.traces.populations[name].neuron_ids
        self._tapped = tapped
        n = len(self.ids)
        self.figure = shown = figure(
            height=int(min(300, 95 + 6 * n**0.5)), sizing_mode="stretch_width", x_range=x_range, y_range=y_range,
            tools="pan,xwheel_zoom,wheel_zoom,box_zoom,reset,save", active_scroll="xwheel_zoom", active_drag="pan",
            name=f"raster-{name}",
        )  # fmt: skip
        quiet(shown, "", plain(name))
        self._image = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        mapper = LinearColorMapper(palette=ramp(colour), low=0, high=255)
        shown.image(image="image", x="x", y="y", dw="dw", dh="dh", source=self._image, color_mapper=mapper)
        self._ticks = ColumnDataSource({"x": [], "low": [], "high": []})
        shown.segment("x", "low", "x", "high", source=self._ticks, line_color=colour, line_width=1.5)
        self._dots = ColumnDataSource(dict(NO_LINE))
        shown.scatter("x", "y", source=self._dots, size=3, color=colour, line_color=None)
        self.chosen = Span(dimension="width", line_color=BLACK, line_width=1, line_alpha=0.6, visible=False)
        shown.add_layout(self.chosen)
        shown.on_event(Tap, self._tap)

    def _tap(self, event):
        if event.x is None or event.y is None:
            return
        row = round(event.y)
        if 0 <= row < len(self.ids):
            self._tapped(self.name, int(self.ids[row]), float(event.x))

    def _pixels(self):
        try:
            return max(self.figure.inner_width, 1), max(self.figure.inner_height, 1)
        except UnsetValueError:  # no browser has laid it out yet
            return 1000, 200

    def choose(self, neuron):
        """Draw a line through a neuron's row; none for None."""
        rows = np.flatnonzero(self.ids == neuron) if neuron is not None else ()
        self.chosen.visible = len(rows) > 0
        if len(rows):
            self.chosen.location = int(rows[0])

    def draw(self, trial, start):
        """Draw what the ranges show.

        Parameters
        ----------
        trial : int or None
            The one that is shown, or None for the whole recording.
        start : float
            Time on the common clock at which the figure begins.
        """
        shown, source = self.figure, self.source
        low, high = sorted((shown.x_range.start, shown.x_range.end))
        top, bottom = sorted((shown.y_range.start, shown.y_range.end))
        first, last = max(0, int(np.floor(top + 0.5))), min(len(self.ids), int(np.ceil(bottom + 0.5)))
        times, rows = source.trains[self.name].arrays(None if trial is None else trial - source.first)
        pixels = self._pixels()
        step = source.step
        if last <= first:
            first = last = 0
        view = look(times, rows, (low + start, high + start), (first, max(last, first)), pixels, step)
        ticks, dots, image = {"x": [], "low": [], "high": []}, dict(NO_LINE), {key: [] for key in self._image.data}
        if view.counts is not None:
            left, base, across, height = view.place
            image = {"image": [shades(view.counts)], "x": [left - start], "y": [base], "dw": [across], "dh": [height]}
            width, tall = f"{view.cell[0]:.4g} {source.units.time}".rstrip(), view.cell[1]
            told = f"{view.total:,} spikes in view, in cells of {width} x {tall} neuron{'s' if tall > 1 else ''}"
            told += f", up to {int(view.counts.max()):,} in one"
        else:
            t, r = view.times - start, view.rows.astype(np.float64)
            if pixels[1] >= TICK_PIXELS * (bottom - top):
                ticks = {"x": t, "low": r - 0.42, "high": r + 0.42}
            else:
                dots = {"x": t, "y": r}
            told = f"{view.total:,} spike{'s' if view.total != 1 else ''} in view"
        self._image.data, self._ticks.data, self._dots.data = image, ticks, dots
        shown.title.text = plain(f"{self.name}: {told}, {len(self.ids):,} neurons")


class Readout:
    """Membranes of a population without threshold, in the trial that is shown."""

    MOST = 30

    def __init__(self, source, name, colour, x_range):
        self.source, self.name = source, name
        self.figure = figure(
            height=170, sizing_mode="stretch_width", x_range=x_range, tools="pan,xwheel_zoom,box_zoom,reset,save",
            active_scroll="xwheel_zoom", name=f"readout-{name}",
        )  # fmt: skip
        quiet(self.figure, "", labelled("v", source.traces.info["voltage_unit"]))
        self._lines = ColumnDataSource({"xs": [], "ys": [], "colour": []})
        self.figure.multi_line("xs", "ys", source=self._lines, line_color="colour", line_width=1.3)
        self._colour = colour

    def choose(self, neuron):
        """Nothing is marked here."""

    def draw(self, trial, start):
        """Draw the membranes of a trial, that of the prediction in colour; none for a whole recording."""
        traces, name = self.source.traces, self.name
        self.figure.visible = trial is not None
        if trial is None:
            return
        ids = traces.populations[name].neuron_ids[: self.MOST]
        times = traces.sample_times(None, "v", name) * self.source.units.factor
        v = traces.v(name, trial, neurons=ids)
        predicted = traces.trials.prediction[trial]
        order = np.argsort(ids == predicted, kind="stable")
        lines = [thinned(times, v[:, k]) for k in order]
        colours = [self._colour if ids[k] == predicted else "#bbbbbb" for k in order]
        self._lines.data = {"xs": [t for t, _ in lines], "ys": [y for _, y in lines], "colour": colours}
        told = f", neuron {predicted} (the prediction) in colour" if predicted >= 0 else ""
        some = f"{len(ids)} of " if len(ids) < len(traces.populations[name].neuron_ids) else ""
        total = len(traces.populations[name].neuron_ids)
        self.figure.title.text = plain(f"{name}: membranes of {some}{total} neurons{told}")


class Neuron:
    """Membrane and current of the neuron that was clicked, of all sources."""

    def __init__(self, count):
        self.x_range = Range1d(0, 1)
        self.v, self.current = (
            figure(
                height=height, sizing_mode="stretch_width", x_range=self.x_range, name=name,
                tools="pan,xwheel_zoom,box_zoom,reset,save", active_scroll="xwheel_zoom",
            )
            for height, name in ((220, "neuron-v"), (150, "neuron-current"))
        )  # fmt: skip
        quiet(self.v, "", "v")
        quiet(self.current, "", "i_syn")
        self._parts = []
        for k in range(count):
            colour = CYCLE[k % len(CYCLE)]
            data = [ColumnDataSource(dict(NO_LINE)) for _ in range(4)]
            self.v.line("x", "y", source=data[0], line_color=colour, line_width=1.4, legend_label=f"source {k}")
            self.v.line("x", "y", source=data[1], line_color=BLACK, line_dash="dashed", legend_label="threshold")
            self.v.scatter("x", "y", source=data[2], size=6, color=colour, line_color="white", legend_label="spike")
            self.current.line("x", "y", source=data[3], line_color=colour, line_width=1.4)
            self._parts.append(data)
        legend = self.v.legend[0]
        for item in legend.items:
            item.name = item.label["value"]
            item.visible = count > 1 or not item.name.startswith("source")
        legend.orientation, legend.margin, legend.padding, legend.label_text_font_size = "horizontal", 0, 2, "11px"
        self.v.add_layout(legend, "above")
        self.v.visible = self.current.visible = False

    def call(self, k, label):
        """Name source ``k`` in the legend, where there are several."""
        for item in self.v.legend[0].items:
            if item.name == f"source {k}":
                item.label = value(plain(label))

    def show(self, k, close):
        """Show a :class:`~snnsim.viewer.neuron.Close` of source ``k``; nothing for None."""
        lines = (None,) * 4 if close is None else (close.v, close.threshold, (close.spikes, close.tops), close.current)
        for part, line in zip(self._parts[k], lines, strict=True):
            part.data = dict(NO_LINE) if line is None else {"x": line[0], "y": line[1]}


class Maps:
    """A population of a source that is a map: all channels beside each other, at an instant."""

    def __init__(self, source, name, mosaic):
        self.source, self.name, self.mosaic = source, name, mosaic
        rows, columns = mosaic.size
        scale = max(1.0, min(14.0, 620 / columns, 520 / rows))
        self.figure = shown = figure(
            frame_width=int(columns * scale), frame_height=int(rows * scale), width=int(columns * scale) + 170,
            x_range=(0, columns), y_range=(rows, 0),
            tools="pan,wheel_zoom,box_zoom,reset,save", name=f"map-{name}",
        )  # fmt: skip
        quiet(shown, "", "")
        shown.xgrid.visible = shown.ygrid.visible = shown.axis.visible = False
        self._mapper = LinearColorMapper(palette=ramp(CYCLE[0]), low=0, high=1, nan_color="#dddddd")
        self._data = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        shown.image(image="image", x="x", y="y", dw="dw", dh="dh", source=self._data, color_mapper=self._mapper)
        self._bar = ColorBar(color_mapper=self._mapper, width=12, title="", title_text_font_size="11px")
        shown.add_layout(self._bar, "right")

    def spikes(self, trial, until, window, highest):
        """Show a trial's spikes in the ``window`` before ``until``, from its start; ``highest`` ends the scale."""
        source = self.source
        times, rows = source.trains[self.name].arrays(trial - source.first)
        start = source.start(trial)
        a, b = np.searchsorted(times, (start + until - window + 1e-9, start + until + 1e-9))
        a = 0 if until - window <= 0 else a
        counts = np.bincount(rows[a:b], minlength=len(self.mosaic.place)).astype(float)
        self._put(counts, 0, max(highest, 1), ramp(CYCLE[0]), "spikes")
        channels, height, width = self.mosaic.shape
        self.figure.title.text = plain(
            f"{self.name}, {channels} x {height} x {width}: {b - a:,} spikes in {max(until - window, 0):.4g} to "
            f"{until:.4g} {source.units.time}".rstrip()
        )

    def membranes(self, trial, until):
        """Show the membranes of a trial at the sample nearest to ``until``, from the trial's start."""
        traces = self.source.traces
        times = traces.sample_times(None, "v", self.name) * self.source.units.factor
        k = int(np.abs(times - until).argmin())
        at = times[k] / self.source.units.factor
        values = traces.v(self.name, trial, window=(at, at))[0].astype(float)
        top = float(np.abs(values).max()) or 1.0
        palette = [to_hex(colour) for colour in colormaps[DIVERGING](np.linspace(0, 1, 255))]
        self._put(values, -top, top, palette, labelled("v", traces.info["voltage_unit"]))
        self.figure.title.text = plain(f"{self.name}: membranes at {times[k]:.4g} {self.source.units.time}".rstrip())

    def _put(self, values, low, high, palette, title):
        rows, columns = self.mosaic.size
        picture = {"image": [self.mosaic.picture(values)], "x": [0], "y": [0], "dw": [columns], "dh": [rows]}
        self._mapper.update(palette=palette, low=low, high=high)
        self._bar.title = title
        self._data.data = picture


class Curve:
    """Loss and accuracy over the epochs of a run."""

    def __init__(self, curves):
        self._curves, self.figures, self._data = curves, [], {}
        for title, keys, label in (
            ("loss", ("train_loss", "val_loss"), "loss"),
            ("accuracy", ("train_accuracy", "val_accuracy"), "accuracy (%)"),
        ):
            shown = figure(height=300, sizing_mode="stretch_width", tools="pan,wheel_zoom,box_zoom,reset,save,hover",
                           name=f"curve-{title}")  # fmt: skip
            quiet(shown, "epoch", label)
            for key, colour, dash, name in zip(
                keys, CYCLE, ("dashed", "solid"), ("training", "validation"), strict=False
            ):
                self._data[key] = source = ColumnDataSource(dict(NO_LINE))
                look = {"source": source, "legend_label": name}
                shown.line("x", "y", line_color=colour, line_dash=dash, line_width=1.6, **look)
                shown.scatter("x", "y", size=5, color=colour, **look)
            shown.legend.label_text_font_size = "11px"
            shown.legend.location = "top_right" if title == "loss" else "bottom_right"
            self.figures.append(shown)

    def draw(self):
        """Draw all epochs so far."""
        epochs = self._curves.epochs
        for key, source in self._data.items():
            source.data = {"x": epochs, "y": self._curves.column(key, 100.0 if key.endswith("accuracy") else 1.0)}
        self.figures[0].title.text = f"{len(epochs)} epoch{'s' if len(epochs) != 1 else ''}"


def quiet(shown, x, y):
    """Give a figure the look of all others."""
    shown.toolbar.logo = None
    shown.toolbar.autohide = True
    shown.xaxis.axis_label, shown.yaxis.axis_label = x, y
    for axis in (*shown.xaxis, *shown.yaxis):
        axis.axis_label_text_font_style, axis.axis_label_text_font_size = "normal", "12px"
        axis.minor_tick_line_color = None
    shown.grid.grid_line_color = "#e6e6e6"
    shown.title.text_font_size, shown.title.text_font_style = "12px", "normal"
    shown.title.text_color = GREY
    shown.outline_line_color = "#cccccc"
    shown.min_border_left = 62


def line(text, wrong=False):
    """One line of text as HTML."""
    return f'<span style="color:{RED if wrong else BLACK}">{escape(text)}</span>'
