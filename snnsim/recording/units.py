"""Units of a recording as its run said them: in tables, tables' heads and axes; none where it said none."""

from typing import NamedTuple

from snnsim.errors import InputError

MILLISECONDS = {"ms": 1.0, "s": 1000.0, "": 1.0}
"""Of the units of time that a run may say. Files that must count milliseconds take a unit of none for one."""


class Units(NamedTuple):
    """How times and rates of a recording are shown.

    Attributes
    ----------
    factor : float
        Shown unit in a unit of network time.
    time : str
        Name of the shown unit, "" for none.
    of_ms : float
        Shown unit in a millisecond of the files' own clocks.
    per : float
        A rate of one spike in a unit of network time, as it is shown.
    rate : str
        Unit of rates.
    """

    factor: float
    time: str
    of_ms: float
    per: float
    rate: str

    @property
    def axis(self):
        """Label of an axis of time."""
        return labelled("time", self.time)

    def text(self, value, digits="g"):
        """Write a time of the network with its unit."""
        return f"{value * self.factor:{digits}} {self.time}".rstrip()


def units_of(info):
    """Units of a recording; ``info`` is that of :class:`snnsim.recording.reader.Traces`."""
    name, factor = info.get("time_unit", "ms"), info["time_unit_ms"]
    if not name:
        return Units(1.0, "", 1 / factor, 1.0, "per unit time")
    if name == "s":
        return Units(factor / 1000, "s", 1e-3, 1000 / factor, "Hz")
    return Units(factor, "ms", 1.0, 1000 / factor, "Hz")


def labelled(what, unit):
    """Name a quantity with its unit, if it has one."""
    return f"{what} ({unit})" if unit else what


def writer_units(config, timed):
    """Arguments of a writer that say the units of a configuration.

    Parameters
    ----------
    config : snnsim.config.Config
    timed : bool
        Whether its data has times, which are brought to milliseconds where the unit is ``auto``.
    """
    name = {"none": "", "auto": "ms" if timed else ""}.get(config.simulation.time_unit, config.simulation.time_unit)
    return {
        "time_unit": name, "time_unit_ms": MILLISECONDS[name], "voltage_unit": config.network.voltage_unit,
        "current_unit": config.network.current_unit,
    }  # fmt: skip


def checked_unit(name):
    """Give the name of a unit of time; InputError unless it is one."""
    if name not in MILLISECONDS:
        raise InputError(f"time_unit = {name!r}: must be ms, s, or empty for none")
    return name
