"""The short form of `python -m fuzzing`: some inputs for every place where bytes come in, the same ones every time."""

import time

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from fuzzing.target import inputs
from fuzzing.targets import TARGETS

EXAMPLES = {"experiment": 8, "override": 8, "model-folder": 20}
"""Those that take long; the others get 60."""


@pytest.mark.parametrize("name", TARGETS)
def test_only_our_own_errors(name):
    target = TARGETS[name]
    good = target.good()
    assert "accepted" in {target(data) for data in good}  # or nothing would be tested but the refusal of rubbish
    outcomes = set()

    @settings(
        max_examples=EXAMPLES.get(name, 60),
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs(target))
    def feed(data):
        began = time.process_time()
        outcomes.add(target(data))
        assert time.process_time() - began < 10

    feed()
    assert not {kind for kind in outcomes if kind.endswith("in the guard")}
    assert bool(outcomes - {"accepted"}) != target.total  # some were bad enough to be refused
