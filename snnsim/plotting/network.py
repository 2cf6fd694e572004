"""The graph of a network: populations as boxes, connections as arrows."""

import numpy as np
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from snnsim.connections.maps import described
from snnsim.plotting.style import BLACK, GREY, NOTE, TEXT, headed, layer_colours, new_figure
from snnsim.schedule import components

BOX = 1.15, 0.5
"""Width and height of a population's box in inches."""
LABELLED = 14
"""Connections up to which each says what it is."""


def plot_network(network):
    """Draw populations from left to right as they follow from each other, those of a cycle above each other.

    Parameters
    ----------
    network : Network

    Returns
    -------
    matplotlib.figure.Figure
    """
    columns = _columns(network)
    place = {}
    tallest = max(len(names) for names in columns)
    for x, names in enumerate(columns):
        for k, name in enumerate(names):
            place[name] = (2.15 * x, 1.5 * ((len(names) - 1) / 2 - k))
    edge, around = 0.75 * (tallest - 1) + BOX[1] / 2, _around(network, place)
    width, height = 2.15 * (len(columns) - 1) + BOX[0] + 0.4, 2 * edge + 0.3 + around
    figure, axes = new_figure(max(width, 3.2), height + 0.4)
    axis = axes[0, 0]
    axis.set_aspect("equal")
    axis.axis("off")
    colours = layer_colours(place)
    connections = list(network.connections_by_name.values())
    pairs = {(c.source, c.target) for c in connections}
    for connection in connections:
        several = len(connections) > LABELLED
        both = (connection.target, connection.source) in pairs
        _arrow(axis, network, connection, place, colours[connection.source], both, "" if several else None)
    for name, (x, y) in place.items():
        _box(axis, network.populations_by_name[name], x, y, colours[name])
    axis.set_xlim(-BOX[0] / 2 - 0.2, 2.15 * (len(columns) - 1) + BOX[0] / 2 + 0.2)
    axis.set_ylim(-edge - 0.15, edge + 0.15 + around)
    count = sum(np.size(value) for name, value in network.tensors.items() if name in network.connections_by_name)
    headed(
        figure,
        f"{len(place)} population{'s' if len(place) != 1 else ''}, {len(connections)} "
        f"connection{'s' if len(connections) != 1 else ''}, {count:,} weights",
    )
    return figure


def _around(network, place):
    """Inches above the boxes for what leads back, to itself or past others."""
    spans = [
        place[c.target][0] - place[c.source][0] for c in network.connections_by_name.values() if c.source != c.target
    ]
    high = max([0.12 * abs(span) for span in spans if span < 0 or span > 2.2], default=0.0)
    own = any(c.source == c.target for c in network.connections_by_name.values())
    return max(high, 0.95 if own else 0.0)


def _columns(network):
    """Names of populations by how many steps they stand behind the inputs; a cycle counts as one."""
    groups = [(p.name,) for p in network.populations_by_name.values() if p.is_input]
    groups += [component.populations for component in components(network, instant=True)]
    of = {name: k for k, group in enumerate(groups) for name in group}
    depth = [0] * len(groups)
    for k, group in enumerate(groups):  # sources come first
        into = [c for c in network.connections_by_name.values() if c.target in group and of[c.source] != k]
        depth[k] = max([depth[of[c.source]] + 1 for c in into], default=0)
    return [[n for g, d in zip(groups, depth, strict=True) if d == level for n in g] for level in range(max(depth) + 1)]


def _box(axis, population, x, y, colour):
    box = FancyBboxPatch(
        (x - BOX[0] / 2, y - BOX[1] / 2), *BOX, boxstyle="round,pad=0,rounding_size=0.08", facecolor="white",
        edgecolor=colour, linewidth=1.5, zorder=3,
    )  # fmt: skip
    axis.add_patch(box)
    kind = "input" if population.is_input else type(population.neuron).__name__.removesuffix("Parameters")
    shape = population.shape
    size = described(shape) if len(shape) > 1 else f"{population.size:,}"
    axis.text(x, y + 0.09, population.name, ha="center", va="center", fontsize=TEXT, color=colour, zorder=4)
    axis.text(x, y - 0.12, f"{size}, {kind}" if kind != population.name else size, ha="center", va="center",
              fontsize=NOTE, color=GREY, zorder=4)  # fmt: skip


def _arrow(axis, network, connection, place, colour, both, text):
    (x0, y0), (x1, y1) = place[connection.source], place[connection.target]
    look = {"arrowstyle": "-|>", "mutation_scale": 9, "color": colour, "linewidth": 1.1, "shrinkA": 0, "shrinkB": 0,
            "zorder": 2}  # fmt: skip
    text = _what(network, connection) if text is None else text
    if connection.source == connection.target:
        start, end = (x0 - 0.22, y0 + BOX[1] / 2), (x0 + 0.22, y0 + BOX[1] / 2)
        axis.add_patch(FancyArrowPatch(start, end, connectionstyle="arc3,rad=-1.6", **look))
        axis.text(x0, y0 + BOX[1] / 2 + 0.42, text, ha="center", va="bottom", fontsize=NOTE, color=BLACK)
        return
    if abs(x1 - x0) < 1e-9:  # within a cycle
        side = np.sign(y1 - y0)
        start, end = (x0, y0 + side * BOX[1] / 2), (x1, y1 - side * BOX[1] / 2)
        bend = 0.35 if both else 0.0
        middle = (x0 + (0.25 if both else 0.06) * side, (y0 + y1) / 2)
        align = "left" if side > 0 or not both else "right"
        rotation = 0
    else:
        side = np.sign(x1 - x0)
        start, end = (x0 + side * BOX[0] / 2, y0), (x1 - side * BOX[0] / 2, y1)
        # What jumps over a column, or runs back, goes around it.
        bend = -0.3 * side if abs(x1 - x0) > 2.2 or side < 0 else 0.0
        lift = 0.06 + 0.5 * abs(bend) * abs(x1 - x0) if bend else 0.06
        middle, align, rotation = ((start[0] + end[0]) / 2, (y0 + y1) / 2 + lift), "center", 0
    axis.add_patch(FancyArrowPatch(start, end, connectionstyle=f"arc3,rad={bend}", **look))
    axis.text(*middle, text, ha=align, va="bottom" if align == "center" else "center", fontsize=NOTE, color=BLACK,
              rotation=rotation, zorder=5, linespacing=1.1)  # fmt: skip


def _what(network, connection):
    """Shape of a connection, pooling and delay, and how many weights it has."""
    shape = connection.shape
    kind = type(shape).__name__
    words = {"Dense": "dense", "OneToOne": "one to one", "Convolution": "conv"}.get(kind, kind)
    if kind == "Convolution":
        words += " {}x{}".format(*network.tensors[connection.name].shape[1:3])
    if getattr(shape, "pool", None) is not None:
        words = f"pool, {words}"
    lines = [words, f"{np.size(network.tensors[connection.name]):,} weights"]
    delay = connection.delay
    if np.any(np.asarray(delay) > 0):
        lines.append(f"delay {float(delay):g}" if np.ndim(delay) == 0 else "delays")
    return "\n".join(lines)
