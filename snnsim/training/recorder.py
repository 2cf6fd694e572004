"""Record chosen batches of a training."""

from typing import Any

import numpy as np

from snnsim import config as configuration
from snnsim.errors import InputError
from snnsim.recording.stream import Feed, open_writer
from snnsim.recording.units import writer_units
from snnsim.recording.writer import check_place
from snnsim.simulator import Simulator
from snnsim.training.callbacks import Callback


class Record(Callback):
    """Record the network, as it is before the update, on chosen batches of a training.

    A training on a GPU is recorded there: a batch's spikes and traces are copied and written while later ones run.

    Parameters
    ----------
    directory : str or Path
        Of the recording; made at the first chosen batch.
    batches : slice or list of int
        Batches of the whole training, counted from 0 over all epochs; ten without it.
    overwrite : bool
        Replace a recording that is there.
    **record
        ``record``, ``record_layers``, ``record_every`` of ``snnsim.simulator.Simulator``.
    """

    def __init__(self, directory: Any, batches: Any = slice(10), overwrite: bool = False, **record: Any) -> None:
        self.directory, self.chosen, self.overwrite, self.record = directory, batches, overwrite, record
        self._writer = self._feed = None

    @property
    def trials(self) -> int:
        """Trials that are written; all of them after the end."""
        return self._feed.trials if self._feed else 0

    def on_end(self, training: Any, error: BaseException | None) -> None:
        """Close the files."""
        if self._writer is not None:
            kind = (type(error), error, error.__traceback__) if error else (None, None, None)
            try:
                self._feed.__exit__(*kind)
            finally:
                self._writer.__exit__(*kind)

    records = True

    def on_prepare(self, session: Any) -> None:
        """Check everything that can be checked before the first batch; nothing is written.

        Raises
        ------
        InputError
            For options that the network cannot be recorded with, batches that it will not see, or a recording that is
            there.
        """
        batches = range(session.batches * session.config.training.epochs)
        chosen = batches[self.chosen] if isinstance(self.chosen, slice) else set(self.chosen).intersection(batches)
        if not chosen:
            raise InputError(f"--record-batches: names none of the {len(batches)} batches of the training")
        self._chosen = chosen
        check_place(self.directory, self.overwrite)
        s = session.config.simulation
        network = session.network
        self._simulator = Simulator(
            network, s.engine, dt=s.dt, n_steps=s.n_steps,
            scheme=s.scheme, impulse=s.impulse, synapse=s.synapse, precision=configuration.precision(session.config),
            target=session.target, **self.record,
        )  # fmt: skip

    def on_batch_begin(self, session: Any) -> None:
        """Record the next batch of a session if it is one of the chosen."""
        if session.epoch * session.batches + session.batch not in self._chosen:
            return
        if self._writer is None:
            self._open(session)
        values, labels, ids = session.next_batch()
        inputs = session.inputs(values, ids, session.epoch)
        for name, now in session.network.tensors.items():
            self._simulator.tensors[name][...] = now
        epoch = np.full(len(ids), session.epoch + 1)
        labels = labels if session.train.labelled else np.full(len(ids), -1)
        self._feed.put(inputs, sample_index=ids, label=labels, split="train", epoch=epoch)

    def _open(self, session):
        self._writer = open_writer(
            self.directory, self._simulator, config=configuration.to_tree(session.config),
            seed=session.config.training.seed, overwrite=self.overwrite,
            **writer_units(session.config, session.train.spiking),
        )  # fmt: skip
        self._writer.__enter__()
        labelled = session.train.labelled
        predict = (lambda output, labels: session.loss(output, labels).prediction) if labelled else None
        self._feed = Feed(self._simulator, self._writer, predict)
