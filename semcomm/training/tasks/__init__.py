"""The trainings: one file for everything that is trained here."""

from semcomm.training.tasks.autoencoding import Autoencoding
from semcomm.training.tasks.deepjscc import DeepJSCCTraining
from semcomm.training.tasks.denoising import LatentDenoising
from semcomm.training.tasks.distillation import Distillation
from semcomm.training.tasks.jscc import JSCCTask
from semcomm.training.tasks.lsci import LSCITraining
from semcomm.training.tasks.relations import RelationTraining

__all__ = [
    "Autoencoding",
    "DeepJSCCTraining",
    "Distillation",
    "JSCCTask",
    "LSCITraining",
    "LatentDenoising",
    "RelationTraining",
]
