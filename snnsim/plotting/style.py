"""One look for every figure: colours for any colour vision, sizes of a printed column, quiet axes."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

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

COLUMN, PAGE = 3.5, 7.0
"""Width in inches of one and of two columns of a printed page."""

TICK, TEXT, TITLE = 8, 9, 9.5
"""Sizes of type in points."""

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
    return [matplotlib.colormaps["plasma"](x) for x in np.linspace(0, 0.85, n)]


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
        "linewidth": 1.2,
    }
    return axis.plot(x, y, **(look | options))


def legend_below(figure, axis, columns=4):
    """Legend of one axis under the whole figure, each label once."""
    handles, labels = axis.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    figure.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=columns, fontsize=8, frameon=False)


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
    with replacing(path) as temporary, matplotlib.rc_context(_SAVING):
        figure.savefig(temporary, format=kind, dpi=dpi, metadata=_UNDATED[kind])
