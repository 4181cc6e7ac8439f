"""Human scores from files: every kind, with what can be wrong with them."""

import pytest
from simulated_raters import noisy, originals

from semcomm.errors import ConfigurationError
from semcomm.images import write_image
from semcomm.metrics import PSNR
from semcomm.metrics.sess.human import read_human
from semcomm.ratings.files import opinions_of_file
from semcomm.ratings.report import write_report

CRISSCROSSED = (
    "image1,image2,agg_score,sampling_method\n"
    "COCO_val2014_000000000001.jpg,COCO_val2014_000000000002.jpg,2.5,i2i_csim\n"
    "COCO_val2014_000000000001.jpg,COCO_val2014_000000000003.jpg,5.0,i2i_csim\n"
    "COCO_val2014_000000000002.jpg,COCO_val2014_000000000003.jpg,0.0,i2i_csim\n"
)
"""In the layout of `sis_val.csv` of github.com/google-research-datasets/Crisscrossed-Captions; the scores are ours."""


def test_crisscrossed_captions(tmp_path):
    (tmp_path / "sis_val.csv").write_text(CRISSCROSSED)
    rows = read_human(tmp_path / "sis_val.csv")
    assert [row["first_score"] for row in rows] == [0.5, 1.0, 0.0]
    assert rows[0]["reference"] == str(tmp_path / "COCO_val2014_000000000001.jpg") and "second" not in rows[0]
    (tmp_path / "val2014").mkdir()
    for number in (1, 2):
        (tmp_path / "val2014" / f"COCO_val2014_{number:012d}.jpg").touch()
    notes = []
    rows = read_human(tmp_path / "sis_val.csv", tmp_path / "val2014", on_note=notes.append)
    assert len(rows) == 1 and "1 of 3 pairs have both images" in notes[0]


def test_pairs_on_any_scale(tmp_path):
    (tmp_path / "it.csv").write_text("image_a,image_b,score\na.png,b.png,1\na.png,c.png,4\n")
    with pytest.raises(ConfigurationError, match="pair 2: score is '4'; the scale is 0 to 1"):
        read_human(tmp_path / "it.csv")
    rows = read_human(tmp_path / "it.csv", scale=(1, 7))
    assert [row["first_score"] for row in rows] == [0.0, 0.5]
    assert len(read_human(tmp_path / "it.csv", scale=(1, 7), limit=1)) == 1


def test_triplets_are_read_as_before(tmp_path):
    (tmp_path / "it.csv").write_text("reference,first,second,first_score,second_score,raters\na,b,c,0.5,1,3\n")
    (row,) = read_human(tmp_path / "it.csv")
    assert (row["second_score"], row["first"]) == (1.0, str(tmp_path / "b"))


@pytest.mark.parametrize(
    ("text", "options", "reason"),
    [
        ("a,b\n1,2\n", {}, "has the columns a, b; known are"),
        ("image_a,image_b,score\n", {}, "holds no pairs"),
        ("image_a,image_b,score\na.png,,1\n", {}, "pair 1: needs image_a"),
        ("image_a,image_b,score\na.png,b.png,nan\n", {}, "score is 'nan'"),
        ("image_a,image_b,score\na.png,b.png\n", {}, "score is None"),
        ("image_a,image_b,score\na.png,b.png,1\n", {"scale": (2, 1)}, "its lower end comes first"),
        ("image_a,image_b,score\na.png,b.png,1\n", {"limit": 0}, "limit is 0"),
        ("image_a,image_b,score\na\0.png,b.png,1\n", {"images": True}, "has both images of none of the 1 pairs"),
        ("reference,first,second,first_score,second_score\na,b,c,0,1\n", {"scale": (0, 5)}, "has triplets"),
    ],
)
def test_files_that_make_no_sense(tmp_path, text, options, reason):
    (tmp_path / "it.csv").write_text(text)
    if options.get("images"):
        options = {"images": tmp_path}
    with pytest.raises(ConfigurationError, match=reason):
        read_human(tmp_path / "it.csv", **options)


def test_the_same_report_for_a_file(tmp_path):
    """Scores that fall with the noise, and images of two sizes, which only some metrics compare."""
    lines = ["image_a,image_b,score"]
    for n, image in enumerate(originals(9)):
        strength = 0.02 * (n + 1)
        write_image(tmp_path / f"{n}.png", image)
        write_image(tmp_path / f"{n}-noisy.png", noisy(image, strength, n)[:, :, : 40 if n == 4 else 48])
        lines.append(f"{n}.png,{n}-noisy.png,{1 - strength}")
    (tmp_path / "it.csv").write_text("\n".join(lines))
    notes = []
    opinions = opinions_of_file(read_human(tmp_path / "it.csv"), "it.csv")
    table = write_report(opinions, [PSNR()], tmp_path / "report", resamples=50, on_note=notes.append)
    assert notes == ["PSNR: 1 images were scaled to the size of their original"]
    found = table.set_index("statistic").loc["spearman"]
    assert found["value"] > 0.7 and found["low"] <= found["value"] <= found["high"] and found["count"] == 9
    assert set(table["statistic"]) == {"spearman", "pearson", "kendall"} and set(table["metric"]) == {"PSNR"}
    page = (tmp_path / "report" / "report.html").read_text()
    assert "noise ceiling" not in page and "of originals" in page
    assert not (tmp_path / "report" / "raters.csv").exists()
