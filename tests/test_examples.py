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


def test_a_learned_codec_of_ones_own_is_trained_and_sent(tmp_path, monkeypatch):
    from semcomm import ImageSet, run
    from semcomm.images import write_image

    (tmp_path / "photographs").mkdir()
    for name, image in ImageSet("builtin", size=96):
        write_image(tmp_path / "photographs" / f"{Path(name).stem}.png", image)
    monkeypatch.chdir(tmp_path)
    settings = ["task.folders=[photographs]", "task.crop=32", "steps=60", "batch=8", "device=cpu", "threads=1"]
    settings += ["learning_rate=0.003", "warmup_steps=5", "ema=0.8", "validate_steps=60"]
    assert main(["train", str(ROOT / "examples/learned.yaml"), *settings, "--out", "patches"]) == 0
    assert "learned.Patches" in (tmp_path / "patches/patches.safetensors").read_bytes()[:20000].decode(errors="ignore")
    results = run(
        {
            "transceivers": {"mine": {"class_path": "Learned", "init_args": {"checkpoint": "patches"}}},
            "channels": {"awgn": "AWGN"},
            "sweep": {"channel.snr_db": [0, 20]},
            "metrics": ["PSNR"],
            "images": {"path": "photographs", "limit": 2},
        },
        tmp_path / "run",
    )
    means = results.table.groupby("snr_db")["PSNR"].mean()
    assert means[20] > means[0] > 10
    assert means[20] > 15  # grey alone has about 12 dB
    assert (results.table["cbr"] - 16 / 192).abs().max() < 0.01
    assert (results.table["side_bits"] == 32).all()


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
