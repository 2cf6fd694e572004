"""Archives of data sets, downloaded with resume, checked, and unpacked into a data set's folder.

Addresses and MD5 sums of SHD, SSC and N-MNIST are those that a loader of the field has (Tonic,
github.com/neuromorphs/tonic, ``tonic/datasets/hsd.py`` and ``nmnist.py``). The archive of the Free Spoken Digit Dataset
is made by GitHub from a tag, and has no published sum: what is in it is counted instead.
"""

import hashlib
import shutil
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from snnsim.datasets.fetch import MirrorError, receive
from snnsim.datasets.location import download_dir
from snnsim.errors import InputError
from snnsim.files.atomic import writing

LARGEST = 64 * 2**30
"""Bytes that an archive may unpack to."""
CHUNK = 2**20


class _WrongArchive(InputError):
    """An archive that holds something else, so that there is no use in keeping it."""


@dataclass(frozen=True)
class Archive:
    """One zip file.

    Parameters
    ----------
    name : str
        File below a mirror's address, and of the download while it is under way.
    urls : tuple of str
        Whole addresses, tried in this order.
    md5 : str
        Of the zip file; empty where none is published.
    makes : str
        File or folder of the data set that it holds, which is there when it has been unpacked.
    """

    name: str
    urls: tuple[str, ...]
    md5: str
    makes: str


_ZENKE = "https://zenkelab.org/datasets/"
_DIGITS = "https://github.com/Jakobovski/free-spoken-digit-dataset/"
_MENDELEY = "https://data.mendeley.com/public-files/datasets/468j46mzdv/files/"


def _heidelberg(file, md5):
    return Archive(f"{file}.zip", (f"{_ZENKE}{file}.zip",), md5, file)


ARCHIVES = {
    "shd": (
        _heidelberg("shd_train.h5", "f3252aeb598ac776c1b526422d90eecb"),
        _heidelberg("shd_test.h5", "1503a5064faa34311c398fb0a1ed0a6f"),
    ),
    "ssc": (
        _heidelberg("ssc_train.h5", "d102be95e7144fcc0553d1f45ba94170"),
        _heidelberg("ssc_valid.h5", "b4eee3516a4a90dd0c71a6ac23a8ae43"),
        _heidelberg("ssc_test.h5", "a35ff1e9cffdd02a20eb850c17c37748"),
    ),
    "nmnist": (
        Archive(
            "Train.zip", (f"{_MENDELEY}39c25547-014b-4137-a934-9d29fa53c7a0/file_downloaded",),
            "20959b8e626244a1b502305a9e6e2031", "Train",
        ),
        Archive(
            "Test.zip", (f"{_MENDELEY}05a4d654-7e03-4c15-bdfa-9bb2bcbea494/file_downloaded",),
            "69ca8762b2fe404d9b9bad1103e97832", "Test",
        ),
    ),
    "spoken-digits": (
        Archive(
            "v1.0.10.zip", (f"{_DIGITS}archive/refs/tags/v1.0.10.zip",), "", "recordings",
        ),
    ),
}  # fmt: skip
"""Of each set that is a folder."""
DIGIT_RECORDINGS = 3000
"""Of version 1.0.10 of the Free Spoken Digit Dataset: 50 of each digit and of six speakers."""


def fetch_archives(name, data_dir=None, mirror=None, on_progress=None, on_note=None):
    """Download a set and unpack it.

    A stopped download is continued by the next one, where the server can do that. What has been unpacked takes its name
    only when the archive's sum is right and all of it is on the disk.

    Parameters
    ----------
    name : str
        One of :data:`ARCHIVES`.
    data_dir : path-like, optional
        The files go to ``<data_dir>/<name>/``, as for :func:`snnsim.datasets.fetch.fetch`.
    mirror : str, optional
        Address of the folder of the archives, instead of the known ones.
    on_progress : callable, optional
        Called as ``on_progress(file_name, done, all or None)``, of bytes and, where sounds become spikes, of sounds.
    on_note : callable, optional
        Called with one line of text when a download is continued or a mirror fails.

    Returns
    -------
    Path
        The folder that now holds the files.

    Raises
    ------
    InputError
        If no mirror delivers an archive, it is another one, or it cannot be written.
    """
    if mirror is not None and not mirror.startswith(("http://", "https://")):
        raise InputError(f"--mirror = {mirror!r}: must be an address that begins with http:// or https://")
    folder = download_dir(name, data_dir)
    progress, note = on_progress or _ignore, on_note or _ignore
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for archive in ARCHIVES[name]:
        path = _downloaded(archive, folder, mirror, progress, note)
        try:
            _unpack(archive, path, folder, name, progress)
        except _WrongArchive:
            path.unlink()
            raise
        path.unlink()
    return folder


def missing(name, folder):
    """Parts of a set that a folder lacks."""
    if name == "spoken-digits":
        makes = ["spoken-digits-train.h5", "spoken-digits-test.h5"]
    else:
        makes = [archive.makes for archive in ARCHIVES[name]]
    return [part for part in makes if not (Path(folder) / part).exists()]


def _downloaded(archive, folder, mirror, on_progress, on_note):
    """Path of the whole, right archive."""
    path = folder / f"{archive.name}.part"
    urls = archive.urls if mirror is None else (f"{mirror.rstrip('/')}/{archive.name}",)
    failures = []
    for url in urls:
        try:
            _download(url, archive, path, on_progress, on_note)
            return path
        except MirrorError as error:
            failures.append(f"{url}: {error}")
            if path.exists() and not path.stat().st_size:
                path.unlink()
            if url != urls[-1]:
                on_note(f"{failures[-1]}; trying the next mirror")
    raise InputError(f"cannot download {archive.name}: " + "; ".join(failures))


def _download(url, archive, path, on_progress, on_note):
    have = path.stat().st_size if path.exists() else 0
    with writing(path), open(path, "ab") as out:
        for chunk, at, total in receive(url, have):
            if at == have > 0:
                on_note(f"continuing {archive.name} after {have} bytes")
            elif at == 0:
                out.truncate(0)  # the server sends all of it again
            have = 0
            out.write(chunk)
            on_progress(archive.name, at + len(chunk), total)
    if archive.md5:
        found = _md5(path)
        if found != archive.md5:
            path.unlink()
            raise MirrorError(f"corrupted, MD5 is {found}, must be {archive.md5}")


def _md5(path):
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _unpack(archive, path, folder, name, on_progress):
    """Unpack into a new folder beside, and put what it makes in its place."""
    with writing(folder), tempfile.TemporaryDirectory(dir=folder, prefix=".unpacking-") as unpacked:
        unpacked = Path(unpacked)
        try:
            with zipfile.ZipFile(path) as zipped:
                _check(zipped, path)
                zipped.extractall(unpacked)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise _WrongArchive(f"{archive.name}: a damaged zip file ({' '.join(str(error).split())})") from error
        found = [unpacked / archive.makes, *unpacked.glob(f"*/{archive.makes}")]
        made = next((f for f in found if f.exists()), None)
        if made is None:
            raise _WrongArchive(f"{archive.name}: holds no {archive.makes}")
        if name == "spoken-digits":
            _spoken(made, folder, on_progress)
            return
        target = folder / archive.makes
        if target.is_dir():
            shutil.rmtree(target)
        made.replace(target)


def _spoken(recordings, folder, on_progress):
    from snnsim.datasets.spoken_digits import write_spoken_digits

    count = len(list(recordings.glob("*.wav")))
    if count != DIGIT_RECORDINGS:
        raise _WrongArchive(f"recordings: {count} sounds: version 1.0.10 has {DIGIT_RECORDINGS}")
    write_spoken_digits(recordings, folder, lambda done, total: on_progress("sounds to spikes", done, total))


def _check(zipped, path):
    """Refuse an archive that leads out of its folder, or unpacks to more than anything here does."""
    size = sum(info.file_size for info in zipped.infolist())
    if size > LARGEST:
        raise _WrongArchive(f"{path}: unpacks to {size} bytes: must be at most {LARGEST}")
    for info in zipped.infolist():
        parts = Path(info.filename).parts
        if ".." in parts or info.filename.startswith(("/", "\\")) or ":" in info.filename:
            raise _WrongArchive(f"{path}: {info.filename!r} in it leads out of its folder")


def _ignore(*_):
    """Do nothing with a report that nobody asked for."""
