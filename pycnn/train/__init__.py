"""Training on real data: the loop, checkpoints, logs, and the commands train and predict."""

from pycnn.train.checkpoint import Checkpoint, load, load_model, save
from pycnn.train.compiled_step import CompiledStep
from pycnn.train.diverged import Diverged
from pycnn.train.evaluation import evaluate
from pycnn.train.gradients import accuracy
from pycnn.train.history import Epoch
from pycnn.train.hooks import Hook
from pycnn.train.interrupt import Interrupted
from pycnn.train.parallel import processes
from pycnn.train.predict import Predictor
from pycnn.train.state import StepInfo
from pycnn.train.trainer import Trainer

__all__ = [
    "Checkpoint",
    "CompiledStep",
    "Diverged",
    "Epoch",
    "Hook",
    "Interrupted",
    "Predictor",
    "StepInfo",
    "Trainer",
    "accuracy",
    "evaluate",
    "load",
    "load_model",
    "processes",
    "save",
]
