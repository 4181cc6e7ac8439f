"""`semcomm reproduce sess/fig06` on people's scores: here made-up ones, in the layouts that people's come in."""

from pathlib import Path

import pytest
from simulated_raters import noisy, originals

from semcomm.images import write_image
from semcomm.reproduce import reproduce

pytest.importorskip("optuna")
EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"


@pytest.mark.parametrize("columns", ["image_a,image_b,score", "image1,image2,agg_score,sampling_method"])
def test_pairs_are_tuned_on_and_both_claims_are_tested(tmp_path, columns):
    (tmp_path / "images").mkdir()
    lines = [columns]
    crisscrossed = "agg_score" in columns
    for n, image in enumerate(originals(8, 64, 64)):
        write_image(tmp_path / "images" / f"{n}.png", image)
        for k, strength in enumerate((0.02, 0.2)):
            write_image(tmp_path / "images" / f"{n}-{k}.png", noisy(image, strength, n))
            score = 0.5 - strength
            lines.append(
                f"{n}.png,{n}-{k}.png,{5 * score},i2i_csim" if crisscrossed else f"{n}.png,{n}-{k}.png,{score}"
            )
    lines.append("absent.png,0.png,0.5,i2i_csim" if crisscrossed else "absent.png,0.png,0.5")
    (tmp_path / "sis_val.csv").write_text("\n".join(lines))
    given = {"triplets": str(tmp_path / "sis_val.csv"), "images": str(tmp_path / "images"), "trials": 4}
    overrides = {f"extras.Tuning.{name}": value for name, value in given.items()}
    found = reproduce(["sess/fig06"], "embedded", tmp_path / "out", overrides=overrides, experiments=EXPERIMENTS)
    (shown,) = found.figures
    assert shown.missing == {} and ("distributions.png", "people and SeSS") in shown.made.drawn
    excess = shown.made.facts["excess of SeSS over people"]
    assert len(excess) == round(0.3 * 16) and 1 <= shown.made.facts["iterations"] <= 12
    verdicts = {judged.name: judged.finding for judged in found.claims}
    assert set(verdicts) == {"people-are-stricter", "tuned-constants"}
    assert len(verdicts["tuned-constants"].parts) == 5
    assert all(part.estimate is not None for finding in verdicts.values() for part in finding.parts)
