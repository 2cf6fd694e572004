"""Parts of a training as its configuration wants them: engine and loss, and the way back from a network."""

from dataclasses import replace

from snnsim import config as configuration
from snnsim.engines import make_engine
from snnsim.losses import Loss
from snnsim.parameters import LIFParameters


def engine_of(config, parameters, readout):
    """Engine of a configuration for the given layers."""
    s, g = config.simulation, config.gradient
    options = {}
    if s.engine == "clock":
        options = {
            "scheme": s.scheme,
            "impulse": s.impulse,
            "synapse": s.synapse,
            "gradient": g.method,
            "weight_gradient": g.weight_gradient,
            "surrogate_slope": g.surrogate_slope,
            "tssl_max_inverse": g.tssl_max_inverse,
            "tssl_fallback": g.tssl_fallback,
            "tssl_width": g.tssl_width,
        }
    return make_engine(
        s.engine, parameters, readout, dt=s.dt, n_steps=s.n_steps, precision=configuration.precision(config),
        max_inverse_slope=g.max_inverse_slope, **options,
    )  # fmt: skip


def loss_of(config, n_classes, engine):
    """Loss of a configuration for an engine."""
    s, e = config.simulation, config.loss
    return Loss(
        e.name, n_classes=n_classes, duration=s.dt * s.n_steps, dt=s.dt, n_steps=s.n_steps,
        amplitude=getattr(engine, "takes_amplitude", False), target_true=e.target_true, target_false=e.target_false,
        tau=e.tau, label_smoothing=e.label_smoothing,
    )  # fmt: skip


def with_network(config, network):
    """Change the ``[network]`` table of a configuration to describe the given network."""
    columns = {name: tuple(getattr(p, name) for p in network.parameters) for name in LIFParameters.__dataclass_fields__}
    table = replace(config.network, layers=network.layers, readout=network.readout, **columns)
    return replace(config, network=table)
