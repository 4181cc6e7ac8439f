from pathlib import Path

import pytest

from semcomm import load

FOLDER = Path(__file__).resolve().parents[2] / "experiments" / "baselines"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_baseline_can_be_built_and_has_its_bound(path):
    experiment = load(path)
    assert experiment.points
    assert {"HEIF + LDPC, adaptive", "HEIF at capacity"} <= set(experiment.transceivers)
