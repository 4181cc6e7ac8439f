"""One training loop for everything the project trains, and for what researchers train with it."""

from semcomm.training.loop import train
from semcomm.training.settings import Settings
from semcomm.training.task import Task

__all__ = ["Settings", "Task", "train"]
