"""The page: what is chosen, and which of its parts are drawn when something changes."""

import time

import numpy as np
from bokeh.layouts import column, row
from bokeh.models import (
    Button,
    ColumnDataSource,
    DataTable,
    Div,
    NumberFormatter,
    RadioButtonGroup,
    Range1d,
    Select,
    Slider,
    Spinner,
    TableColumn,
    TabPanel,
    Tabs,
    Toggle,
)

from snnsim.errors import InputError
from snnsim.plotting.style import layer_colours
from snnsim.plotting.trace import labels_of
from snnsim.recording.layout import UNKNOWN
from snnsim.recording.units import labelled
from snnsim.viewer.maps import mosaic_of
from snnsim.viewer.neuron import close_look
from snnsim.viewer.panels import Curve, Maps, Neuron, Raster, Readout, line
from snnsim.viewer.source import HDF5
from snnsim.viewer.trials import OUTCOMES, described, matching, partner

MOST_ROWS = 20_000
"""Trials that the table shows."""
SOON = 40
"""Milliseconds after a zoom or pan until it is drawn, so that those that follow are drawn with it."""
PERIOD = 300
"""Milliseconds between looks at what has come in."""
ANY = "any label"


class Page:
    """One browser's view of the sources.

    Parameters
    ----------
    document : bokeh.document.Document
    sources : sequence of snnsim.viewer.source.Source
        One or two; the trials of the first are those of the table.
    curves : snnsim.viewer.curves.Curves, optional
    """

    def __init__(self, document, sources, curves=None):
        self._document, self._sources, self._curves = document, list(sources), curves
        self._trial, self._whole, self._neuron = None, False, None
        self._seen, self._runs = [-1] * len(self._sources), [None] * len(self._sources)
        self._columns = [column(sizing_mode="stretch_width") for _ in self._sources]
        self._rasters, self._maps = [[] for _ in self._sources], [{} for _ in self._sources]
        self._x, self._y = Range1d(0, 1), {}
        self._pending, self._silent, self._followed = False, False, None
        for edge in ("start", "end"):
            on(self._x, edge, self._moved)
        self._make_controls()
        self._close = Neuron(len(self._sources))
        self._curve = None if curves is None else Curve(curves)
        self._make_layout()
        document.title = "snnsim view"
        document.add_periodic_callback(self._look, PERIOD)
        self._look()

    # what the page is made of

    def _make_controls(self):
        self._notes = [Div(text="", disable_math=True, name=f"note-{k}") for k in range(len(self._sources))]
        self._mode = RadioButtonGroup(labels=["one trial", "whole recording"], active=0, name="mode")
        on(self._mode, "active", lambda: self._set_whole(self._mode.active == 1))
        self._number = Spinner(title="trial", low=0, step=1, value=0, width=90, name="trial")
        on(self._number, "value", lambda: self._silent or self._choose(self._number.value))
        before, after = Button(label="◀", width=40, name="before"), Button(label="▶", width=40, name="after")
        before.on_click(lambda: self._step(-1))
        after.on_click(lambda: self._step(1))
        self._label = Select(title="label", options=[ANY], value=ANY, width=110, name="label")
        self._outcome = Select(title="outcome", options=list(OUTCOMES), value="all", width=120, name="outcome")
        for widget in (self._label, self._outcome):
            on(widget, "value", lambda: self._list())
        self._listed = ColumnDataSource({key: [] for key in ("trial", "label", "prediction", "first_spike")})
        self._listed.selected.on_change("indices", self._picked)
        whole = NumberFormatter(format="0", nan_format="-")
        decimals = NumberFormatter(format="0.00", nan_format="-")
        self._first = TableColumn(field="first_spike", title="first spike", width=95, formatter=decimals)
        columns = [
            TableColumn(field="trial", title="trial", width=55, formatter=whole),
            TableColumn(field="label", title="label", width=45, formatter=whole),
            TableColumn(field="prediction", title="predicted", width=70, formatter=whole),
            self._first,
        ]  # fmt: skip
        self._table = DataTable(
            source=self._listed, columns=columns, width=280, height=380, index_position=None, name="table",
            selectable=True, sortable=False, reorderable=False,
        )  # fmt: skip
        self._count, self._chosen = Div(text="", disable_math=True), Div(text="", disable_math=True, name="chosen")
        self._speed = Div(text="", disable_math=True, name="speed")
        self._controls = column(
            self._mode, row(self._number, column(Div(text="&nbsp;", height=14), row(before, after))),
            row(self._label, self._outcome), self._count, self._table, self._speed, width=290,
        )  # fmt: skip

    def _make_layout(self):
        self._map_of = Select(title="population", options=[], width=150, name="map-population")
        self._map_what = Select(title="what", options=["spikes"], value="spikes", width=110, name="map-what")
        self._until = Slider(title="until", start=0, end=1, value=1, step=0.1, width=320, name="map-time")
        self._window = Slider(title="window", start=0.1, end=1, value=1, step=0.1, width=220, name="map-window")
        play = Toggle(label="play", width=70, name="map-play")
        on(play, "active", lambda: self._set_playing(play.active))
        self._playing = None
        self._map_figures = row(sizing_mode="stretch_width")
        self._map_note = Div(text="", disable_math=True)
        for widget in (self._map_of, self._map_what, self._until, self._window):
            on(widget, "value", lambda: self._silent or self._draw_maps())
        rasters = row(*self._columns, sizing_mode="stretch_width")
        shown = column(self._chosen, rasters, self._close.v, self._close.current, sizing_mode="stretch_width")
        maps = column(
            row(self._map_of, self._map_what, self._until, self._window, play), self._map_note, self._map_figures,
            sizing_mode="stretch_width",
        )  # fmt: skip
        panels = [TabPanel(child=shown, title="Spikes"), TabPanel(child=maps, title="Feature maps")]
        if self._curve is not None:
            self._curve_note = Div(text="", disable_math=True, name="curve-note")
            drawn = column(self._curve_note, row(*self._curve.figures, sizing_mode="stretch_width"),
                           sizing_mode="stretch_width")  # fmt: skip
            panels.append(TabPanel(child=drawn, title="Training"))
        self._tabs = Tabs(tabs=panels, sizing_mode="stretch_width")
        on(self._tabs, "active", lambda: self._draw_maps())
        heads = row(*[column(note, sizing_mode="stretch_width") for note in self._notes], sizing_mode="stretch_width")
        self._document.add_root(
            column(heads, row(self._controls, self._tabs, sizing_mode="stretch_width"), sizing_mode="stretch_width")
        )

    def _make_rasters(self, k):
        """Make the figures of a source that was opened, or of a new run in its place."""
        source = self._sources[k]
        traces = source.traces
        colours = layer_colours(traces.populations)
        rasters = []
        for name, population in traces.populations.items():
            n = len(population.neuron_ids)
            if name in source.trains:
                if name not in self._y:
                    self._y[name] = Range1d(n - 0.4, -0.6)
                    for edge in ("start", "end"):
                        on(self._y[name], edge, self._moved)
                rasters.append(raster := Raster(source, name, colours[name], self._x, self._y[name], self._tapped))
                on(raster.figure, "inner_width", self._moved)
            elif population.recorded and not population.spiking and "v" in traces.info["record"]:
                rasters.append(Readout(source, name, colours[name], self._x))
        if rasters:
            rasters[-1].figure.xaxis.axis_label = source.units.axis
        self._rasters[k] = rasters
        self._columns[k].children = [raster.figure for raster in rasters]
        names = [n for n in source.trains if mosaic_of(traces, n) is not None]
        self._maps[k] = {name: Maps(source, name, mosaic_of(traces, name)) for name in names}
        if k == 0:
            self._silent = True
            duration, unit = source.duration, source.units.time
            step = source.step or duration / 100
            self._until.title, self._window.title = labelled("until", unit), labelled("window", unit)
            self._first.title = labelled("first spike", unit)
            self._close.current.xaxis.axis_label = labelled("time in the trial", unit)
            self._map_of.options = names
            self._map_of.value = names[0] if names else ""
            self._map_what.options = ["spikes", "v"] if "v" in traces.info["record"] else ["spikes"]
            self._until.update(start=step, end=duration, step=step, value=duration)
            self._window.update(start=step, end=duration, step=step, value=duration)
            self._silent = False
        told = "no population of this recording is a map (its nodes.h5 has no x, y, channel)"
        self._map_note.text = line("" if names else told)

    # what is chosen

    def _set_whole(self, whole):
        self._whole = whole
        self._frame()
        self._draw()

    def _step(self, by):
        trials = np.asarray(self._listed.data["trial"])
        if len(trials) == 0:
            return
        place = int(np.searchsorted(trials, -1 if self._trial is None else self._trial))
        here = place < len(trials) and trials[place] == self._trial
        place = place + by if here or by < 0 else place
        self._choose(int(trials[min(max(place, 0), len(trials) - 1)]))

    def _picked(self, _attribute, _old, new):
        if new and not self._silent:
            self._choose(int(self._listed.data["trial"][new[0]]))

    def _choose(self, trial):
        source = self._sources[0]
        if trial is None or source.traces is None or not source.first <= trial < source.loaded:
            return
        self._trial = int(trial)
        if self._whole:
            self._silent, self._whole = True, False
            self._mode.active, self._silent = 0, False
        self._mark()
        self._frame()
        self._draw()
        self._draw_neuron()
        self._draw_maps()

    def _mark(self):
        """Let number, table and text show the trial that is chosen."""
        self._silent = True
        self._number.value = self._trial
        trials = np.asarray(self._listed.data["trial"])
        self._listed.selected.indices = np.flatnonzero(trials == self._trial).tolist()
        self._silent = False

    def _frame(self):
        """Show all of the trial, or of the recording."""
        source = self._sources[0]
        if source.traces is None:
            return
        end = source.duration
        if self._whole:
            end = self._end()
        begin = self._begin() if self._whole else 0.0
        margin = 0.005 * (end - begin) + 1e-9  # so that spikes at both ends are not cut in half
        begin, end = begin - margin, end + margin
        self._silent = True
        self._x.update(start=begin, end=end, reset_start=begin, reset_end=end)
        self._silent = False
        self._followed = self._x.end if self._whole else None

    def _begin(self):
        source = self._sources[0]
        return source.start(source.first) if len(source.trials) > source.first else 0.0

    def _end(self):
        return max(
            [s.start(s.loaded - 1) + s.duration for s in self._sources if s.traces and s.loaded > s.first] or [1.0]
        )

    def _of_source(self, k, trial):
        """Trial of source ``k`` that belongs to one of the first, or None."""
        source = self._sources[k]
        if trial is None or source.traces is None:
            return None
        found = trial if k == 0 else partner(self._sources[0].trials, source.trials, trial)
        return found if found is not None and source.first <= found < source.loaded else None

    def _tapped(self, name, neuron, place):
        trial = self._trial
        if self._whole:
            starts = self._sources[0].trials.start_time * self._sources[0].units.of_ms
            trial = int(np.clip(np.searchsorted(starts, place, "right") - 1, self._sources[0].first, len(starts) - 1))
        self._neuron = name, neuron, trial
        for rasters in self._rasters:
            for raster in rasters:
                raster.choose(neuron if raster.name == name else None)
        self._draw_neuron()
        self._say_chosen()

    # drawing

    def _moved(self):
        if self._silent or self._pending:
            return
        self._pending = True
        self._document.add_timeout_callback(self._late, SOON)

    def _late(self):
        self._pending = False
        self._draw()
        if not self._whole:
            self._draw_neuron()

    def _draw(self):
        """Draw the rasters anew."""
        begin = time.perf_counter()
        for k, source in enumerate(self._sources):
            trial = None if self._whole else self._of_source(k, self._trial)
            if source.traces is None or (trial is None and not self._whole):
                continue
            with HDF5:
                self._guarded(k, self._draw_source, k, trial)
        self._speed.text = line(f"drawn in {1000 * (time.perf_counter() - begin):.0f} ms")
        self._say_chosen()

    def _draw_source(self, k, trial):
        source = self._sources[k]
        if source.traces is None:
            return
        start = 0.0 if trial is None else source.start(trial)
        for raster in self._rasters[k]:
            raster.draw(trial, start)

    def _draw_neuron(self):
        if self._neuron is None:
            return
        name, neuron, trial = self._neuron
        if not self._whole:
            trial = self._trial
        window = None if self._whole else (min(self._x.start, self._x.end), max(self._x.start, self._x.end))
        told = [f"{name}, neuron {neuron}, trial {trial}"]
        self._close.v.visible = self._close.current.visible = True
        for k, source in enumerate(self._sources):
            mine, close = self._of_source(k, trial), None
            with HDF5:
                if mine is not None and source.traces is not None and name in source.traces.populations:
                    close = self._guarded(k, close_look, source.traces, name, mine, neuron, window)
            self._close.show(k, close)
            if close is not None:
                told.append(f"{len(close.spikes)} spike{'s' if len(close.spikes) != 1 else ''}")
                told += [close.missing] if close.missing else []
        info = self._sources[0].traces.info if self._sources[0].traces is not None else None
        if info is not None:
            low, high = window or (0.0, self._sources[0].duration)
            self._close.x_range.update(start=low, end=high)
            self._close.v.yaxis.axis_label = labelled("v", info["voltage_unit"])
            self._close.current.yaxis.axis_label = labelled("i_syn", info["current_unit"])
        self._close.v.title.text = "; ".join(told).replace("$$", "$ $")

    def _draw_maps(self):
        if self._tabs.active != 1 or self._trial is None:
            return
        name = self._map_of.value
        figures = []
        for k in range(len(self._sources)):
            trial, shown = self._of_source(k, self._trial), self._maps[k].get(name)
            if not shown or trial is None:
                continue
            with HDF5:
                if self._map_what.value == "v":
                    self._guarded(k, shown.membranes, trial, self._until.value)
                else:
                    highest = self._highest(k, trial)
                    self._guarded(k, shown.spikes, trial, self._until.value, self._window.value, highest)
            figures.append(shown.figure)
        if self._map_figures.children != figures:
            self._map_figures.children = figures

    def _highest(self, k, trial):
        """Most spikes of a neuron of the map in the window, over the trial: the scale holds for all of it."""
        source = self._sources[k]
        times, rows = source.trains[self._map_of.value].arrays(trial - source.first)
        if not len(times):
            return 1
        window, start = self._window.value, source.start(trial)
        bins = int(np.ceil(source.duration / window - 1e-9))
        which = np.clip(((times - start) / window - 1e-9).astype(np.int64), 0, bins - 1)
        return int(np.bincount(which * (int(rows.max()) + 1) + rows).max())

    def _set_playing(self, playing):
        if self._playing is not None:
            self._document.remove_periodic_callback(self._playing)
            self._playing = None
        if playing:
            self._playing = self._document.add_periodic_callback(self._play, 120)

    def _play(self):
        later = self._until.value + self._until.step
        self._until.value = self._until.start if later > self._until.end * (1 + 1e-9) else later

    def _guarded(self, k, act, *arguments):
        """Do something with a source; what is wrong with its files is said in its line, and nothing of it is shown."""
        try:
            return act(*arguments)
        except InputError as error:
            self._sources[k].fail(str(error))
            return None

    # what has come in

    def _look(self):
        for k, source in enumerate(self._sources):
            if source.version != self._seen[k]:
                self._seen[k] = source.version
                self._update(k)
        if self._curve is not None and getattr(self, "_epochs_seen", None) != self._curves.version:
            self._epochs_seen = self._curves.version
            self._curve.draw()
            self._curve_note.text = line(self._curves.error, wrong=True) if self._curves.error else ""

    def _update(self, k):
        source = self._sources[k]
        self._notes[k].text = f"<b>{_escaped(source.path)}</b> {line(source.note(), bool(source.error))}"
        with HDF5:
            run = None if source.traces is None else source.traces.info["run_id"]
            if run != self._runs[k]:
                self._runs[k] = run
                if run is None:
                    self._rasters[k], self._columns[k].children = [], []
                    return
                self._guarded(k, self._make_rasters, k)
                opened = [s.traces for s in self._sources if s.traces is not None]
                if len(opened) == len(self._sources):
                    for j, label in enumerate(labels_of(opened)):
                        self._close.call(j, label)
                if k == 0:
                    self._frame()
        if source.traces is None:
            return
        if k == 0:
            self._list()
            if self._trial is None and source.loaded > source.first:
                self._trial = source.first
                self._mark()
        if self._whole and self._followed == self._x.end:
            self._frame()
        if self._whole or len(self._columns) > 1 or not self._drawn():
            self._draw()

    def _drawn(self):
        return self._chosen.text != "" or self._trial is None

    def _list(self):
        """Fill the table of trials."""
        source = self._sources[0]
        if source.trials is None:
            return
        trials = source.trials[: source.loaded]
        labels = np.unique(trials.label[trials.label != UNKNOWN])
        options = [ANY, *map(str, labels[:200])]
        if self._label.options != options:
            self._label.options = options
        label = None if self._label.value == ANY else int(self._label.value)
        found = matching(trials, label, self._outcome.value, source.first)
        self._count.text = line(
            f"{len(found):,} of {max(len(trials) - source.first, 0):,} trials"
            + (f"; the first {MOST_ROWS:,} are listed" if len(found) > MOST_ROWS else "")
        )
        found = found[:MOST_ROWS]
        shown = trials[found]
        known = {key: np.where(shown[key] == UNKNOWN, np.nan, shown[key]) for key in ("label", "prediction")}
        self._silent = True
        self._listed.data = {
            "trial": found, **known, "first_spike": shown.first_spike * source.units.of_ms,
        }  # fmt: skip
        self._listed.selected.indices = np.flatnonzero(found == self._trial).tolist()
        self._number.update(low=source.first, high=max(source.loaded - 1, source.first))
        self._silent = False

    def _say_chosen(self):
        source = self._sources[0]
        if self._whole or self._trial is None or source.trials is None or self._trial >= len(source.trials):
            self._chosen.text = line("the whole recording, trials one after another" if self._whole else "")
            return
        told = [described(source.trials[self._trial], self._trial, source.units)]
        for k in range(1, len(self._sources)):
            mine = self._of_source(k, self._trial)
            told.append(
                "no such trial"
                if mine is None
                else described(self._sources[k].trials[mine], mine, self._sources[k].units)
            )
        if self._neuron is None:
            told.append("click on a neuron's row to see its membrane")
        self._chosen.text = line(" | ".join(told))


def on(model, name, act):
    """Call ``act`` without arguments when a property of a model changes."""
    model.on_change(name, lambda attr, old, new: act())


def _escaped(text):
    from html import escape

    return escape(str(text))
