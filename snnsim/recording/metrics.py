"""The records of a run: ``metrics.jsonl``, one JSON object a line, one line an epoch."""

from pathlib import Path

from snnsim.errors import InputError
from snnsim.files.text import parse_json, read_text

METRICS = "metrics.jsonl"


def read_metrics(path):
    """Read the records of a run.

    Parameters
    ----------
    path : str or Path
        The file, or the directory of the run.

    Returns
    -------
    list of dict
        A last line that a kill cut short is left out.

    Raises
    ------
    InputError
        If there is none, or a line is not a JSON object.
    """
    path = Path(path)
    if path.is_dir():
        path = path / METRICS
    lines = read_text(path).split("\n")
    records = []
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            record = parse_json(line, f"{path}: line {number}")
        except InputError:
            if number == len(lines):
                break
            raise
        if not isinstance(record, dict):
            raise InputError(f"{path}: line {number}: not a JSON object")
        records.append(record)
    return records
