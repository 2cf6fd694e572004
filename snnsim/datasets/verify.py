"""Checking files against their canonical SHA-256 sums."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from snnsim.datasets.idx import CHUNK, open_idx
from snnsim.datasets.registry import SOURCES
from snnsim.errors import InputError


@dataclass(frozen=True)
class FileCheck:
    """Result of checking one file.

    Parameters
    ----------
    name : str
    path : Path or None
        None if the file is missing.
    problem : str or None
        None if the file is canonical; else one line that names file, value and what it must be.
    """

    name: str
    path: Path | None
    problem: str | None


def verify(source, place):
    """Check each of a data set's files at a place, uncompressed, against the canonical checksums.

    Parameters
    ----------
    source : IdxSource
    place : Place

    Returns
    -------
    list of FileCheck
    """
    checks = []
    for file in source.files:
        path = place.path(file)
        if path is None:
            problem = f"{place.folder / file.name}[.gz]: no such file"
        else:
            problem = _problem(file, path)
        checks.append(FileCheck(file.name, path, problem))
    return checks


def is_canonical(source, place):
    """Tell whether all files of the data set are at the place with their canonical content."""
    return all(check.problem is None for check in verify(source, place))


def other_set(source, place):
    """Tell whose files these really are, when they are those of another known set.

    All sets share their file names; the small file of test labels tells them apart. Contents that belong to no
    known set are the user's own, and nothing is said about them.

    Parameters
    ----------
    source : IdxSource
    place : Place

    Returns
    -------
    str or None
        Name of the other set.

    Raises
    ------
    InputError
        If the test labels are there and cannot be read.
    """
    path = place.path(source.test_labels)
    if path is None:
        return None
    with open_idx(path) as stream:
        found = hashlib.sha256(stream.read(source.test_labels.size + 1)).hexdigest()
    for other in SOURCES.values():
        if other is not source and found == other.test_labels.sha256:
            return other.name
    return None


def _problem(file, path):
    digest = hashlib.sha256()
    try:
        with open_idx(path) as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
    except InputError as error:
        return str(error)
    if digest.hexdigest() != file.sha256:
        return f"{path}: SHA-256 of the uncompressed data is {digest.hexdigest()}: must be {file.sha256}"
    return None
