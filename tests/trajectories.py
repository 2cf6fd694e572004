"""Losses of the first ten steps of small trainings: recorded by ``python -m tests.trajectories``, checked by a test."""

import json
from pathlib import Path

from snnsim import config
from snnsim.training import Session

FILE = Path(__file__).with_suffix(".json")
STEPS = 10
BASE = (
    "data.limit=500",
    "network.layers=[784, 14, 12, 10]",
    "network.init_mean=0.05",
    "simulation.precision=float64",
    "simulation.n_steps=20",
    "encoder.max_probability=0.2",
    "training.batch_size=25",
    "optimizer.lr=0.005",
    "loss.target_true=6",
    "loss.target_false=1",
)
"""float64, so that another order of sums changes the last digits only."""

LIVELY = ("network.init_scale=2", "optimizer.lr=0.002")
"""Outputs that spike, and go on doing so."""

CASES = {
    **{
        f"{method}, {weight_gradient}": (f"gradient.method={method}", f"gradient.weight_gradient={weight_gradient}")
        for method in config.CHOICES["gradient.method"]
        for weight_gradient in config.CHOICES["gradient.weight_gradient"]
    },
    "tssl with fallback": ("gradient.method=tssl", "gradient.tssl_fallback=true"),
    **{
        f"{loss}, {method}": (f"loss.name={loss}", f"gradient.method={method}", "loss.silent_push=0.1", *LIVELY)
        for loss in config.CHOICES["loss.name"]
        if loss != "membrane-mse"  # takes numbers, not the classes that these trainings have
        for method in ("exact", "surrogate")
    },
    **{f"{scheme}": (f"simulation.scheme={scheme}",) for scheme in config.CHOICES["simulation.scheme"]},
    **{f"reset {reset}": (f"network.reset={reset}",) for reset in config.CHOICES["network.reset"]},
    "unit-height": ("simulation.impulse=unit-height", "network.init_scale=10"),
    **{
        f"{engine}, {loss}": (f"simulation.engine={engine}", f"loss.name={loss}", *LIVELY)
        for engine in ("event", "hybrid")
        for loss in ("membrane-mean", "first-spike")
    },
    "poisson-rate": ("encoder.name=poisson-rate", "encoder.max_rate=3"),
    "regular": ("encoder.name=regular",),
    "latency": ("encoder.name=latency", "network.init_scale=4"),
    "sgd": ("optimizer.name=sgd", "optimizer.lr=0.05", "optimizer.clip_norm=1"),
    "adamw": ("optimizer.name=adamw", "optimizer.weight_decay=0.1"),
}


def trajectory(settings):
    """Losses of the first steps, a list of floats."""
    session = Session(config.load(None, [*BASE, *settings]))
    return [session.step()[0] for _ in range(STEPS)]


def record():
    """Write the present losses to :data:`FILE`."""
    recorded = {name: trajectory(settings) for name, settings in CASES.items()}
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(losses)}" for name, losses in recorded.items())
    FILE.write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    record()
