"""Coverage of the 95 % intervals of a mean, beside the interval of percentiles, as a table in Markdown.

    python -m benchmarks.intervals [--trials 4000]

Each trial draws n values, one per image, of a distribution with a known mean; percentiles are of 1,000 resampled means.
The standard error of an entry is at most 0.7 points.
"""

import argparse
from collections.abc import Callable

import numpy as np

from semcomm.analysis.statistics import estimate

IMAGES = (3, 5, 10, 24, 100)
DRAWS: dict[str, tuple[Callable[[np.random.Generator, tuple], np.ndarray], float]] = {
    "normal": (lambda rng, shape: rng.normal(size=shape), 0.0),
    "exponential": (lambda rng, shape: rng.exponential(size=shape), 1.0),
    "Laplace": (lambda rng, shape: rng.laplace(size=shape), 0.0),
    "log-normal": (lambda rng, shape: rng.lognormal(size=shape), float(np.exp(0.5))),
}


def covered(draw: Callable, mean: float, images: int, trials: int) -> tuple[float, float]:
    """Return how often ours and that of percentiles hold the mean, in per cent."""
    rng = np.random.default_rng(1)
    samples = draw(rng, (trials, images))
    ours = [(found := estimate(values[:, None])).low <= mean <= found.high for values in samples]
    counts = rng.multinomial(images, np.full(images, 1 / images), size=1000) / images
    low, high = np.quantile(samples @ counts.T, [0.025, 0.975], axis=1)
    return 100 * float(np.mean(ours)), 100 * float(np.mean((low <= mean) & (mean <= high)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=4000)
    trials = parser.parse_args().trials
    print(f"| values | {' | '.join(f'n = {n}' for n in IMAGES)} |")
    print(f"|---|{'---:|' * len(IMAGES)}")
    for name, (draw, mean) in DRAWS.items():
        pairs = [covered(draw, mean, n, trials) for n in IMAGES]
        print(f"| {name} | {' | '.join(f'{ours:.1f} ({theirs:.1f})' for ours, theirs in pairs)} |")


if __name__ == "__main__":
    main()
