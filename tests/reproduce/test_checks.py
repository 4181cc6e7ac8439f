"""Checks on results made by hand, whose verdicts follow from how they were made."""

import numpy as np
import pytest

from semcomm.analysis.statistics import Estimate, estimate, estimate_of
from semcomm.reproduce.checks import Check, Concentrated, Part, Ranks, Reverses, Rises, Widens
from semcomm.reproduce.checks_of_scores import (
    Facts,
    Level,
    MoreSensitive,
    NeedsPeople,
    Payload,
    Published,
    Steepens,
    WorstCase,
)
from semcomm.reproduce.evidence import Evidence, Missing, stated

IMAGES = 12
LOWER_IS_BETTER = ("LPIPS",)
HOLDS, IN_PART, NOT, UNTESTED = "holds", "holds in part", "does not hold", "could not be tested"


def evidence(points: list[dict], noise: float = 0.001, images: int = IMAGES, **means: list[float]) -> Evidence:
    """Metrics with the given means at the points; images differ by much, and alike at all points."""
    rng = np.random.default_rng(7)
    shared = rng.normal(0, 0.02, (1, images, 1))
    values = {
        name: np.array(mean, dtype=float)[:, None, None] + shared + rng.normal(0, noise, (len(mean), images, 2))
        for name, mean in means.items()
    }
    named = {name: name for name in means if name[0].isupper()}
    return Evidence(points, values, named, {name: name not in LOWER_IS_BETTER for name in named})


def curve(*places: float, axis: str = "bpp", name: str = "codec") -> list[dict]:
    return [{"transceiver": name, axis: place} for place in places]


CODEC = {"transceiver": "codec"}
A, B = {"transceiver": "a"}, {"transceiver": "b"}
OVER_RATE = curve(0.1, 0.2, 0.4, 0.8)


@pytest.mark.parametrize(
    ("outcome", "low", "high", "above", "below"),
    [
        ("supported", 0.1, 0.2, 0.0, np.inf),
        ("contradicted", -0.2, -0.1, 0.0, np.inf),
        ("contradicted", 0.0, 0.0, 0.0, np.inf),
        ("open", -0.1, 0.1, 0.0, np.inf),
        ("supported", -0.01, 0.01, -0.02, 0.02),
        ("open", -0.03, 0.01, -0.02, 0.02),
        ("contradicted", 0.03, 0.04, -0.02, 0.02),
    ],
)
def test_an_interval_against_bounds(outcome, low, high, above, below):
    assert Part("x", Estimate((low + high) / 2, low, high, 9, 0, 9), above, below).outcome == outcome


def test_intervals_of_differences_are_paired():
    found = evidence([A, B], SeSS=[0.5, 0.505]).interval([("SeSS", 1), ("SeSS", 0)], lambda m: m[..., 0] - m[..., 1])
    assert 0.003 < found.low < found.mean < found.high < 0.007  # the images alone differ by 0.02


def test_intervals_cover_what_they_estimate():
    """The 95 % interval of a difference of true value 0.3 holds it about that often."""
    covered = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        values = rng.normal(0, 1, (2, 25, 1)) + rng.normal(0, 2, (1, 25, 1)) + np.array([0.3, 0.0])[:, None, None]
        found = estimate_of(lambda m: m[..., 0] - m[..., 1], values)
        covered += found.low <= 0.3 <= found.high
    assert 0.88 <= covered / 200 <= 0.98


def test_infinite_values_are_left_out_and_counted():
    values = np.array([[30.0], [np.inf], [32.0], [31.0], [30.0], [32.0]])
    found = stated(estimate(values))
    assert found.mean == pytest.approx(31.0) and (found.infinite, found.images) == (1, 5)
    with pytest.raises(Missing, match="infinite for every image"):
        stated(estimate(np.full((6, 1), np.inf)))


RISES = Rises("SeSS", "bpp", [CODEC])
STEEP = Concentrated("SeSS", "bpp", CODEC, upto=0.2, above=0.5, more_than=["PSNR"])
LATE = Concentrated("SeSS", "bpp", CODEC, beyond=0.4, more_than=["PSNR"])
REVERSES = Reverses("CLIPScore", "bpp", [CODEC])
RANKS = Ranks(A, B, above=["SeSS"], below=["PSNR"])
ALIKE = Ranks(A, B, level=["CLIPScore"], margin=0.02)
WORST = WorstCase("SeSS", [A, B], ["SSIM", "PSNR"])
NOISE = curve(0, 600, 800, axis="noise")
SHARP = Steepens("SeSS", "noise", CODEC, 0, 600, 800)
SENSITIVE = MoreSensitive(["SeSS"], ["LPIPS", "PSNR"], "noise", CODEC)
WIDENS = Widens("SSIM", "a", "b", {"snr_db": 5}, {"snr_db": 10}, from_the_start=True)
GAINS = [{**link, "snr_db": snr} for snr in (5, 10) for link in (A, B)]
LEVELS = Level("PSNR", [A, B], below=0.5)


@pytest.mark.parametrize(
    ("check", "points", "verdict", "means"),
    [
        (RISES, OVER_RATE, HOLDS, {"SeSS": [0.2, 0.5, 0.7, 0.8]}),
        (RISES, OVER_RATE, IN_PART, {"SeSS": [0.2, 0.7, 0.5, 0.8]}),
        (RISES, OVER_RATE, NOT, {"SeSS": [0.8, 0.5, 0.6, 0.2]}),
        (RISES, OVER_RATE, UNTESTED, {"PSNR": [0.8, 0.5, 0.6, 0.2]}),
        (Rises("SeSS", "bpp", [CODEC], falls=True), OVER_RATE, HOLDS, {"SeSS": [0.8, 0.6, 0.5, 0.2]}),
        (Rises("LPIPS", "bpp", [CODEC]), OVER_RATE, HOLDS, {"LPIPS": [0.8, 0.6, 0.5, 0.2]}),
        (STEEP, OVER_RATE, HOLDS, {"SeSS": [0.1, 0.7, 0.8, 0.9], "PSNR": [0.1, 0.3, 0.6, 0.9]}),
        (STEEP, OVER_RATE, IN_PART, {"SeSS": [0.1, 0.7, 0.8, 0.9], "PSNR": [0.1, 0.85, 0.88, 0.9]}),
        (STEEP, OVER_RATE, NOT, {"SeSS": [0.1, 0.2, 0.5, 0.9], "PSNR": [0.1, 0.6, 0.8, 0.9]}),
        (LATE, OVER_RATE, HOLDS, {"SeSS": [0.1, 0.3, 0.5, 0.9], "PSNR": [0.1, 0.7, 0.88, 0.9]}),
        (LATE, OVER_RATE, NOT, {"SeSS": [0.1, 0.7, 0.88, 0.9], "PSNR": [0.1, 0.3, 0.5, 0.9]}),
        (LATE, OVER_RATE, UNTESTED, {"SeSS": [0.1, 0.3, 0.5, 0.9]}),
        (REVERSES, OVER_RATE, HOLDS, {"CLIPScore": [0.5, 0.8, 0.7, 0.9]}),
        (REVERSES, OVER_RATE, NOT, {"CLIPScore": [0.5, 0.6, 0.7, 0.9]}),
        (REVERSES, OVER_RATE, UNTESTED, {"SeSS": [0.5, 0.6, 0.7, 0.9]}),
        (RANKS, [A, B], HOLDS, {"SeSS": [0.6, 0.5], "PSNR": [0.2, 0.3]}),
        (RANKS, [A, B], IN_PART, {"SeSS": [0.6, 0.5], "PSNR": [0.4, 0.3]}),
        (RANKS, [A, B], NOT, {"SeSS": [0.4, 0.5], "PSNR": [0.4, 0.3]}),
        (RANKS, [A, B], IN_PART, {"SeSS": [0.6, 0.5]}),
        (RANKS, [A], UNTESTED, {"SeSS": [0.6], "PSNR": [0.4]}),
        (Ranks(A, B, above=["LPIPS"]), [A, B], HOLDS, {"LPIPS": [0.2, 0.5]}),
        (Ranks(A, B, above=["LPIPS"]), [A, B], NOT, {"LPIPS": [0.5, 0.2]}),
        (ALIKE, [A, B], HOLDS, {"CLIPScore": [0.500, 0.505]}),
        (ALIKE, [A, B], NOT, {"CLIPScore": [0.6, 0.5]}),
        (WORST, [A, B], HOLDS, {"SeSS": [0.8, 0.9], "SSIM": [0.5, 0.95], "PSNR": [0.9, 0.1]}),
        (WORST, [A, B], IN_PART, {"SeSS": [0.8, 0.9], "SSIM": [0.5, 0.95], "PSNR": [0.85, 0.85]}),
        (WORST, [A, B], NOT, {"SeSS": [0.3, 0.9], "SSIM": [0.5, 0.5], "PSNR": [0.9, 0.9]}),
        (SHARP, NOISE, HOLDS, {"SeSS": [0.9, 0.8, 0.5]}),
        (SHARP, NOISE, NOT, {"SeSS": [0.9, 0.6, 0.5]}),
        (SHARP, NOISE[:2], UNTESTED, {"SeSS": [0.9, 0.8]}),
        (SENSITIVE, NOISE, HOLDS, {"SeSS": [0.9, 0.6, 0.3], "LPIPS": [0.9, 0.8, 0.7], "PSNR": [0.9, 0.8, 0.8]}),
        (SENSITIVE, NOISE, IN_PART, {"SeSS": [0.9, 0.6, 0.5], "LPIPS": [0.9, 0.8, 0.7], "PSNR": [0.9, 0.5, 0.2]}),
        (SENSITIVE, NOISE, NOT, {"SeSS": [0.9, 0.9, 0.8], "LPIPS": [0.9, 0.5, 0.3], "PSNR": [0.9, 0.5, 0.2]}),
        (WIDENS, GAINS, HOLDS, {"SSIM": [0.30, 0.25, 0.6, 0.3]}),
        (WIDENS, GAINS, IN_PART, {"SSIM": [0.20, 0.25, 0.6, 0.3]}),
        (WIDENS, GAINS, NOT, {"SSIM": [0.30, 0.35, 0.2, 0.5]}),
        (LEVELS, [A, B], HOLDS, {"PSNR": [0.2, 0.3]}),
        (LEVELS, [A, B], IN_PART, {"PSNR": [0.2, 0.7]}),
        (LEVELS, [A, B], NOT, {"PSNR": [0.8, 0.7]}),
    ],
)
def test_each_verdict_of_each_check(check: Check, points, verdict, means):
    assert check.judge(evidence(points, **means)).verdict == verdict


@pytest.mark.parametrize("check", [RANKS, WORST, LEVELS])
def test_what_the_images_cannot_tell_is_not_decided(check):
    """Every mean is 0.5 and every difference 0, in images that disagree: nothing is supported, nothing contradicted."""
    made = evidence([A, B], noise=0.0, SeSS=[0.5, 0.5], PSNR=[0.5, 0.5], SSIM=[0.5, 0.5])
    for index, name in enumerate(made.values):
        plus = (np.arange(IMAGES) // (index + 1) + np.arange(2)[:, None]) % 2  # half of the images at each point
        made.values[name][:] = plus[:, :, None]
    found = check.judge(made)
    assert found.verdict == UNTESTED and "too wide" in found.why
    assert all(part.outcome == "open" for part in found.parts)


@pytest.mark.parametrize(("images", "verdict"), [(2, UNTESTED), (4, UNTESTED), (5, HOLDS)])
def test_no_claim_is_decided_on_fewer_than_five_images(images, verdict):
    found = RANKS.judge(evidence([A, B], images=images, SeSS=[0.6, 0.5], PSNR=[0.2, 0.3]))
    assert found.verdict == verdict
    assert verdict == HOLDS or f"{images} images decide nothing" in found.why


def test_the_probability_of_a_false_reversal_is_that_of_the_confidence():
    """Flat curves of pure noise: of 200, about 2.5 % show a step down, however many steps there are."""
    points = curve(*range(1, 9))
    wrong = 0
    for seed in range(200):
        values = np.random.default_rng(seed).normal(0.5, 0.1, (8, 40, 1))
        made = Evidence(points, {"CLIPScore": values}, {"CLIPScore": "CLIPScore"}, {"CLIPScore": True})
        wrong += REVERSES.judge(made).verdict == HOLDS
    assert wrong <= 14


def test_a_stand_in_is_named_and_not_compared_with_published_numbers():
    made = evidence([A, B], EmbeddedScore=[0.7, 0.5])
    found = Ranks(A, B, above=["CLIPScore"]).judge(made)
    assert found.verdict == HOLDS and "EmbeddedScore" in found.parts[0].label
    check = Published("SeSS", {"a": 0.7, "b": 0.5}, within=0.05)
    means = {"SeSS": [0.71, 0.6]}
    assert check.judge(evidence([A, B], **means)).verdict == IN_PART
    stands_in = Evidence(**{**vars(evidence([A, B], **means)), "stands_in": True})
    assert check.judge(stands_in).verdict == UNTESTED


def test_what_was_left_out_says_why():
    made = Evidence(**{**vars(evidence([A], SeSS=[0.6])), "absent": {"b": "weights of b are missing", "PSNR": "no"}})
    assert RANKS.judge(made).why == "weights of b are missing; no"


def test_sets_are_ranked_by_their_number():
    made = Evidence(**{**vars(evidence([A, B], SeSS=[0.6, 0.5])), "sets": {"FID": np.array([[20.0], [30.0]])}})
    made.higher_is_better["FID"] = False
    assert Ranks(A, B, above=["FID"]).judge(made).verdict == HOLDS
    assert Ranks(B, A, above=["FID"]).judge(made).verdict == NOT


def test_payloads_against_the_image_in_float64():
    points = [{"transceiver": "both"}, {"transceiver": "text only"}]
    made = evidence(points, noise=0.0, SeSS=[1, 1])
    bits = 64 * 4 * 16 * 16, 8 * 30
    made.values["source_bits"] = np.array([bits[0] + bits[1], bits[1]])[:, None, None] * np.ones((2, IMAGES, 2))
    made.facts["working_pixels"] = 128 * 128
    assert Payload("both", 0.02, 0.0209, less="text only").judge(made).verdict == HOLDS
    share = Payload("both", 0.02, 0.0209, less="text only").judge(made).parts[0].estimate.mean
    assert share == pytest.approx(131_072 / 6_291_456)
    assert Payload("both", 0.03, 0.04).judge(made).verdict == NOT
    del made.facts["working_pixels"]
    assert Payload("both", 0.03, 0.04).judge(made).verdict == UNTESTED


def test_facts_and_what_takes_people():
    excess = np.random.default_rng(0).normal(0.1, 0.05, 60).tolist()
    made = Evidence([], {}, {}, {}, facts={"excess": excess, "rate": 0.05})
    assert Facts({"excess": [0, 0.2], "rate": [0, 0.1]}).judge(made).verdict == HOLDS
    assert Facts({"excess": [0.15, 0.2], "rate": [0, 0.1]}).judge(made).verdict == IN_PART
    assert Facts({"excess": [0.15, 0.2]}).judge(made).verdict == NOT
    none = Evidence([], {}, {}, {}, facts={"missing": "no scores"})
    assert Facts({"excess": [0, 0.2]}).judge(none) == NeedsPeople("no scores").judge(none).__class__(
        UNTESTED, "no scores", Facts({"excess": [0, 0.2]}).judge(none).parts
    )
    assert NeedsPeople("look at it").judge(made).why == "look at it"
