"""Where a file comes from: versions of everything that computed it."""

import platform
import sys
from importlib import metadata

_PACKAGES = ("snnsim", "numpy", "numba", "scipy", "h5py")


def provenance():
    """Versions and machine as a flat dictionary of strings, stored in every file."""
    versions = {"python": platform.python_version(), "system": platform.system(), "machine": platform.machine()}
    for name in _PACKAGES:
        try:
            # Loaded modules know it; the search takes half a millisecond a package.
            versions[name] = getattr(sys.modules.get(name), "__version__", None) or metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    versions["byteorder"] = sys.byteorder
    return versions
