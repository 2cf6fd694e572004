"""In which order the populations of a network advance: strongly connected components, one after another.

A component without a cycle is one population, which advances through a whole trial at once, since its input is known. A
component with a cycle advances step by step; inside a step its populations follow the connections without delay, so
every cycle must have a delay of at least a step.
"""

from dataclasses import dataclass

import numpy as np

from snnsim.errors import InputError


@dataclass(frozen=True)
class Component:
    """Populations that advance together.

    Parameters
    ----------
    populations : tuple of str
        In topological order of the connections without delay.
    inner : tuple of Connection
        Connections between them, by target, then by name.
    """

    populations: tuple
    inner: tuple


def components(network):
    """Strongly connected components of the populations that are no inputs, sources first.

    Parameters
    ----------
    network : Network

    Returns
    -------
    list of Component

    Raises
    ------
    InputError
        For a cycle of connections without delay.
    """
    names = [p.name for p in network.populations_by_name.values() if not p.is_input]
    edges = [c for c in network.connections_by_name.values() if c.source in names]
    labels = _strong(names, edges)
    groups = {}
    for name, label in zip(names, labels, strict=True):
        groups.setdefault(label, []).append(name)
    of = {name: label for label, group in groups.items() for name in group}
    between = [(of[c.source], of[c.target]) for c in edges if of[c.source] != of[c.target]]
    first = {label: names.index(group[0]) for label, group in groups.items()}
    made = []
    for label in _topological(sorted(groups, key=first.get), between, first.get):
        group = groups[label]
        inner = [c for c in edges if c.source in group and c.target in group]
        instant = [(c.source, c.target) for c in inner if not c.delayed]
        ordered = _topological(sorted(group), instant, lambda name: name)
        if ordered is None:
            loop = ", ".join(f"{a}->{b}" for a, b in instant)
            raise InputError(f"network: a cycle without delay ({loop}): give one of its connections a delay")
        inner.sort(key=lambda c: (ordered.index(c.target), c.name))
        made.append(Component(tuple(ordered), tuple(inner)))
    return made


def check_delays(network, dt, duration):
    """Refuse delays that a clock cannot run.

    Parameters
    ----------
    network : Network
    dt, duration : float
        Of a step and of a trial.

    Raises
    ------
    InputError
        For a delay as long as the trial, or one below a step on a connection that closes a cycle.
    """
    for connection in network.connections:
        longest = float(np.max(connection.delay)) if np.size(connection.delay) else 0.0
        if longest >= duration:
            raise InputError(
                f"connection {connection.name}: delay {longest:g}: must be shorter than the trial, {duration:g}"
            )
    for connection in feedback(network):
        least = float(np.min(connection.delay)) if np.size(connection.delay) else dt
        if least < dt * (1 - 1e-5):
            raise InputError(
                f"connection {connection.name}: delay {least:g}: closes a cycle, so it must be at least a step, {dt:g}"
            )


def feedback(network):
    """List the connections inside components that lead to the same or an earlier population."""
    found = []
    for component in components(network):
        place = {name: k for k, name in enumerate(component.populations)}
        found += [c for c in component.inner if place[c.target] <= place[c.source]]
    return found


def _strong(names, edges):
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not names:
        return []
    at = {name: k for k, name in enumerate(names)}
    pre, post = [at[c.source] for c in edges], [at[c.target] for c in edges]
    graph = coo_array((np.ones(len(edges)), (pre, post)), shape=(len(names), len(names)))
    return connected_components(graph, connection="strong")[1].tolist()


def _topological(nodes, edges, rank):
    """Nodes with every edge's source before its target, ties by rank; None if there is a cycle."""
    waiting, ordered = list(nodes), []
    while waiting:
        free = [n for n in waiting if not any(b == n and a in waiting for a, b in edges)]
        if not free:
            return None
        ordered.append(min(free, key=rank))
        waiting.remove(ordered[-1])
    return ordered
