"""Downloading data sets from public mirrors: checked while they arrive, put in place atomically."""

import hashlib
import http
import http.client
import urllib.error
import urllib.request
import zlib

from snnsim.datasets.idx import CHUNK
from snnsim.datasets.location import download_dir
from snnsim.errors import InputError
from snnsim.files.atomic import replacing

TIMEOUT = 30  # seconds without a byte
_GZIP_WINDOW = 31  # zlib: expect a gzip header and check its trailer


class MirrorError(Exception):
    """What went wrong with one mirror; another may do better."""


def fetch(source, data_dir=None, mirror=None, on_progress=None, on_note=None):
    """Download the files of a data set.

    Each file is decompressed as it arrives, and takes its final name only when the SHA-256 of its content
    is the canonical one; a stopped or failed download leaves no partial file and replaces nothing.

    Parameters
    ----------
    source : IdxSource
    data_dir : path-like, optional
        The files go to ``<data_dir>/<name>/``; without it below the folder that SNNSIM_DATA names, else
        below the user's cache folder.
    mirror : str, optional
        Base address below which the four ``.gz`` files lie, instead of the known mirrors.
    on_progress : callable, optional
        Called as ``on_progress(file_name, bytes_received, bytes_in_all or None)``.
    on_note : callable, optional
        Called with one line of text when a mirror fails and the next one is tried.

    Returns
    -------
    Path
        The folder that now holds the files.

    Raises
    ------
    InputError
        If no mirror delivers a file, its content is not the canonical one, or it cannot be written.
    """
    if mirror is not None and not mirror.startswith(("http://", "https://")):
        raise InputError(f"--mirror = {mirror!r}: must be an address that begins with http:// or https://")
    mirrors = source.mirrors if mirror is None else (mirror.rstrip("/") + "/",)
    folder = download_dir(source.name, data_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror})") from None
    for file in source.files:
        if (folder / file.name).exists():
            raise InputError(f"{folder / file.name}: is in the way of the download; move it elsewhere")
    for file in source.files:
        _fetch_file(file, folder, mirrors, on_progress or _ignore, on_note or _ignore)
    return folder


def _fetch_file(file, folder, mirrors, on_progress, on_note):
    failures = []
    for base in mirrors:
        url = f"{base}{file.name}.gz"
        try:
            _download(url, file, folder, on_progress)
            return
        except MirrorError as error:
            failures.append(f"{url}: {error}")
            if base != mirrors[-1]:
                on_note(f"{failures[-1]}; trying the next mirror")
    raise InputError(f"cannot download {file.name}: " + "; ".join(failures))


def _download(url, file, folder, on_progress):
    target = folder / f"{file.name}.gz"
    with replacing(target) as part, open(part, "wb", buffering=0) as out:
        for chunk in _checked_chunks(url, file, on_progress):
            out.write(chunk)


def _checked_chunks(url, file, on_progress):
    """Yield the compressed bytes of a file; raise at the end unless they were all of the right file."""
    decoder = zlib.decompressobj(_GZIP_WINDOW)
    digest = hashlib.sha256()
    content = 0
    received = 0
    for chunk, _, total in receive(url):
        received += len(chunk)
        try:
            data = decoder.decompress(chunk, file.size + 1 - content)
        except zlib.error:
            raise MirrorError(f"corrupted, no valid gzip data ({received} bytes in)") from None
        digest.update(data)
        content += len(data)
        if content > file.size or decoder.unused_data:
            raise MirrorError(f"corrupted, more than the {file.size} bytes of content of {file.name}")
        on_progress(file.name, received, total)
        yield chunk
    if not decoder.eof:
        raise MirrorError(f"interrupted, the gzip data ends after {received} bytes")
    if digest.hexdigest() != file.sha256:
        raise MirrorError(f"corrupted, SHA-256 is {digest.hexdigest()}, must be {file.sha256}")


def receive(url, begin=0):
    """Yield the bytes of a download from ``begin`` on, as far as the server can begin there.

    Yields
    ------
    chunk : bytes
    at : int
        Byte of the file with which the chunk begins.
    total : int or None
        Bytes in all.

    Raises
    ------
    MirrorError
        If there is no such file, or the connection ends early.
    """
    headers = {"User-Agent": "snnsim"} | ({"Range": f"bytes={begin}-"} if begin else {})
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT) as response:
            at = begin if response.status == http.HTTPStatus.PARTIAL_CONTENT else 0
            length = response.headers.get("Content-Length", "")
            total = at + int(length) if length.isdigit() else None
            while chunk := response.read(CHUNK):
                yield chunk, at, total
                at += len(chunk)
    except urllib.error.HTTPError as error:
        error.close()
        if begin and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # all of it has been received before
        raise MirrorError(f"HTTP status {error.code} ({error.reason})") from None
    except urllib.error.URLError as error:
        raise MirrorError(f"no connection ({error.reason})") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise MirrorError(f"interrupted ({error or type(error).__name__})") from None
    if total is not None and at < total:
        raise MirrorError(f"interrupted, {at} of {total} bytes arrived")


def _ignore(*_):
    """Do nothing with a report that nobody asked for."""
