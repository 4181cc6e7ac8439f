from pathlib import Path

import pytest
import yaml

from semcomm.cli import main

ROOT = Path(__file__).resolve().parent.parent


def test_a_transceiver_outside_the_package_runs_by_its_import_path(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)  # so that only the folder of the file can be where the class is found
    arguments = ["images.size=64", "metrics=[PSNR]", "sweep.channel.snr_db=[0,20]", "realisations=1", "--workers", "2"]
    assert main(["run", str(ROOT / "examples/analog.yaml"), *arguments, "--out", str(tmp_path / "run")]) == 0

    from semcomm import open_results

    table = open_results(tmp_path / "run").table
    analog = table[table["transceiver"] == "analog"]
    assert len(analog) == 8
    assert analog["bpp"].isna().all()
    assert (analog["symbol_power"] - 1).abs().max() < 1e-3
    assert (analog["cbr"] * 3 <= 0.25).all()
    means = analog[analog["channel"] == "awgn"].groupby("snr_db")["PSNR"].mean()
    assert means[20] > means[0] + 3


OTHERS = ("train", "settings")  # folders of files that are no experiments; claims.yaml is none either
EXPERIMENTS = [
    path
    for path in sorted(ROOT.glob("experiments/**/*.yaml"))
    if path.parent.name not in OTHERS and path.name != "claims.yaml"
]


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda p: p.stem)
def test_every_experiment_file_is_sound(path):
    from semcomm import load

    assert load(path).points
    assert "title" in yaml.safe_load(path.read_text())
