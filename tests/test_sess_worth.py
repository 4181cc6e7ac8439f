"""The benchmark that judges metrics: its verdicts by hand, and its cases."""

import numpy as np
import pytest
import torch

from benchmarks.sess_worth import edits, verdict
from benchmarks.sess_worth.cases import RATES, Cases, add_changes
from semcomm import PSNR


def scores():
    rates = {f"rate {bpp}": np.array([0.2 + 0.1 * n, 0.3 + 0.1 * n]) for n, bpp in enumerate(RATES)}
    changes = {"change a": np.array([0.9, 0.7]), "change b": np.array([0.25, 0.95])}
    others = {"unrelated": np.array([0.2, 0.4]), "itself": np.ones(2), "edit": np.array([0.5, 0.9])}
    harmless = {f"harmless {kind}": np.array([0.6, np.nan]) for kind in edits.HARMLESS}
    return {**rates, **changes, **others, **harmless, "harmless noise": np.array([0.4, 0.9])}


def test_verdicts_by_hand():
    found = scores()
    assert verdict.worst_change(found) == pytest.approx(0.6)
    assert verdict.against_unrelated(found) == pytest.approx((0.6 - 0.3) / 0.7)
    assert verdict.rising(found) == 1
    found["rate 0.25"] = np.array([0.1, 0.6])
    assert verdict.rising(found) == pytest.approx(9 / 10)
    assert verdict.above_wreck(found) == pytest.approx(4 / 4)
    assert verdict.edits_below(found) == pytest.approx((5 * 1 + 0 + 0.5) / 7)
    assert verdict.worst_harmless(found) == verdict.edits_below(found, "noise") == 0.25
    assert verdict.auc(np.array([1, 2]), np.array([0, 2])) == pytest.approx((1 + 0 + 1 + 0.5) / 4)
    assert np.isnan(verdict.against_unrelated({**found, "itself": np.array([np.inf, np.inf])}))
    low, high = verdict.interval(verdict.worst_change, found)
    assert low < 0.6 <= high


def test_harmless_changes_have_the_edit_s_psnr(photograph):
    mask = torch.zeros(photograph.shape[1:], dtype=torch.bool)
    mask[60:120, 60:120] = True
    removed = edits.filled(photograph, mask)
    assert torch.equal(removed[:, ~mask], photograph[:, ~mask])
    assert not torch.equal(removed[:, mask], photograph[:, mask])
    edit = edits.with_harmless("removed", photograph, removed)
    wanted = PSNR()(photograph[None], edit.edited[None]).item()
    assert len(edit.harmless) >= 4
    for changed in edit.harmless.values():
        assert PSNR()(photograph[None], changed[None]).item() == pytest.approx(wanted, abs=edits.TOLERANCE)


def test_a_hole_in_a_flat_image_is_filled_with_its_colour():
    flat = torch.full((3, 33, 40), 0.3)
    mask = torch.zeros(33, 40, dtype=torch.bool)
    mask[5:20, 7:30] = True
    assert torch.allclose(edits.filled(flat, mask), flat, atol=1e-5)


def test_changes_and_rates(photograph):
    cases = Cases()
    add_changes(cases, [photograph, photograph.flip(2)])
    assert {len(pairs) for name, pairs in cases.pairs.items() if name != "unrelated"} == {2}
    assert len(cases.pairs["unrelated"]) == 1
    worst, best = (PSNR()(*(x[None] for x in cases.pairs[f"rate {bpp}"][0])).item() for bpp in (RATES[0], RATES[-1]))
    assert worst < best
