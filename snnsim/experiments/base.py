"""What the experiments share: claims, the running context, configurations."""

import tomllib
from dataclasses import asdict, dataclass, is_dataclass
from importlib import resources
from pathlib import Path

from snnsim.config import setting_value
from snnsim.errors import InputError
from snnsim.parameters import LIFParameters
from snnsim.recording.runs import load_tree, save_tree

HOLDS, PARTLY, FAILS, ANSWER, UNSEEN = "holds", "holds in part", "does not hold", "answered", "not reproduced"


@dataclass(frozen=True)
class Claim:
    """A statement of the study (or a question that it leaves open) and what was measured.

    Parameters
    ----------
    statement : str
    source : str
        Where the study makes it, such as ``section 2.2, eq 10``.
    measured : str
        One or two sentences with numbers.
    verdict : str
        ``HOLDS``, ``PARTLY``, ``FAILS``; ``UNSEEN`` where something was seen there that could not be seen here, which
        does not refute it; ``ANSWER`` for an open question, or a fact without a claim.
    number : str
        Which of the study's claims (C), limitations (L), future work (F) or set-up (S) it judges, numbered in the order
        of the text: ``C4, C6``. Empty for a question of our own.
    """

    statement: str
    source: str
    measured: str
    verdict: str
    number: str = ""

    def __post_init__(self):
        if self.verdict not in (HOLDS, PARTLY, FAILS, ANSWER, UNSEEN):
            raise ValueError(f"verdict {self.verdict!r}")


def verdict(full, part=False):
    """Choose ``HOLDS`` if ``full``, else ``PARTLY`` if ``part``, else ``FAILS``."""
    return HOLDS if full else PARTLY if part else FAILS


def tree(value):
    """Dataclasses inside ``value`` as nested dictionaries, ready for :func:`snnsim.recording.runs.save_tree`."""
    if is_dataclass(value):
        return {key: tree(item) for key, item in asdict(value).items()}
    if isinstance(value, dict):
        return {key: tree(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [tree(item) for item in value]
    return value


def neuron(config):
    """Parameters of the ``[neuron]`` table of a configuration."""
    return LIFParameters(**config["neuron"])


def load_config(name, quick, settings=()):
    """Shipped configuration of an experiment; with ``quick``, its ``[quick]`` table replaces values.

    Parameters
    ----------
    name : str
    quick : bool
    settings : sequence of str
        Values that replace those, as ``KEY=VALUE`` with a dotted key and a value in TOML: ``steps.samples=15000``.

    Returns
    -------
    config : dict
        Without the tables ``quick`` and ``seconds``.
    seconds : float
        Expected duration on two cores, for the progress bar.

    Raises
    ------
    InputError
        If there is no such experiment, or a setting changes nothing, or to a value of another kind.
    """
    file = resources.files("snnsim.configs") / f"reproduce-{name}.toml"
    if not file.is_file():
        raise InputError(f"experiment {name!r}: has no shipped configuration")
    config = tomllib.loads(file.read_text(encoding="utf-8"))
    changes, seconds = config.pop("quick", {}), config.pop("seconds")
    if quick:
        _merge(config, changes)
    for setting in settings:
        _set(config, setting, f"--set {setting}")
    return config, float(seconds["quick" if quick else "full"])


def _merge(config, changes):
    for key, value in changes.items():
        if isinstance(value, dict):
            _merge(config[key], value)
        else:
            if key not in config:
                raise KeyError(f"quick.{key}: changes nothing")
            config[key] = value


def _set(config, setting, origin):
    key, equals, text = setting.partition("=")
    *tables, name = key.strip().split(".")
    if not equals:
        raise InputError(f"{origin}: must be KEY=VALUE, such as steps.samples=15000")
    table = config
    for part in tables:
        table = table.get(part) if isinstance(table, dict) else None
    if not isinstance(table, dict) or name not in table or isinstance(table[name], dict):
        raise InputError(f"{origin}: the experiment has no key {key.strip()}")
    value, before = setting_value(text.strip(), origin), table[name]
    if isinstance(before, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not type(before):
        raise InputError(f"{origin}: must be of the kind of {before!r}, a {type(before).__name__}")
    table[name] = value


def without(config, keys):
    """Copy a configuration, without the given keys, dotted where they lie in a table."""
    out = {key: dict(value) if isinstance(value, dict) else value for key, value in config.items()}
    for key in keys:
        table, _, name = key.rpartition(".")
        del (out[table] if table else out)[name]
    return out


def one_by_one(calls):
    """Run independent calls, ``{key: (function, *arguments)}``, in this process; yields each key with its result."""
    for key, (function, *arguments) in calls.items():
        yield key, function(*arguments)


class Context:
    """A running experiment: keeps finished parts on disk, so that it can go on after a stop, and reports progress.

    Parameters
    ----------
    folder : Path
        For the parts.
    config : dict
        A part is used again only if it was computed with the same configuration.
    report : callable
        Called with the fraction done, in [0, 1].
    run_calls : callable
        Runs independent calls, as :func:`one_by_one` does, in any order.

    Attributes
    ----------
    resumed : bool
        Whether a part of an earlier run was used.
    """

    def __init__(self, folder, config, report=lambda fraction: None, run_calls=one_by_one):
        self._folder, self._config, self._report, self._run_calls = Path(folder), config, report, run_calls
        self._done = self._total = 0
        self.resumed = False

    def expect(self, n):
        """Announce that progress will be counted in ``n`` equal portions."""
        self._total, self._done = n, 0

    def advance(self, n=1):
        """Count ``n`` portions as done."""
        self._done += n
        self._report(min(self._done / max(self._total, 1), 1.0))

    def part(self, key, compute):
        """Return the tree of ``compute()``, from disk if an earlier run with this configuration finished it.

        Counts as one portion of the progress.
        """
        found = self._stored(key, self._config)
        if found is None:
            found = self._keep(key, compute(), self._config)
        self.advance()
        return found

    def parts(self, calls, axes=()):
        """Return the trees of independent calls, from disk where an earlier run with this configuration finished them.

        Each counts as one portion of the progress.

        Parameters
        ----------
        calls : dict of str to tuple
            Function of a module and its arguments by the key of the part; other processes may run them, at once.
        axes : sequence of str
            Keys of the configuration, such as ``time.dt``, that say only which parts there are: others may be added.

        Returns
        -------
        dict
            By the same keys, in the same order.
        """
        config = without(self._config, axes)
        found = {key: self._stored(key, config) for key in calls}
        missing = {key: call for key, call in calls.items() if found[key] is None}
        self.advance(len(calls) - len(missing))
        for key, result in self._run_calls(missing):
            found[key] = self._keep(key, result, config)
            self.advance()
        return found

    def _stored(self, key, config):
        path = self._folder / f"{key}.h5"
        stored = load_tree(path, "experiment-part") if path.exists() else None
        if stored is None or stored["config"] != config:
            return None
        self.resumed = True
        return stored["result"]

    def _keep(self, key, result, config):
        path = self._folder / f"{key}.h5"
        self._folder.mkdir(parents=True, exist_ok=True)
        save_tree(path, {"config": config, "result": tree(result)}, "experiment-part")
        return load_tree(path, "experiment-part")["result"]
