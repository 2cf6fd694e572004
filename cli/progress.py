"""What a training leaves on standard output: one JSON object, or a table."""

import json

from .terminal import console


def print_json(value):
    """Print one JSON object on standard output."""
    print(json.dumps(value))


def result_table(result):
    """Print a training's result as a table on standard output."""
    from rich.table import Table

    from snnsim.training.progress import percent

    table = Table(show_header=False, title="result", title_justify="left")
    best = percent(result["best_val_accuracy"])
    rows = {
        "test accuracy": percent(result["test_accuracy"]),
        "best validation accuracy": best if best == "none" else f"{best} (epoch {result['best_epoch']})",
        "spikes per neuron": ", ".join(f"{r:.2f}" for r in result["spikes_per_neuron"]),
        "seconds per epoch": f"{result['seconds_per_epoch']:.1f}",
        "epochs": str(result["epochs"]),
        "seed": str(result["seed"]),
        "run": result["run_dir"],
    }
    for name, value in rows.items():
        table.add_row(name, value)
    console().print(table)
