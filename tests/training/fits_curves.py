"""A task that is trained by one process or by two, on the same numbers."""

import torch
from torch import nn

from semcomm.seeds import Seed
from semcomm.training import Task

STEPS = 12


class Curve(Task):
    """Fits a parabola far off, so that no gradient is near 0. `both`: one process draws what two would."""

    excluded_from_recipe = frozenset({"both"})

    def __init__(self, both: bool = False) -> None:
        self.both = both

    def prepare(self, report=None):
        pass

    def fingerprint(self):
        return "curve"

    def build(self):
        return nn.Linear(1, 1)

    def batch(self, size, progress, generator):
        if self.both:
            second = Seed(f"0/train/{round(progress * STEPS)}/1").generator("batch")
            x = torch.cat([torch.rand(size // 2, 1, generator=g) for g in (generator, second)])
        else:
            x = torch.rand(size, 1, generator=generator)
        return {"x": x}

    def losses(self, module, batch, generator):
        return {"loss": (module(batch["x"]) - 5 - 9 * batch["x"] ** 2).square().mean()}

    def validate(self, module):
        return {"at 1": module(torch.ones(1, 1)).item()}

    def exported(self, module):
        return module.state_dict()

    def load(self, module, tensors):
        module.load_state_dict(tensors)

    def describe(self, module):
        return {"name": "curve", "title": "Curve", "purpose": "A parabola.", "data": [], "checks": {}}
