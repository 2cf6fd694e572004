"""Parts of a training as its configuration wants them: engine and loss, and the way back from a network."""

from dataclasses import replace

import numpy as np

from snnsim import config as configuration
from snnsim.blueprint import network_of
from snnsim.encoders import Encoder
from snnsim.engines import make_engine
from snnsim.errors import InputError
from snnsim.initialisation import initial_tensors
from snnsim.integral_loss import IntegralLoss
from snnsim.losses import Loss
from snnsim.neurons import LIFParameters
from snnsim.own_parts import OwnEncoder, OwnLoss
from snnsim.registry import ENCODERS, LOSSES
from snnsim.simulator import Simulator


def simulator_of(config, network, **options):
    """Make a simulator of a configuration for a network; ``options`` say what it records and where it runs."""
    s = config.simulation
    return Simulator(
        network, s.engine, dt=s.dt, n_steps=s.n_steps, scheme=s.scheme, impulse=s.impulse, synapse=s.synapse,
        precision=configuration.precision(config), **options,
    )  # fmt: skip


def engine_of(config, network):
    """Engine of a configuration for a network."""
    s, g = config.simulation, config.gradient
    options = {}
    jumping = [p for p in network.populations_by_name.values() if not p.is_input and not p.neuron.filtered]
    if jumping and (s.engine != "clock" or g.method not in ("surrogate", "tssl")):
        raise InputError(
            f"gradient.method = {g.method!r} (engine {s.engine}): {jumping[0].neuron.kind} of {jumping[0].name} spikes "
            "when a spike arrives, whatever its weight: use engine clock with surrogate or tssl"
        )
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
    elif config.loss.name == IntegralLoss.name and not network.output.spiking and s.engine == "event":
        options = {"readout": "integral", "tau_w": config.loss.tau_w or np.inf}
    return make_engine(
        s.engine, network, dt=s.dt, n_steps=s.n_steps, precision=configuration.precision(config),
        max_inverse_slope=g.max_inverse_slope, layers=not config.loss.rate_strength, **options,
    )  # fmt: skip


def tensors_of(config, network):
    """Draw the initial tensors of a configuration's network, not yet scaled to a firing rate."""
    n = config.network
    scale = {name: n.init_scale for name in network.connections_by_name}
    for entry in config.connection:
        scale[entry.name or f"{entry.source}->{entry.target}"] *= entry.init_scale
    dtype = np.dtype(configuration.precision(config))
    return initial_tensors(network, n.init, scale, n.init_mean, n.recurrent_scale, config.training.seed, dtype)


def loss_of(config, n_classes, engine, rest=0.0):
    """Loss of a configuration for an engine; ``rest`` is that of the output's membranes."""
    s, e = config.simulation, config.loss
    common = {
        "n_classes": n_classes, "dt": s.dt, "n_steps": s.n_steps,
        "amplitude": getattr(engine, "takes_amplitude", False), "rest": rest,
    }  # fmt: skip
    if LOSSES.is_own(e.name):
        return OwnLoss(e.name, **common)
    if e.name == IntegralLoss.name:
        return IntegralLoss(e.tau_w or np.inf)
    return Loss(
        e.name, duration=s.dt * s.n_steps, target_true=e.target_true, target_false=e.target_false, tau=e.tau,
        label_smoothing=e.label_smoothing, **common,
    )  # fmt: skip


def encoder_of(config):
    """Make the encoder of a configuration."""
    e, s = config.encoder, config.simulation
    if ENCODERS.is_own(e.name):
        return OwnEncoder(e.name, dt=s.dt, n_steps=s.n_steps, seed=config.training.seed)
    return Encoder(
        e.name, dt=s.dt, n_steps=s.n_steps, max_probability=e.max_probability, max_rate=e.max_rate,
        t_latest=e.t_latest, latency_floor=e.latency_floor, seed=config.training.seed,
    )  # fmt: skip


def network_for(config, base, network, origin):
    """Network of a file, with the neurons of a configuration that may have been changed.

    Parameters
    ----------
    config, base : Config
        Changed, and as the file has it.
    network : Network
        Of the file.
    origin : str or Path
        Begins every message.

    Raises
    ------
    InputError
        If the configuration describes other populations or connections.
    """
    if config.network == base.network and config.population == base.population:
        made = None
    else:
        made = network_of(config)
        if made.tensor_shapes() != network.tensor_shapes():
            raise InputError(
                f"network.layers = {configuration.layers_text(config)}: the network of {origin} is "
                f"{configuration.layers_text(base)}"
            )
    return (network if made is None else network.with_neurons(made)).astype(configuration.precision(config))


def with_network(config, network):
    """Change a configuration to describe the layers of the given network, if it is a chain."""
    if not network.is_chain:
        return config
    neurons = [p if p.has_threshold else p.spiking() for p in network.parameters]
    names = [name for name in LIFParameters.fields() if getattr(config.network, name) is not None]
    columns = {name: tuple(getattr(p, name) for p in neurons) for name in names} | {"neuron": "lif"}
    table = replace(config.network, layers=network.layers, readout=network.readout, **columns)
    return replace(config, network=table)
