"""Find the network of a run directory or model file, with the configuration it was trained with."""

from pathlib import Path


def model_path(run):
    """File of the model in a run directory, or the file itself."""
    from snnsim.errors import InputError

    path = Path(run)
    if path.is_dir():
        path = path / "model.h5"
        if not path.exists():
            raise InputError(f"{run}: no model.h5; the run has not finished an epoch, or this is no run directory")
    return path


def session_of(run, settings=None, flags=None, target="cpu", encodes=True):
    """Session with the network of a run, and the run's configuration changed by flags and ``--set``.

    Parameters
    ----------
    run : str or Path
    settings : list of str, optional
    flags : dict, optional
    target : {"cpu", "cuda", "auto"}
    encodes : bool
        As of :func:`cli.options.configuration`.

    Returns
    -------
    snnsim.training.Session
    """
    from snnsim import config
    from snnsim.errors import InputError
    from snnsim.models import read_model
    from snnsim.training.parts import network_for, with_network
    from snnsim.training.target import session_class

    from . import options

    network, trained, classes, _ = read_model(model_path(run))
    base = with_network(trained or config.load(), network)
    chosen = options.configuration(base, settings, flags or {}, encodes)
    session = session_class(target)(chosen, network_for(chosen, base, network, run))
    theirs = session.train.classes
    # A recording has numbers of classes only.
    if classes and list(map(str, theirs)) != list(map(str, classes)) and theirs != tuple(range(len(classes))):
        mine, others = (", ".join(map(str, names[:8])) for names in (classes, theirs))
        raise InputError(f"{run}: was trained on classes {mine}; {session.train.name} has {others}")
    return session
