"""The records of a run: ``metrics.jsonl``, one JSON object a line, one line an epoch."""

from pathlib import Path

from snnsim.errors import InputError
from snnsim.files.text import parse_json, read_text
from snnsim.recording.runs import load_tree

METRICS = "metrics.jsonl"
CHECKPOINT = "checkpoint.h5"


def read_metrics(path):
    """Read the records of a run.

    Parameters
    ----------
    path : str or Path
        The file, or the directory of the run. There the checkpoint is asked: it is written before the file, and knows
        an epoch more if the run was killed in between.

    Returns
    -------
    list of dict
        A last line that a kill cut short is left out. Empty for a run in its first epoch.

    Raises
    ------
    InputError
        If there is none, or a line is not a JSON object.
    """
    path = Path(path)
    if path.is_dir():
        if (path / CHECKPOINT).exists():
            return _history(path / CHECKPOINT)
        path = path / METRICS
    return _lines(path)


def _history(path):
    history = load_tree(path, "checkpoint").get("history")
    if not isinstance(history, str):
        raise InputError(f"{path}: holds no history")
    return parse_json(history, f"{path}: history")


def _lines(path):
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
