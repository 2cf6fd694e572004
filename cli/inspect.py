"""``snnsim inspect``: what is in a recording, a run, a checkpoint or an event file."""

import json
from pathlib import Path
from typing import Annotated

import typer

from .terminal import console


def inspect_file(
    path: Annotated[str, typer.Argument(metavar="PATH", help="Recording, run directory, checkpoint or event file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    trials: Annotated[int, typer.Option(metavar="N", min=0, help="Also list the first N trials.")] = 0,
    repair: Annotated[
        bool, typer.Option("--repair", help="First mend a recording whose run was killed, so that all tools open it.")
    ] = False,
):
    """Show what is in a file: populations, trials, rates, silent neurons, configuration."""
    from snnsim.recording.summary import summarise

    if repair:
        from snnsim.recording.repair import repair as mend

        done = mend(path)
        if not as_json:
            print("repaired" if done else "nothing to repair")
    summary = summarise(path)
    if trials:
        summary["trial_list"] = _trials(path, trials)
    if as_json:
        print(json.dumps(summary, indent=2, allow_nan=False))
        return
    _show(console(width=160), summary)


def _trials(path, n):
    from snnsim.errors import InputError
    from snnsim.recording.reader import open_traces
    from snnsim.recording.summary import is_recording

    if not is_recording(path):
        raise InputError(f"--trials {n}: {path} is not a recording")
    with open_traces(path) as traces:
        names = traces.trials.dtype.names
        rows = [dict(zip(names, record.item(), strict=True)) for record in traces.trials[:n]]
    return [{k: None if v != v else v for k, v in row.items()} for row in rows]


def _show(console, summary):
    from rich.text import Text

    console.print(Text.assemble((summary["kind"], "bold"), "  ", summary["path"]), soft_wrap=True)
    shows = {"traces": _show_traces, "run": _show_run, "events": _show_events, "sonata": _show_sonata}
    shows.get(summary["kind"], _show_tree)(console, summary)


def _show_traces(console, summary):
    from snnsim.recording.units import units_of

    info, trials = summary["info"], summary["trials"]
    units = units_of(info)
    first = trials[f"first_spike_{units.time}" if units.time else "first_spike"]
    pairs = {
        "engine": info["engine"],
        "scheme": info["scheme"] or "-",
        "dt": f"{_number(info['dt'] * units.factor)} {units.time}".rstrip(),
        "duration of a trial": f"{_number(info['duration'] * units.factor)} {units.time}".rstrip(),
        "seed": info["seed"] or "-",
        "trials": str(trials["count"]),
        "splits": ", ".join(f"{name or 'unnamed'} {n}" for name, n in trials["splits"].items()) or "-",
        "classes": str(trials["labels"]) if trials["labels"] else "-",
        "accuracy": "-" if trials["accuracy"] is None else f"{100 * trials['accuracy']:.2f} %",
        "first output spike": "-" if first is None else f"{_number(first)} {units.time}".rstrip(),
        "without output spike": str(trials["without_output_spike"]),
        "files": ", ".join(f"{name} {_size(size)}" for name, size in summary["files"].items()),
        "written": f"{info['created']} by snnsim {summary['provenance'].get('snnsim', '?')}",
    }
    if summary["growing"]:
        pairs["state"] = "still growing, or its run was killed (then: --repair)"
    console.print(_pairs(pairs))
    rates = [f"{what} {units.rate}" for what in ("mean", "max")]
    table = _table("population", "neurons", "spikes", "per trial", *rates, "silent", "records")
    keys = "spikes_per_trial", *(f"{key}_hz" if units.time else key for key in ("rate", "rate_max"))
    for row in summary["populations"]:
        numbers = ["-"] * 5
        if "spikes" in row:
            numbers = [f"{row['spikes']:,}", *(_short(row[k]) for k in keys)]
            numbers.append(str(row["silent"]))
        size = str(row["neurons"])
        if 0 < row["recorded"] < row["neurons"]:
            size = f"{row['recorded']} of {size}"
        table.add_row(row["name"], size, *numbers, ",".join(row["variables"]) or "-")
    console.print(table)
    if summary.get("trial_list"):
        table = _table("trial", *summary["trial_list"][0])
        for k, row in enumerate(summary["trial_list"]):
            table.add_row(
                str(k), *(_number(value) if isinstance(value, float) else str(value) for value in row.values())
            )
        console.print(table)
    _show_config(console, summary["config"])


def _show_run(console, summary):
    pairs = {name: kind for name, kind in summary["contents"].items()}
    metrics = summary.get("metrics")
    if metrics:
        pairs["metrics"] = f"{metrics['records']} records"
    console.print(_pairs(pairs))
    if metrics and metrics["last"]:
        table = _table("metric", "first", "last")
        for key, value in metrics["last"].items():
            first = metrics["first"].get(key)
            table.add_row(key, _number(first), _number(value))
        console.print(table)
    _show_config(console, summary["config"])
    if (Path(summary["path"]) / "model.h5").exists():
        _show_network(console, Path(summary["path"]) / "model.h5")


def _show_network(console, path):
    from snnsim.models import load_model
    from snnsim.outline import outline

    network, _ = load_model(path)
    for line in outline(network):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _show_tree(console, summary):
    console.print(_pairs({"size": _size(summary["size"])}))
    table = _table("entry", "value")
    for name, value in summary["entries"].items():
        text = f"{value['dtype']} {' x '.join(map(str, value['shape']))}" if isinstance(value, dict) else str(value)
        table.add_row(name, text if len(text) <= 100 else text[:97] + "...")
    console.print(table)
    if summary["kind"] == "model":
        _show_network(console, summary["path"])


def _show_events(console, summary):
    console.print(
        _pairs(
            {
                "layout": "SHD (spikes/times, spikes/units, labels)",
                "size": _size(summary["size"]),
                "samples": str(summary["samples"]),
                "channels": str(summary["channels"] or "not stated"),
                "duration": f"{_number(summary['duration_s'])} s" if summary["duration_s"] else "not stated",
                "classes": str(len(summary["classes"])),
            }
        )
    )
    table = _table("class", "samples")
    for name, count in summary["classes"].items():
        table.add_row(name, str(count))
    console.print(table)


def _show_sonata(console, summary):
    console.print(_pairs({"layout": "SONATA spikes, not of snnsim", "size": _size(summary["size"])}))
    table = _table("population", "spikes")
    for name, row in summary["populations"].items():
        table.add_row(name or "(unnamed)", f"{row['spikes']:,}")
    console.print(table)


def _show_config(console, config):
    flat = dict(_flatten(config))
    if flat:
        console.print(_pairs({key: str(value) for key, value in flat.items()}, title="configuration"))


def _flatten(tree, prefix=""):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _pairs(pairs, title=None):
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0), title=title, title_justify="left")
    for key, value in pairs.items():
        table.add_row(Text(key, style="dim"), value)
    return table


def _table(*columns):
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for k, column in enumerate(columns):
        table.add_column(column, justify="left" if k == 0 or column in ("records", "value") else "right")
    return table


def _number(value):
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _short(value):
    return "-" if value is None else f"{value:.4g}"


def _size(n):
    power = min((len(str(n)) - 1) // 3, 3)
    return f"{n / 1000**power:.4g} {('B', 'kB', 'MB', 'GB')[power]}"
