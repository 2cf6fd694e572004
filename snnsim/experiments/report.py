"""The report: every claim of the study, what was measured, and the verdict."""

import math
from pathlib import Path

from snnsim.files.atomic import write_atomic
from snnsim.recording.runs import load_tree

HEAD = """\
# The study, reproduced

This page lists every claim of the study with what was measured, made by `{command}`. Every row is computed from
the results file named above its table; the figures are drawn from the same file. Verdicts: **holds**,
**holds in part**, **does not hold**; **answered** marks a question that the study leaves open.
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
        text.append(_section(entry, document, Path(folder), figure_format))
    text.append(_versions(documents[-1][1]["provenance"]))
    path = Path(folder) / "report.md"
    write_atomic(path, lambda file: file.write("\n".join(text).encode()))
    return path


def _section(entry, document, folder, figure_format):
    size = "quick sizes" if document["quick"] else "full sizes"
    lines = [
        f"## {entry.title}",
        "",
        f"Study, {entry.section}. Experiment `{entry.name}` ({size}{_duration(document['seconds'])}), "
        f"results in `{entry.name}.h5`.",
        "",
        "| claim | source | measured | verdict |",
        "|---|---|---|---|",
    ]
    for claim in entry.module().claims(document["results"]):
        cells = (claim.statement, claim.source, claim.measured, f"**{claim.verdict}**")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    lines.append("")
    for path in sorted(folder.glob(f"{entry.name}-*.{figure_format}")):
        caption = path.stem.removeprefix(f"{entry.name}-").replace("-", " ")
        lines += [f"![{entry.title}: {caption}]({path.name})", ""]
    return "\n".join(lines)


def _duration(seconds):
    if math.isnan(seconds):
        return ""
    if seconds < 100:
        return f", {seconds:.0f} s"
    return f", {seconds / 60:.0f} min" if seconds < 6000 else f", {seconds / 3600:.1f} h"


def _versions(provenance):
    return "Versions: " + ", ".join(f"{key} {value}" for key, value in provenance.items()) + ".\n"
