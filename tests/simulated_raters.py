"""Simulated raters and small studies. What they say is never anybody's opinion."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from fuzzing.asgi import Answer, call
from semcomm.images import quantise
from semcomm.ratings import Settings, Study
from semcomm.ratings.server import application
from semcomm.ratings.study import Shown

STRENGTHS = (0.02, 0.06, 0.12, 0.25)


def originals(count: int, height: int = 32, width: int = 48) -> list[torch.Tensor]:
    """Smooth random images [3, H, W]."""
    rng = torch.Generator().manual_seed(1)
    coarse = torch.rand(count, 3, 4, 6, generator=rng)
    return list(quantise(torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")))


def noisy(image: torch.Tensor, strength: float, seed: int) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return quantise((image + strength * torch.randn(image.shape, generator=rng)).clamp(0, 1))


def items(count: int = 12, sides: int = 2) -> list[Shown]:
    """Items of four originals, each with as many noisy images."""
    found = []
    for n, image in enumerate(originals(4) * (count // 4)):
        strengths = [STRENGTHS[(n + k) % len(STRENGTHS)] for k in (0, 1 + n // 4)][:sides]
        images = [noisy(image, strength, 10 * n + k) for k, strength in enumerate(strengths)]
        names = [f"original {n % 4}", *(f"noise {s}" for s in strengths), *[None] * (2 - sides)]
        loads = [lambda image=image: image for image in [image, *images]] + [None] * (2 - sides)
        facts = {"names": names, "candidates": [{"link": "noise", "strength": s} for s in strengths]}
        found.append(Shown(*loads, facts))
    return found


def small_study(folder: Path, count: int = 12, raters: int | None = None, **settings: object) -> Study:
    chosen = {"simulated": True, "items_per_rater": 6, "ratings_per_item": 2, "repeats": 2, "identical": 2, **settings}
    wanted = Settings(**{"metrics": ["PSNR"], **chosen})
    return Study.make(folder, wanted, items(count, 1 if wanted.kind == "pairs" else 2), raters)


class Client:
    """Talks to a study's application as one rater's browser does."""

    def __init__(self, study: Study, code: str, app: Callable | None = None) -> None:
        self.study, self.code = study, code
        self.app = app or application(study, "http://localhost")
        self.base = f"/r/{study.links.rater(code)}"

    def get(self, path: str) -> Answer:
        return call(self.app, "GET", self.base + path)

    def post(self, path: str, data: object) -> Answer:
        body = json.dumps(data).encode()
        return call(self.app, "POST", self.base + path, body, [(b"content-type", b"application/json")])

    def state(self) -> dict:
        return json.loads(self.get("/state").body)

    def rate(self, position: int, first: float = 0.5, second: float | None = 0.5, seconds: float = 3.0) -> Answer:
        answer = {"position": position, "first": first, "seconds": seconds}
        return self.post("/rating", answer if second is None else {**answer, "second": second})


def opinion(study: Study, code: str, position: int, noise: float, rng: np.random.Generator) -> list[float]:
    """The score of a simulated rater: 1 for the original itself, less the more noise there is, and their own error."""
    trial, item = study.database.trial(code, position)
    keys = study.keys_of(trial, item)
    scores = []
    for slot in [name for name in ("first", "second") if name in keys]:
        error = (study.image(keys["original"]) - study.image(keys[slot])).square().mean().sqrt().item()
        scores.append(float(np.clip(1 - 3 * error + noise * rng.normal(), 0, 1)))
    if study.settings.kind == "choices":
        scores = [1.0, 0.0] if scores[0] > scores[1] else [0.0, 1.0]
    return scores


def answer_all(study: Study, code: str, noise: float = 0.03, seconds: float = 3.0) -> None:
    """Have a simulated rater go through a study by its web interface."""
    client, rng = Client(study, code), np.random.default_rng(int(code[1:]))
    client.post("/consent", {})
    state = client.state()
    while state["stage"] == "rate":
        scores = opinion(study, code, state["position"], noise, rng)
        answer = client.rate(state["position"], *[*scores, None][:2], seconds=seconds)
        assert answer.status == 200
        state = json.loads(answer.body)
