"""Training: encode -> forward -> loss -> backward -> update, with run directories that can be resumed."""

from snnsim.training.evaluation import Evaluation, evaluate
from snnsim.training.run import resume, train
from snnsim.training.session import Session

__all__ = ["Evaluation", "Session", "evaluate", "resume", "train"]
