"""The shipped event-driven configurations: they run, they learn, and at full length they reach what they are for."""

import pytest

from snnsim.config import load
from snnsim.training.evaluation import evaluate
from snnsim.training.session import Session

SHIPPED = ("bats-count", "bats-count-2layer", "bats-ttfs", "yin-yang-event")


def losses(session, batches):
    return [session.step()[0] for _ in range(batches)]


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("engine", ["event", "hybrid"])
def test_the_first_batches_lower_the_loss(name, engine):
    # Larger steps than the configurations', since there are few.
    settings = [
        "data.limit=1000", "training.batch_size=20", f"simulation.engine={engine}", "optimizer.lr=0.02",
        "optimizer.schedule=constant",
    ]  # fmt: skip
    if not name.startswith("yin"):
        hidden = ", ".join(["60"] * (1 + name.endswith("2layer")))
        # Fewer neurons, so larger weights.
        settings += [f"network.layers=[784, {hidden}, 10]", "network.v_threshold=0.7"]
    session = Session(load(name, settings))
    found = losses(session, min(40, session.batches))
    assert sum(found[-4:]) < 0.95 * sum(found[:4])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "wanted"), [("bats-count", 0.98), ("bats-ttfs", 0.975), ("yin-yang-event", 0.975)])
def test_the_shipped_configurations_reach_their_accuracy(name, wanted):
    session = Session(load(name))
    for _ in range(session.config.training.epochs):
        for _ in range(session.batches):
            session.step()
        session.end_epoch()
    assert evaluate(session, session.test).accuracy >= wanted
