"""How many threads the kernels use, and where their machine code is kept; both are settled before Numba loads."""

import hashlib
import os
import sys
import time
from pathlib import Path

from snnsim.errors import InputError

KEEP_SECONDS = 14 * 86400


def keep_compiled_code():
    """Point Numba's cache to a directory named by a hash of the package's sources, unless the user chose one.

    Numba notices an edit of the file that holds a kernel, but not of the scalars that the kernel calls; a directory a
    version of the sources rules stale machine code out. Directories unused for two weeks are removed.
    """
    if "numba" in sys.modules or os.environ.get("NUMBA_CACHE_DIR"):
        return
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for folder in ("dynamics", "kernels"):
        for source in sorted((here / folder).rglob("*.py")):
            digest.update(source.read_bytes())
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "snnsim"
    chosen = root / f"kernels-{digest.hexdigest()[:16]}"
    try:
        chosen.mkdir(parents=True, exist_ok=True)
        os.utime(chosen)
        _remove_old(root)
    except OSError:
        # No home to write to: Numba then looks for a place of its own, beside the sources or in a temporary one.
        return
    os.environ["NUMBA_CACHE_DIR"] = str(chosen)


def is_compiled(kernel):
    """Whether the cache on disk holds machine code of a kernel, by its function's name, for these sources."""
    folder = os.environ.get("NUMBA_CACHE_DIR")
    return folder is not None and any(Path(folder).rglob(f"*.{kernel}-*.nbi"))


def _remove_old(root):
    import shutil

    for folder in root.glob("kernels-*"):
        if time.time() - folder.stat().st_mtime > KEEP_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def core_numbers():
    """Which cores this process may use, a set."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count()))


def available_cores():
    """How many cores this process may use."""
    return len(core_numbers())


def use_threads(count):
    """Run the kernels on ``count`` threads; 0 for all cores.

    Raises
    ------
    InputError
        If there cannot be so many.
    """
    cores = available_cores()
    if count < 0 or count > 64 * cores:
        raise InputError(f"--threads = {count}: must lie in 1..{64 * cores}, or be 0 for all {cores} cores")
    if "numba" not in sys.modules:
        os.environ.setdefault("NUMBA_NUM_THREADS", str(max(count, cores)))
    import numba

    if count > numba.config.NUMBA_NUM_THREADS:
        raise InputError(
            f"--threads = {count}: this process has at most {numba.config.NUMBA_NUM_THREADS} (NUMBA_NUM_THREADS)"
        )
    numba.set_num_threads(count or min(cores, numba.config.NUMBA_NUM_THREADS))
