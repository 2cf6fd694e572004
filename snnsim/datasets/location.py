"""Where the files of a data set are looked for, and where downloads go."""

import os
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from snnsim.errors import InputError

ENVIRONMENT = "SNNSIM_DATA"
INSTALLED_PACKAGE = "snnsim_data"  # the checkout's data/ as it is installed with the package
SYSTEM = Path("/usr/share/datasets")  # Debian's packages dataset-*


@dataclass(frozen=True)
class Place:
    """A folder that holds files of a data set.

    Parameters
    ----------
    folder : Path
    origin : str
        Why it was looked at: ``--data-dir``, ``SNNSIM_DATA``, ``checkout``, ``installed``, ``system`` or
        ``cache``.
    """

    folder: Path
    origin: str

    def path(self, file):
        """Return the path of a :class:`DataFile` here, plain before ``.gz``; None if it is missing."""
        for path in (self.folder / file.name, self.folder / f"{file.name}.gz"):
            if path.is_file():
                return path
        return None


def locate(source, data_dir=None):
    """Find the first place that holds any of a data set's files.

    Order: ``data_dir`` (then nothing else), the folder named by the environment variable ``SNNSIM_DATA``,
    the checkout's ``data/``, the data installed with the package, ``/usr/share/datasets``, and the cache
    folder in which downloads are put. In each, ``<folder>/<name>/`` comes first; the folder named by
    ``data_dir`` or ``SNNSIM_DATA`` may also hold the files itself.

    Parameters
    ----------
    source : IdxSource
    data_dir : path-like, optional

    Returns
    -------
    Place or None

    Raises
    ------
    InputError
        If ``data_dir`` or the folder named by the environment variable does not exist.
    """
    for place in search_places(source.name, data_dir):
        if any(place.path(file) for file in source.files):
            return place
    return None


def locate_folder(name, data_dir=None):
    """Find the first folder ``name`` that has files, in the places of :func:`locate`; InputError if there is none.

    Parameters
    ----------
    name : str
    data_dir : path-like, optional

    Returns
    -------
    Path
    """
    # A folder that is named may hold other sets, too, so that only its subfolder of that name counts.
    places = [place for place in search_places(name, data_dir) if place.folder.name == name]
    for place in places:
        if place.folder.is_dir() and any(place.folder.iterdir()):
            return place.folder
    looked = ", ".join(str(place.folder) for place in places)
    raise InputError(
        f"dataset {name}: not found in {looked}; name its folder with --data-dir or SNNSIM_DATA, or run "
        f"`snnsim data fetch {name}`"
    )


def search_places(name, data_dir=None):
    """List all places in which files of the set ``name`` are looked for, in order, existing or not."""
    if data_dir is not None:
        return _named(data_dir, name, "--data-dir")
    places = []
    if os.environ.get(ENVIRONMENT):
        places += _named(os.environ[ENVIRONMENT], name, ENVIRONMENT)
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").is_file():
        places.append(Place(checkout / "data" / name, "checkout"))
    installed = find_spec(INSTALLED_PACKAGE)
    if installed is not None:
        # An editable install adds an entry that is no folder.
        folders = [Path(folder) for folder in installed.submodule_search_locations if os.path.isdir(folder)]
        places += [Place(folder / name, "installed") for folder in folders]
    places.append(Place(SYSTEM / name, "system"))
    places.append(Place(cache_dir() / name, "cache"))
    return places


def download_dir(name, data_dir=None):
    """Folder into which ``name`` is downloaded: below ``data_dir``, ``SNNSIM_DATA``, or the cache folder."""
    if data_dir is not None:
        return Path(data_dir) / name
    if os.environ.get(ENVIRONMENT):
        return Path(os.environ[ENVIRONMENT]) / name
    return cache_dir() / name


def cache_dir():
    """Return the user's cache folder for snnsim (``$XDG_CACHE_HOME/snnsim`` or the platform's custom)."""
    if os.environ.get("XDG_CACHE_HOME"):
        base = Path(os.environ["XDG_CACHE_HOME"])
    elif sys.platform == "win32" and os.environ.get("LOCALAPPDATA"):
        base = Path(os.environ["LOCALAPPDATA"])
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path.home() / ".cache"
    return base / "snnsim"


def _named(folder, name, origin):
    if not Path(folder).is_dir():
        raise InputError(f"{origin} = {str(folder)!r}: must be an existing folder")
    return [Place(Path(folder) / name, origin), Place(Path(folder), origin)]
