"""NIR files."""

import io

from snnsim.errors import InputError
from snnsim.files.atomic import write_atomic
from snnsim.files.hdf5 import group_of, open_hdf5, reading
from snnsim.interchange.nir.read import from_nir
from snnsim.interchange.nir.values import library
from snnsim.interchange.nir.write import to_nir


def export_nir(network, path, *, dialect="nir", dt=None, scheme=None):
    """Write a network as a NIR file, atomically; parameters and result of :func:`to_nir`, without the graph.

    Raises
    ------
    InputError
        If the network cannot be expressed, or the file not be written.
    """
    graph, notes = to_nir(network, dialect=dialect, dt=dt, scheme=scheme)
    image = io.BytesIO()
    library().write(image, graph)
    write_atomic(path, lambda out: out.write(image.getbuffer()))
    return notes


def import_nir(path, **options):
    """Read a NIR file; options and result of :func:`from_nir`.

    Raises
    ------
    InputError
        If the file is no NIR file, or holds what snnsim does not have.
    """
    nir = library()
    with open_hdf5(path) as file, reading(path):
        tree = _tree(group_of(file, "node"))
    try:
        # Types are checked here, with the names of the nodes; some writers leave scalars where NIR wants arrays.
        graph = nir.dict2NIRNode({**tree, "type_check": False})
        parts = graph.nodes, graph.edges, graph.metadata
    except Exception as error:  # whatever a constructor of a node makes of values that it does not expect
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{path}: not a NIR file that can be read ({reason[:300]})") from error
    if not all(map(isinstance, parts, (dict, list, dict))):
        raise InputError(f"{path}: not a NIR file that can be read (no graph with nodes and edges)")
    try:
        return from_nir(graph, origin=str(path), **options)
    except InputError as error:
        if str(path) in str(error):
            raise
        raise InputError(f"{path}: {error}") from error


def _tree(group):
    """Nested dictionaries of a file's node, as NIR's own reader makes them."""
    tree = {}
    for key, item in group.items():
        if hasattr(item, "keys"):
            tree[key] = _tree(item)
        else:
            value = item[()]
            tree[key] = value.decode("utf-8") if isinstance(value, bytes) else value
    return tree
