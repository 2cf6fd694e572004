"""Recordings to files that Neo reads."""

from pathlib import Path

from snnsim.errors import InputError
from snnsim.extras import install_command
from snnsim.files.atomic import replacing
from snnsim.recording.neo_block import to_neo

FORMATS = {".nix": "NixIO", ".pkl": "PickleIO", ".mat": "NeoMatlabIO"}


def export_neo(traces, path, trials=None, layers=None):
    """Write a recording as a Neo Block, one Segment a trial.

    Parameters
    ----------
    traces : Traces
    path : str or Path
        Its suffix chooses the format: ``.nix`` (needs nixio), ``.pkl`` or ``.mat``.
    trials, layers
        As for `to_neo`.

    Raises
    ------
    InputError
        For another suffix, or if Neo or nixio is not installed.
    """
    suffix = Path(path).suffix
    if suffix not in FORMATS:
        raise InputError(f"{path}: the suffix of a Neo file must be one of {', '.join(FORMATS)}")
    block = to_neo(traces, trials, layers)
    import neo.io

    if suffix == ".nix":
        try:
            import nixio  # noqa: F401
        except ImportError:
            raise InputError(f"{path}: .nix needs nixio: {install_command('interchange')}") from None
    with replacing(path) as temporary:
        if suffix == ".nix":
            with neo.io.NixIO(str(temporary), mode="ow") as out:
                out.write_block(block, use_obj_names=False)
        else:
            getattr(neo.io, FORMATS[suffix])(str(temporary)).write_block(block)
