"""A run in which a native decoder dies, and names that would like to lie elsewhere."""

import sys
from pathlib import Path

import pytest
from small_run import experiment, link

from semcomm.analysis.figures import draw
from semcomm.analysis.report import write_report
from semcomm.images import write_image
from semcomm.runs.run import run


def images(folder: Path, photograph, names=("a.png", "b.png", "c.png")) -> dict:
    """Three images of 64 x 64, the second one brighter than the others."""
    for name, gain in zip(names, (0.3, 0.9, 0.5)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, photograph[:, :64, :64].clamp(0.3, 0.7) * gain)
    return {"path": str(folder)}


def described(death: str) -> dict:
    source = {"class_path": "hostile.Dying", "init_args": {"limit": 0.35, "death": death}}
    return {"class_path": "Separate", "init_args": {"source": source, "constellation": "qpsk"}}


@pytest.mark.skipif(sys.platform != "linux", reason="needs signals as Linux has them")
@pytest.mark.parametrize("death", ["crash", "segfault"])
def test_a_decoder_that_dies_costs_one_image(tmp_path, photograph, death):
    about = experiment(
        transceivers={"dying": described(death)},
        channels={"clean": "Noiseless"},
        sweep={"channel_uses_per_pixel": [0.5]},
        images=images(tmp_path / "in", photograph),
        realisations=1,
    )
    tables = [run(about, tmp_path / str(workers), workers=workers).table for workers in (1, 2)]
    assert tables[0]["decode_failed"].tolist() == [False, True, False]
    measured = [name for name in tables[0] if not name.endswith("_seconds")]
    assert tables[0][measured].equals(tables[1][measured])


def test_names_lie_nowhere_but_in_the_run(tmp_path, photograph):
    names = ("..\\..\\x.png", "CON .png", "sub/%2e%2e%2f; rm -rf ~ $(id).png")
    names_of_links = ("../../up", "/absolute", "a\0b\n", ".", "")
    about = experiment(
        title="../../title",
        transceivers={name: link(channel_uses_per_pixel=1.0) for name in names_of_links},
        channels={"../../channel": "AWGN", "/etc/x": "AWGN"},
        sweep={"channel.snr_db": [12]},
        images=images(tmp_path / "in", photograph, names),
        realisations=1,
        keep="all",
        figures=[{"x": "snr_db", "y": "PSNR"}],
    )
    before = everything(tmp_path)
    folder = tmp_path / "deep" / "er" / "run"
    results = run(about, folder)
    draw(results, folder / "figures")
    write_report(results, folder / "report.html")
    made = everything(tmp_path) - before
    assert made and all(path.is_relative_to(tmp_path / "deep") for path in made)
    assert {path for path in made if path.is_file()} == {path for path in everything(folder) if path.is_file()}
    assert len(results.table) == 5 * 2 * 3


def everything(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))
