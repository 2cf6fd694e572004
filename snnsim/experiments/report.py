"""The report: every claim of the study, what was measured, and the verdict."""

import math
from pathlib import Path

import numpy as np

from snnsim.experiments.learning import run_config
from snnsim.files.atomic import write_atomic
from snnsim.recording.runs import load_tree

HEAD = """\
# The study, reproduced

This page lists every claim of the study with what was measured, made by `{command}`. Every row is computed from the
results file named above its table; the figures are drawn from the same file. The first column numbers what the study
says in the order of its text: C a claim, L a limitation, F future work, S its set-up; a row without a number is a
question of ours. Verdicts: **holds**, **holds in part**, **does not hold**; **not reproduced** where what was seen
there was not seen here, which does not refute it; **answered** marks a question that the study leaves open, or a
fact. An uncertainty behind ± is a standard deviation over seeds unless the row says otherwise.
"""


def write_report(folder, entries, figure_format):
    """Write ``report.md`` for the experiments that have results in ``folder``.

    Parameters
    ----------
    folder : Path
    entries : sequence of Entry
        Those with a results file.
    figure_format : str

    Returns
    -------
    Path
    """
    documents = [(entry, load_tree(folder / f"{entry.name}.h5", "experiment")) for entry in entries]
    quick = {document["quick"] for _, document in documents}
    names = "all" if len(entries) > 1 else entries[0].name
    command = f"snnsim reproduce {names}" + (" --quick" if quick == {True} else "")
    text = [HEAD.format(command=command)]
    for entry, document in documents:
        text.append(_section(entry, document, figure_format))
    text.append(_versions(documents[-1][1]["provenance"]))
    path = Path(folder) / "report.md"
    write_atomic(path, lambda file: file.write("\n".join(text).encode()))
    return path


def _section(entry, document, figure_format):
    size = "quick sizes" if document["quick"] else "full sizes"
    if document.get("settings"):  # results of before have none
        size += " but for " + ", ".join(f"`--set {setting}`" for setting in document["settings"])
    lines = [
        f"## {entry.title}",
        "",
        f"Study, {entry.section}. Experiment `{entry.name}` ({size}{_duration(document['seconds'])}), "
        f"results in `{entry.name}.h5`.",
        "",
        f"Settings: {settings(document['config'])}.",
        "",
        "| no | claim | source | measured | verdict |",
        "|---|---|---|---|---|",
    ]
    for claim in entry.module().claims(document["results"]):
        cells = (claim.number, claim.statement, claim.source, claim.measured, f"**{claim.verdict}**")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    lines.append("")
    for stem, caption in entry.captions().items():
        lines += [
            f"![{entry.title}: {stem.replace('-', ' ')}]({entry.name}-{stem}.{figure_format})",
            "",
            f"*{caption}*",
            "",
        ]
    return "\n".join(lines)


def settings(config):
    """Every setting of an experiment in one sentence: the network that it runs, and the keys of its configuration.

    Parameters
    ----------
    config : dict
        As the results file holds it.

    Returns
    -------
    str
    """
    parts = []
    if "run" in config:
        run = run_config(config["run"])
        network, loss, simulation = "-".join(map(str, run.network.layers)), run.loss.name, run.simulation
        parts.append(
            f"network {network} on {run.data.dataset}, loss {loss}, encoder {run.encoder.name}, "
            f"{simulation.n_steps} steps of {simulation.scheme}, {simulation.precision}, batches of "
            f"{run.training.batch_size}, {run.optimizer.name} with a rate of {run.optimizer.lr:g} "
            "(where the keys behind do not change it)"
        )
    parts += _keys({key: value for key, value in config.items() if key != "run"})
    return "; ".join(parts)


def _keys(table, prefix=""):
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _keys(value, f"{prefix}{key}.")
        elif isinstance(value, list | tuple) and value and isinstance(value[0], dict):
            yield f"{prefix}{key}: {len(value)}, each in a row below"
        else:
            shown = ", ".join(map(_short, value)) if isinstance(value, list | tuple | np.ndarray) else _short(value)
            yield f"{prefix}{key} {shown}"


def _short(value):
    return f"{value:g}" if isinstance(value, float) else str(value)


def _duration(seconds):
    if math.isnan(seconds):
        return ""
    if seconds < 100:
        return f", {seconds:.0f} s"
    return f", {seconds / 60:.0f} min" if seconds < 6000 else f", {seconds / 3600:.1f} h"


def _versions(provenance):
    return "Versions: " + ", ".join(f"{key} {value}" for key, value in provenance.items()) + ".\n"
