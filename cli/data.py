"""``snnsim data``: list, verify and fetch data sets."""

from typing import Annotated

import typer

from .app import App
from .terminal import bars, console

app = App(help="List, verify and download data sets.")

DataDir = Annotated[
    str | None,
    typer.Option(metavar="FOLDER", help="Folder that holds the data, instead of the usual places."),
]


@app.command("list")
def list_data(data_dir: DataDir = None):
    """Show the data sets, where their files were found, and how large they are."""
    from snnsim.datasets.location import locate
    from snnsim.datasets.registry import FOLDERS, SOURCES, YIN_YANG
    from snnsim.datasets.verify import other_set
    from snnsim.errors import InputError

    table = _table("name", "found", "folder", "size", "status")
    for source in SOURCES.values():
        place = locate(source, data_dir)
        if place is None:
            table.add_row(source.name, "-", "-", "-", f"not found (snnsim data fetch {source.name})")
            continue
        paths = {file.name: place.path(file) for file in source.files}
        try:
            other = other_set(source, place)
        except InputError as error:
            table.add_row(source.name, place.origin, str(place.folder), "-", str(error))
            continue
        missing = [name for name, path in paths.items() if path is None]
        size = sum(path.stat().st_size for path in paths.values() if path is not None)
        if other is not None:
            status = f"these are the files of {other}"
        elif missing:
            status = f"incomplete, without {', '.join(missing)}"
        else:
            status = "complete"
        table.add_row(source.name, place.origin, str(place.folder), f"{size / 1e6:.1f} MB", status)
    for name in FOLDERS:
        _list_folder(table, name, data_dir)
    table.add_row(YIN_YANG, "-", "-", "-", "generated when it is used")
    _print(table)


def _list_folder(table, name, data_dir):
    from snnsim.datasets.archives import missing
    from snnsim.datasets.location import search_places

    for place in search_places(name, data_dir):
        files = [f for f in place.folder.rglob("*") if f.is_file()] if place.folder.name == name else []
        if files:
            size, lacks = sum(f.stat().st_size for f in files), missing(name, place.folder)
            status = f"incomplete, without {', '.join(lacks)}" if lacks else "complete"
            table.add_row(name, place.origin, str(place.folder), f"{size / 1e6:.1f} MB", status)
            return
    table.add_row(name, "-", "-", "-", f"not found (snnsim data fetch {name})")


@app.command("verify")
def verify_data(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Data set; without it all that are found.")
    ] = None,
    data_dir: DataDir = None,
):
    """Check the files against the canonical SHA-256 sums (of their uncompressed content)."""
    from snnsim.datasets.location import locate
    from snnsim.datasets.registry import SOURCES, idx_source
    from snnsim.datasets.verify import other_set, verify
    from snnsim.errors import InputError

    sources = SOURCES.values() if name is None else [idx_source(name, "verify")]
    table = _table("name", "file", "SHA-256")
    problems = []
    for source in sources:
        place = locate(source, data_dir)
        if place is None:
            table.add_row(source.name, "-", "not found")
            if name is not None:
                problems.append(_not_found(source.name, data_dir))
            continue
        other = other_set(source, place)
        if other is not None:
            table.add_row(source.name, str(place.folder), f"these are the files of {other}")
            if name is not None:
                problems.append(f"{place.folder}: holds the files of {other}, not of {name}")
            continue
        for check in verify(source, place):
            shown = str(check.path or place.folder / check.name)
            table.add_row(source.name, shown, _verdict(check.problem))
            if check.problem:
                problems.append(check.problem)
    _print(table)
    if problems:
        more = f" (and {len(problems) - 1} more problems)" if len(problems) > 1 else ""
        raise InputError(problems[0] + more)


@app.command("fetch")
def fetch_data(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="mnist, fashion-mnist, shd, ssc, nmnist or spoken-digits.")
    ],
    data_dir: DataDir = None,
    mirror: Annotated[
        str | None,
        typer.Option(metavar="URL", envvar="SNNSIM_MIRROR", help="Address of the folder of the .gz or .zip files."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Download even if the data is there.")] = False,
):
    """Download a data set from its public mirrors, check it, and unpack it; a stopped download is continued."""
    from pathlib import Path

    from snnsim.datasets.archives import ARCHIVES, fetch_archives, missing
    from snnsim.datasets.fetch import fetch
    from snnsim.datasets.location import download_dir, locate
    from snnsim.datasets.registry import idx_source
    from snnsim.datasets.verify import is_canonical

    if name in ARCHIVES:
        folder = download_dir(name, data_dir)
        if not missing(name, folder) and not force:
            _print(f"{name} is there already: {folder}")
            return
        with _Reporter() as reporter:
            folder = fetch_archives(name, data_dir, mirror, reporter.progress, reporter.note)
        _print(f"{name} is in {folder}")
        return
    source = idx_source(name, "fetch")
    present = locate(source, data_dir) if data_dir is None or Path(data_dir).is_dir() else None
    if present is not None and not force and is_canonical(source, present):
        _print(f"{name} is there already, with canonical checksums: {present.folder}")
        return
    with _Reporter() as reporter:
        folder = fetch(source, data_dir, mirror, reporter.progress, reporter.note)
    _print(f"{name} is in {folder}, with canonical checksums")
    first = locate(source, data_dir)
    if first.folder != folder:
        _print(f"note: {first.folder} is searched first; name the new files by --data-dir {folder}")


class _Reporter:
    """Progress on standard error: bars on a terminal, else one line a file."""

    def __init__(self):
        from rich.progress import DownloadColumn, TransferSpeedColumn

        self._bars = bars(DownloadColumn(), TransferSpeedColumn())
        self._console = self._bars.console
        self._tasks = {}

    def __enter__(self):
        self._bars.start()
        return self

    def __exit__(self, *_):
        self._bars.stop()

    def progress(self, file_name, received, total):
        if file_name not in self._tasks:
            self._tasks[file_name] = self._bars.add_task(file_name, total=total)
            if not self._console.is_terminal:
                self._console.print(f"downloading {file_name}")
        self._bars.update(self._tasks[file_name], completed=received, total=total)

    def note(self, line):
        self._console.print(line)


def _not_found(name, data_dir):
    from snnsim.datasets.location import search_places

    looked = ", ".join(str(place.folder) for place in search_places(name, data_dir))
    return f"dataset {name}: no files found in {looked}"


def _table(*columns):
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _verdict(problem):
    from rich.text import Text

    return Text("differs", style="red") if problem else Text("canonical", style="green")


def _print(shown):
    console(width=240).print(shown, soft_wrap=True)  # long paths stay on one line
