"""The cortical microcircuit of Potjans and Diesmann (Cereb. Cortex 24, 785, 2014): 1 mm2 of early sensory cortex.

Eight populations in four layers; sizes, connection probabilities and external in-degrees are those of its table 5,
rates those of the full network. First membranes differ from population to population, near where they will be, so that
no volley starts the network; others optimised them (van Albada et al., Front. Neuroinform. 12, 291, 2018).
"""

import math

from snnsim.longrun.networks.balanced import NEURON, WEIGHT

NAMES = ("L23E", "L23I", "L4E", "L4I", "L5E", "L5I", "L6E", "L6I")
SIZES = (20683, 5834, 21915, 5479, 4850, 1065, 14395, 2948)
PROBABILITIES = (
    (0.1009, 0.1689, 0.0437, 0.0818, 0.0323, 0.0, 0.0076, 0.0),
    (0.1346, 0.1371, 0.0316, 0.0515, 0.0755, 0.0, 0.0042, 0.0),
    (0.0077, 0.0059, 0.0497, 0.135, 0.0067, 0.0003, 0.0453, 0.0),
    (0.0691, 0.0029, 0.0794, 0.1597, 0.0033, 0.0, 0.1057, 0.0),
    (0.1004, 0.0622, 0.0505, 0.0057, 0.0831, 0.3726, 0.0204, 0.0),
    (0.0548, 0.0269, 0.0257, 0.0022, 0.06, 0.3158, 0.0086, 0.0),
    (0.0156, 0.0066, 0.0211, 0.0166, 0.0572, 0.0197, 0.0396, 0.2252),
    (0.0364, 0.001, 0.0034, 0.0005, 0.0277, 0.008, 0.0658, 0.1443),
)
"""Rows are targets, columns sources."""
EXTERNAL = (1600, 1500, 2100, 1900, 2000, 1900, 2900, 2100)
EXTERNAL_RATE = 0.008
"""Spikes a millisecond of each external source."""
RATES = (0.903, 2.965, 4.414, 5.876, 7.569, 8.633, 1.105, 7.829)
"""Mean rates of the full network, spikes a second, from which a smaller one's missing input is estimated."""
FIRST_MEAN = (-68.28, -63.16, -63.33, -63.45, -63.11, -61.66, -66.72, -61.43)
FIRST_STD = (5.36, 4.57, 4.74, 4.94, 4.94, 4.55, 5.46, 4.48)
INHIBITION = -4.0
DELAYS = (1.5, 0.75)
"""Means of excitatory and inhibitory delays; their standard deviations are half of them."""


def synapse_numbers():
    """Count the synapses of each projection of the full network, targets x sources, from the probabilities of pairs."""
    return [
        [
            round(math.log1p(-p) / math.log1p(-1.0 / (n_target * n_source))) if p else 0
            for p, n_source in zip(row, SIZES, strict=True)
        ]
        for row, n_target in zip(PROBABILITIES, SIZES, strict=True)
    ]


def microcircuit(scale=1.0):
    """Tables of the network.

    Parameters
    ----------
    scale : float
        Share of neurons and of in-degrees. Weights of a smaller network grow by ``1/sqrt(scale)``, which keeps the
        fluctuations of the input, and a constant current makes up for the mean that is then missing.

    Returns
    -------
    dict
    """
    numbers, root = synapse_numbers(), math.sqrt(scale)
    populations, connections, inputs = [], [], []
    for t, target in enumerate(NAMES):
        missing = EXTERNAL[t] * EXTERNAL_RATE * WEIGHT
        for s, source in enumerate(NAMES):
            number = round(numbers[t][s] * scale * scale)
            inhibitory = s % 2 == 1
            # Synapses from layer 4 to layer 2/3 are twice as strong.
            weight = WEIGHT * (INHIBITION if inhibitory else 2.0 if (target, source) == ("L23E", "L4E") else 1.0)
            missing += numbers[t][s] / SIZES[t] * RATES[s] * 1e-3 * weight
            if number == 0:
                continue
            delay, w = DELAYS[inhibitory], weight / root
            sign = {"high": 0.0} if inhibitory else {"low": 0.0}
            connections.append(
                {
                    "source": source, "target": target, "shape": "fixed-total", "number": number, "multiple": True,
                    "weight": {"distribution": "normal", "mean": w, "std": abs(0.1 * w), **sign},
                    "delay": {"distribution": "normal", "mean": delay, "std": delay / 2, "low": 0.1},
                }
            )  # fmt: skip
        populations.append(
            {
                "name": target, "shape": round(SIZES[t] * scale), **NEURON,
                "v_init": {"distribution": "normal", "mean": FIRST_MEAN[t], "std": FIRST_STD[t], "high": -50.0 - 1e-6},
                **({"current": (1 - root) * NEURON["tau_syn"] * missing} if scale < 1 else {}),
            }
        )  # fmt: skip
        rate = EXTERNAL[t] * scale * EXTERNAL_RATE
        inputs.append({"kind": "poisson", "target": target, "rate": rate, "weight": WEIGHT / root})
    return {
        "simulation": {"dt": 0.1, "duration": 1000.0, "impulse": "unit-jump"},
        "population": populations, "connection": connections, "input": inputs,
    }  # fmt: skip
