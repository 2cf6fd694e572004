"""Parts by name: what a configuration may choose among, and how a part of one's own is named.

A part of one's own is ``"package.module:Name"``, a class (made without arguments), a function or an object there. It
is imported only where its user gave the name, on the command line, in a TOML file or in Python: files of results name
parts, too, and reading one must not run what it names.
"""

import importlib
import os
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from snnsim.errors import InputError, nearest

OWN = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.<>]*(#\d+)?")


class Registry:
    """Parts of one kind.

    Parameters
    ----------
    option : str
        Key of the configuration that chooses one; begins messages.
    known : mapping of str to str
        ``"module:name"`` of each part that comes with snnsim; imported when it is used.
    own : bool
        Whether there may be others.
    """

    def __init__(self, option: str, known: Mapping[str, str], own: bool = True) -> None:
        self.option, self._known, self._own = option, dict(known), own
        self._given: dict[str, Any] = {}
        self._allowed: set[str] = set()

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, name: object) -> bool:
        """Whether a name is known, or of the form of one's own; nothing is imported."""
        return isinstance(name, str) and (name in self._known or (self._own and OWN.fullmatch(name) is not None))

    @property
    def help(self) -> str:
        """Names for a help text."""
        return ", ".join(self._known) + (", or package.module:Name" if self._own else "")

    def is_own(self, name: str) -> bool:
        """Whether a name is not one of those that come with snnsim."""
        return name not in self._known

    def allow(self, name: str) -> None:
        """Note that the user gave this name, so that it may be imported."""
        self._allowed.add(name)

    def find(self, name: str) -> Any:
        """Give the part of a name.

        Raises
        ------
        InputError
            If there is none, or it may not be imported.
        """
        if name in self._known:
            return _imported(self._known[name])
        if name in self._given:
            return self._given[name]
        if name not in self:
            raise InputError(f"{self.option} = {name!r}: must be one of {self.help}{nearest(str(name), self._known)}")
        module = name.partition(":")[0]
        if "#" in name:
            raise InputError(f"{self.option} = {name!r}: was given as an object; give it again")
        if name not in self._allowed and module not in sys.modules:
            raise InputError(
                f"{self.option} = {name!r}: named by a file; import {module} first, or name it yourself, so that its "
                "code may run"
            )
        if os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())  # where people keep parts of their own
        try:
            found = _imported(name)
        except (ImportError, AttributeError) as error:
            raise InputError(f"{self.option} = {name!r}: {' '.join(str(error).split())}") from error
        if isinstance(found, type):
            try:
                found = found()
            except TypeError as error:
                raise InputError(f"{self.option} = {name!r}: must be made without arguments: {error}") from error
        self._given[name] = found
        return found

    def name_of(self, part: Any) -> str:
        """Give the name of a part: of one's own, too, which :meth:`find` then knows.

        Parameters
        ----------
        part : str or object
            A name is returned as it is, and allowed.
        """
        if isinstance(part, str):
            self.find(part) if self.is_own(part) and part in self._given else self.allow(part)
            return part
        kind = part if isinstance(part, type) or hasattr(part, "__qualname__") else type(part)
        name = f"{kind.__module__}:{kind.__qualname__}".replace("<lambda>", "function")
        if kind is type(part) and not getattr(part, "__dict__", True):
            part = kind  # one without settings is as good as another
        for known, found in self._given.items():
            if found is part or (found.__class__ is part and known == name):
                return known
        if not _is_at(part, name):
            # No other process finds this very object by a name.
            number = 1 + sum(known.startswith(f"{name}#") for known in self._given)
            name = f"{name}#{number}"
        self._given[name] = part() if isinstance(part, type) else part
        return name


def _imported(path: str) -> Any:
    module, _, name = path.partition(":")
    found = importlib.import_module(module)
    for part in filter(None, name.split(".")):
        found = getattr(found, part)
    return found


def _is_at(part: Any, name: str) -> bool:
    """Whether importing a name gives this object."""
    module, _, path = name.partition(":")
    found = sys.modules.get(module)
    for step in path.split("."):
        found = getattr(found, step, None)
    return found is part


LOSSES = Registry(
    "loss.name",
    {
        "membrane-mean": "snnsim.losses:Loss",
        "membrane-max": "snnsim.losses:Loss",
        "membrane-mse": "snnsim.losses:Loss",
        "membrane-integral": "snnsim.integral_loss:IntegralLoss",
        "count-cross-entropy": "snnsim.losses:Loss",
        "count-mse": "snnsim.losses:Loss",
        "first-spike": "snnsim.losses:Loss",
        "van-rossum": "snnsim.losses:Loss",
    },
)
OPTIMIZERS = Registry(
    "optimizer.name",
    {"sgd": "snnsim.optimizers:SGD", "adam": "snnsim.optimizers:Adam", "adamw": "snnsim.optimizers:AdamW"},
)
SCHEDULES = Registry(
    "optimizer.schedule",
    {
        "constant": "snnsim.optimizers:constant",
        "step": "snnsim.optimizers:step",
        "cosine": "snnsim.optimizers:cosine",
    },
)
ENCODERS = Registry(
    "encoder.name",
    dict.fromkeys(("poisson", "poisson-rate", "regular", "latency"), "snnsim.encoders:Encoder"),
)
ESTIMATORS = Registry(
    "gradient.method",
    {name: f"snnsim.estimators.{name}" for name in ("exact", "literal", "tssl", "surrogate")},
    own=False,
)
