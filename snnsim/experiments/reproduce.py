"""Run experiments: results files, figures, and the report."""

import shutil
import time
from pathlib import Path

from snnsim.errors import InputError
from snnsim.experiments.base import Context, load_config
from snnsim.experiments.catalogue import CATALOGUE, select
from snnsim.experiments.report import write_report
from snnsim.experiments.workers import Workers
from snnsim.recording.lock import locked
from snnsim.recording.provenance import provenance
from snnsim.recording.runs import load_tree, save_tree

KIND = "experiment"
FORMATS = ("png", "svg", "pdf")


class Silent:
    """Progress that nobody watches; the interface that :func:`reproduce` calls."""

    def start(self, plan):
        """Take the list of ``(entry, expected seconds, whether its results file will be used again)``."""

    def experiment(self, entry, fraction):
        """Take the fraction done of the running experiment."""

    def message(self, text):
        """Take one line to show."""


def reproduce(
    names, folder, *, quick=False, settings=(), force=False, figure_format="png", progress=None, workers=0
):  # fmt: skip
    """Run experiments that have no results yet, draw all their figures, and write the report.

    An experiment whose results file in ``folder`` was made with the same configuration is not run again, and one that
    was stopped goes on with the parts that it had finished.

    Parameters
    ----------
    names : sequence of str
        Experiments, or ``all``.
    folder : str or Path
        Made if it does not exist. Receives ``NAME.h5``, ``NAME-*.png`` and ``report.md``.
    quick : bool
        Smaller sizes.
    settings : sequence of str
        Other values, ``KEY=VALUE``, of the configuration of the one experiment that is named.
    force : bool
        Run even what has results.
    figure_format : {"png", "svg", "pdf"}
    progress : Silent, optional
    workers : int
        Independent parts run at once, each on one thread; 0 for as many as there are cores, 1 for one after another.

    Returns
    -------
    Path
        The report.

    Raises
    ------
    InputError
        For an unknown name or format, settings of several experiments at once, or a folder that cannot be used.
    """
    progress = Silent() if progress is None else progress
    if figure_format not in FORMATS:
        raise InputError(f"figure format {figure_format!r}: must be one of {', '.join(FORMATS)}")
    entries = select(names)
    if settings and len(entries) > 1:
        raise InputError(f"--set {settings[0]}: name one experiment, whose value it is, not {len(entries)}")
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made a folder: {error.strerror}") from error
    with locked(folder):
        return _reproduce(entries, folder, quick, tuple(settings), force, figure_format, progress, workers)


def _reproduce(entries, folder, quick, settings, force, figure_format, progress, workers):
    plan = []
    for entry in entries:
        config, seconds = load_config(entry.name, quick, settings)
        plan.append((entry, config, seconds, not force and _matches(folder / f"{entry.name}.h5", config)))
    progress.start([(entry, seconds, done) for entry, _, seconds, done in plan])
    with Workers(workers, progress.message) as run_calls:
        for entry, config, _, done in plan:
            if not done:
                _run(entry, config, folder, quick, settings, force, progress, run_calls)
            progress.experiment(entry, 1.0)
            draw(entry, folder, figure_format)
            progress.message(f"{entry.name}: {'results used again' if done else 'done'}")
    return write_report(folder, [entry for entry in CATALOGUE if (folder / f"{entry.name}.h5").exists()], figure_format)


def _matches(path, config):
    """Whether a results file was made by this version with this configuration."""
    if not path.exists():
        return False
    document = load_tree(path, KIND)
    return document["config"] == config and document["provenance"]["snnsim"] == provenance()["snnsim"]


def _run(entry, config, folder, quick, settings, force, progress, run_calls):
    parts = folder / "parts" / entry.name
    if force:
        shutil.rmtree(parts, ignore_errors=True)
    started = time.perf_counter()
    context = Context(parts, config, lambda fraction: progress.experiment(entry, fraction), run_calls)
    results = entry.module().run(config, context)
    # A run that went on with an earlier one's parts does not know how long all of it takes.
    seconds = float("nan") if context.resumed else time.perf_counter() - started
    document = {
        "name": entry.name,
        "quick": quick,
        "settings": list(settings),
        "config": config,
        "seconds": seconds,
        "provenance": provenance(),
        "results": results,
    }
    save_tree(folder / f"{entry.name}.h5", document, KIND)
    shutil.rmtree(parts, ignore_errors=True)


def draw(entry, folder, figure_format):
    """Draw the figures of a results file next to it; returns their paths."""
    from snnsim.plotting.style import save_figure

    document = load_tree(Path(folder) / f"{entry.name}.h5", KIND)
    paths = []
    for stem, figure in entry.figures(document["results"]).items():
        path = Path(folder) / f"{entry.name}-{stem}.{figure_format}"
        save_figure(figure, path, dpi=110)
        paths.append(path)
    return paths
