"""Where the kernels' machine code is kept, and what becomes of it where nothing can be kept or what was is damaged."""

import atexit
import hashlib
import importlib.abc
import importlib.util
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

KEEP_SECONDS = 14 * 86400


def keep_compiled_code():
    """Point Numba's cache to a directory named by a hash of the package's sources, unless the user chose one.

    Numba notices an edit of the file that holds a kernel, but not of the scalars that the kernel calls; a directory a
    version of the sources rules stale machine code out. Directories unused for two weeks are removed. Where none can be
    written, a temporary one serves until this process ends, with one note. Where Numba was loaded before,
    it keeps the directory that it has.
    """
    if "numba" in sys.modules:
        from numba.core import caching

        caching.IndexDataCacheFile = guarded(caching.IndexDataCacheFile)
        return
    sys.meta_path.insert(0, _WhenLoaded())
    wanted = os.environ.get("NUMBA_CACHE_DIR")
    try:
        chosen = Path(wanted) if wanted else _default_folder()
        chosen.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=chosen):
            pass
        if not wanted:
            os.utime(chosen)
            _remove_old(chosen.parent)
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home
        chosen = tempfile.mkdtemp(prefix="snnsim-kernels-")
        atexit.register(_remove, chosen, os.getpid())
        note(
            f"compiled code cannot be kept ({getattr(error, 'filename', None) or wanted or '~/.cache'}: "
            f"{getattr(error, 'strerror', None) or error}): each process compiles its own; NUMBA_CACHE_DIR names a "
            "folder for it"
        )
    os.environ["NUMBA_CACHE_DIR"] = str(chosen)


def note(text, said=set()):  # noqa: B006
    """Print a line on standard error, once a process."""
    if text not in said:
        said.add(text)
        print(f"snnsim: note: {text}", file=sys.stderr)


def is_compiled(kernel):
    """Whether the cache on disk holds machine code of a kernel, by its function's name, for these sources."""
    folder = os.environ.get("NUMBA_CACHE_DIR")
    return folder is not None and any(Path(folder).rglob(f"*.{kernel}-*.nbi"))


def _default_folder():
    here = Path(__file__).parent
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for folder in ("dynamics", "neurons", "estimators", "kernels"):
        for source in sorted((here / folder).rglob("*.py")):
            digest.update(source.read_bytes())
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "snnsim"
    return root / f"kernels-{digest.hexdigest()[:16]}"


def _remove_old(root):
    for folder in root.glob("kernels-*"):
        if time.time() - folder.stat().st_mtime > KEEP_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def _remove(folder, process):
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


class _WhenLoaded(importlib.abc.MetaPathFinder):
    """Guards Numba's cache as soon as Numba loads it."""

    def find_spec(self, name, path, target=None):
        if name != "numba.core.caching":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            module.IndexDataCacheFile = guarded(module.IndexDataCacheFile)

        spec.loader.exec_module = exec_module
        return spec


def guarded(kind):
    """Make a class of Numba's cache files whose files end in their digest: what is damaged is compiled again.

    They have names of their own, since a process that loads Numba before snnsim may write others beside them.

    Parameters
    ----------
    kind : class
        `numba.core.caching.IndexDataCacheFile`: an index of the signatures of a function, and a file for each.

    Returns
    -------
    class
    """
    import contextlib

    class Guarded(kind):
        def __init__(self, cache_path, filename_base, source_stamp):
            super().__init__(cache_path, f"{filename_base}.whole", source_stamp)

        def load(self, key):
            return super().load(key) if _whole(self._index_path) else None

        def save(self, key, data):
            if not _whole(self._index_path):
                with contextlib.suppress(OSError):
                    os.unlink(self._index_path)
            try:
                super().save(key, data)
            except OSError as error:
                note(f"compiled code cannot be kept ({self._cache_path}: {error.strerror})")

        def _load_data(self, name):
            if not _whole(self._data_path(name)):
                raise OSError("damaged")  # which Numba takes for a file that was removed
            return super()._load_data(name)

        @contextlib.contextmanager
        def _open_for_write(self, filepath):
            with super()._open_for_write(filepath) as file:
                yield file
                file.flush()
                with open(file.name, "rb") as written:
                    file.write(hashlib.sha256(written.read()).digest())

    return Guarded


def _whole(path):
    """Whether a file of the cache is there and ends in its digest, or is not there at all."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    whole = hashlib.sha256(data[:-32]).digest() == data[-32:]
    if not whole:
        note(f"{path}: damaged; its kernel is compiled again")
    return whole
