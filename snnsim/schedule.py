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


def components(network, instant=False):
    """Strongly connected components of the populations that are no inputs, sources first.

    Parameters
    ----------
    network : Network
    instant : bool
        Whether a cycle of connections without delay is allowed; its populations then come by name.

    Returns
    -------
    list of Component

    Raises
    ------
    InputError
        For a cycle of connections without delay, unless ``instant``.
    """
    nodes = [p.name for p in network.populations_by_name.values() if not p.is_input]
    edges = [c for c in network.connections_by_name.values() if c.source in nodes]
    labels = _strong(nodes, edges)
    groups = {}
    for name, label in zip(nodes, labels, strict=True):
        groups.setdefault(label, []).append(name)
    of = {name: label for label, group in groups.items() for name in group}
    between = [(of[c.source], of[c.target]) for c in edges if of[c.source] != of[c.target]]
    first = {label: nodes.index(group[0]) for label, group in groups.items()}
    made = []
    for label in _topological(sorted(groups, key=first.get), between, first.get):
        group = groups[label]
        inner = [c for c in edges if c.source in group and c.target in group]
        undelayed = [(c.source, c.target) for c in inner if not c.delayed]
        names = ordered(sorted(group), undelayed)
        if names is None and instant:
            names = sorted(group)
        if names is None:
            loop = ", ".join(f"{a}->{b}" for a, b in undelayed)
            raise InputError(f"network: a cycle without delay ({loop}): give one of its connections a delay")
        inner.sort(key=lambda c: (names.index(c.target), c.name))
        made.append(Component(tuple(names), tuple(inner)))
    return made


def check_delays(network, dt, duration):
    """Refuse delays that a trial, or its clock, cannot run.

    Parameters
    ----------
    network : Network
    dt : float or None
        Of a step; None in continuous time, where a cycle needs none.
    duration : float
        Of a trial.

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
    for connection in feedback(network) if dt is not None else ():
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


def ordered(names, edges):
    """Names with the source of every edge before its target, otherwise as they come; None if there is a cycle."""
    names = list(names)
    return _topological(names, edges, names.index)


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
