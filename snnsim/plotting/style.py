"""One look for every figure: colours for any colour vision, sizes of a printed column, quiet axes."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from snnsim.errors import InputError
from snnsim.files.atomic import replacing

# Okabe and Ito's colours, told apart with any colour vision.
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, RED, PURPLE = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
GREY = "#666666"
CYCLE = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY, BLACK)
"""Colours of lines that mean nothing else, in order; yellow is too light on white."""

SCHEME_COLOURS = {"forward_euler": RED, "backward_euler": BLUE, "exact": GREEN, "bilinear": ORANGE}
SCHEME_MARKERS = {"forward_euler": "v", "backward_euler": "^", "exact": "o", "bilinear": "s"}
SCHEME_NAMES = {
    "forward_euler": "forward Euler",
    "backward_euler": "backward Euler",
    "exact": "exact (impulse invariant)",
    "bilinear": "bilinear",
}

ESTIMATOR_COLOURS = {"exact": BLACK, "literal": "#A6611A", "tssl": PURPLE, "surrogate": SKY}
"""Of gradients; none of them is a scheme's, and step sizes are a scale of their own, see :func:`step_colours`."""

COLUMN, PAGE, WIDE = 3.5, 7.0, 9.5
"""Width in inches of one and of two columns of a printed page, and the most that shrinks to two with readable type."""

TICK, LEGEND, TEXT, TITLE = 8, 8, 9, 9.5
"""Sizes of type in points."""
NOTE = 7
"""Size of type beside a panel."""

DOT, LINE = 2.0, 1.3
"""Area of a spike's dot in points squared, and width of a line in points: the same in every raster and curve."""

DIVERGING, SEQUENTIAL = "RdBu_r", "viridis"

FORMATS = ("png", "svg", "pdf")
_SAVING = {"pdf.fonttype": 42, "svg.hashsalt": "snnsim", "path.simplify_threshold": 0.2}
_UNDATED = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}


def new_figure(width, height, rows=1, columns=1, **options):
    """Figure that no window owns, and its axes as a (rows, columns) array; sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(which="both", labelsize=TICK)
        axis.grid(True, color="#dddddd", linewidth=0.5)
        axis.set_axisbelow(True)
        axis.xaxis.label.set_size(TEXT)
        axis.yaxis.label.set_size(TEXT)
    return figure, axes


def step_colours(n):
    """Colours of n step sizes, from the smallest to the largest: a scale, as no other quantity has."""
    return [colormaps["plasma"](x) for x in np.linspace(0, 0.85, n)]


def layer_colours(names):
    """Colour of each population: ``input`` black, ``output`` vermilion, hidden layers blue, green, purple, ..."""
    hidden = (BLUE, GREEN, PURPLE, ORANGE, SKY)
    colours, k = {}, 0
    for name in names:
        if name in ("input", "output"):
            colours[name] = BLACK if name == "input" else RED
        else:
            colours[name], k = hidden[k % len(hidden)], k + 1
    return colours


def scheme_line(axis, scheme, x, y, **options):
    """Line with the colour, marker and name of a scheme."""
    look = {
        "color": SCHEME_COLOURS[scheme],
        "marker": SCHEME_MARKERS[scheme],
        "label": SCHEME_NAMES[scheme],
        "markersize": 3.5,
        "linewidth": LINE,
    }
    return axis.plot(x, y, **(look | options))


def titled(axis, text, **options):
    """Title of a panel, above its left edge."""
    axis.set_title(text, **({"fontsize": TITLE, "loc": "left"} | options))


def headed(figure, text):
    """Title of a figure, at its left edge."""
    figure.suptitle(text, fontsize=TITLE, x=0.01, ha="left")


def legend_in(axis, **options):
    """Legend inside a panel."""
    axis.legend(**({"fontsize": LEGEND, "frameon": False} | options))


def legend_below(figure, *axes):
    """Legend of some axes under the whole figure, each label once, in as many columns as its width has room for."""
    pairs = [pair for axis in axes for pair in zip(*reversed(axis.get_legend_handles_labels()), strict=True)]
    unique = dict(pairs)
    if not unique:
        return
    # A letter is about 0.6 of its size wide; a handle with the space around it takes about five.
    widest = max(len(label) + 6 for label in unique) * 0.6 * LEGEND / 72
    columns = max(1, min(len(unique), int(figure.get_figwidth() / widest)))
    figure.legend(
        unique.values(), unique.keys(), loc="outside lower center", ncols=columns, fontsize=LEGEND, frameon=False
    )  # fmt: skip


def colour_bar(figure, image, axes, label, **options):
    """Colour bar of an image, with its label."""
    drawn = figure.colorbar(image, ax=axes, **options)
    drawn.set_label(label, fontsize=TEXT)
    drawn.ax.tick_params(labelsize=TICK)
    drawn.outline.set_linewidth(0.5)
    return drawn


def side_note(axis, text, colour=GREY):
    """Small text to the right of a panel, where the layout leaves room for it."""
    axis.annotate(
        text, (1, 0.5), (6, 0), xycoords="axes fraction", textcoords="offset points", va="center", fontsize=NOTE,
        color=colour, annotation_clip=False,
    )  # fmt: skip


def readable(figure):
    """Give logarithmic axes ticks that can be read: plain numbers, 1-2-5 within little more than a decade."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if axis.get_scale() != "log" or not isinstance(axis.get_major_locator(), LogLocator):
                continue
            base = axis.get_transform().base
            low, high = sorted(axis.get_view_interval())
            if base != 10 or low <= 0:
                continue
            decades = np.log10(high / low)
            axis.set_minor_formatter(NullFormatter())
            if decades < 0.7:
                axis.set_major_locator(MaxNLocator(nbins=4, steps=(1, 2, 2.5, 5, 10)))
                axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.6g}"))
            elif decades < 1.7:
                axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.6g}"))
            elif np.ceil(np.log10(low)) >= -3 and np.floor(np.log10(high)) <= 4:  # the decades that have a label
                axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.6g}"))


def figure_format(path):
    """Format that a file name asks for: ``png``, ``svg`` or ``pdf``; InputError for any other."""
    suffix = Path(path).suffix.lower().lstrip(".")
    if suffix not in FORMATS:
        raise InputError(f"{path}: a figure needs one of the suffixes {', '.join('.' + name for name in FORMATS)}")
    return suffix


def save_figure(figure, path, dpi=300):
    """Write a figure, atomically; the same figure gives the same bytes.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : str or Path
        ``.png``, ``.svg`` or ``.pdf``.
    dpi : int
        Dots per inch of PNG, and of the parts of SVG and PDF that are pictures.

    Raises
    ------
    InputError
        For another suffix, or if the file cannot be written.
    """
    kind = figure_format(path)
    readable(figure)
    with replacing(path) as temporary, matplotlib.rc_context(_SAVING):
        figure.savefig(temporary, format=kind, dpi=dpi, metadata=_UNDATED[kind])
