import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from semcomm import ImageSet, write_image
from semcomm.cli import COMMANDS, main

ROOT = Path(__file__).resolve().parent.parent

SMALL = {
    "transceivers": {
        "jpeg2000": {
            "class_path": "Separate",
            "init_args": {
                "source": "JPEG2000",
                "code": "LDPC5G",
                "constellation": "qpsk",
                "channel_uses_per_pixel": 0.5,
            },
        }
    },
    "channels": {"awgn": "AWGN"},
    "sweep": {"channel.snr_db": [0, 10]},
    "metrics": ["PSNR"],
    "images": {"limit": 1, "size": 64},
}


@pytest.fixture
def image(tmp_path):
    write_image(tmp_path / "image.png", next(iter(ImageSet(limit=1, size=96)))[1])
    return tmp_path / "image.png"


def experiment(tmp_path, **changes):
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump({**SMALL, **changes}))
    return str(path)


def semcomm(capsys, *argv):
    status = main([str(a) for a in argv])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_help_lists_every_command_and_imports_nothing_heavy():
    done = subprocess.run([sys.executable, "-m", "semcomm", "--help"], capture_output=True, text=True, check=True)
    assert all(name in done.stdout for name in COMMANDS)
    heavy = "import sys, semcomm, semcomm.cli; semcomm.cli.main(['--help']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("False")


def test_run_prints_a_table_and_the_report(tmp_path, capsys):
    status, out, _ = semcomm(capsys, "run", experiment(tmp_path), "--out", tmp_path / "run", "--workers", 1)
    assert status == 0
    assert "PSNR" in out
    assert f"report: {tmp_path / 'run' / 'report.html'}" in out.replace("\n", "")
    for name in ("results.parquet", "results.csv", "experiment.yaml", "environment.json", "report.html"):
        assert (tmp_path / "run" / name).stat().st_size > 0
    assert list((tmp_path / "run" / "figures").glob("*.pdf"))
    (tmp_path / "run" / "report.html").unlink()
    assert semcomm(capsys, "report", tmp_path / "run")[0] == 0
    assert (tmp_path / "run" / "report.html").exists()


def test_run_takes_keys_from_the_command_line(tmp_path, capsys):
    arguments = ("run", experiment(tmp_path), "sweep.channel.snr_db=[5]", "images.size=48", "--out", tmp_path / "run")
    assert semcomm(capsys, *arguments, "--workers", 1, "--no-report")[0] == 0
    resolved = yaml.safe_load((tmp_path / "run" / "experiment.yaml").read_text())
    assert resolved["sweep"] == {"channel.snr_db": [5]}
    assert resolved["images"]["size"] == 48


def test_transmit(tmp_path, image, capsys):
    arguments = ["transmit", image, "--transceiver", "Separate", "--transceiver.source", "JPEG2000"]
    arguments += [
        "--transceiver.code",
        "LDPC5G",
        "--transceiver.code.rate",
        "0.75",
        "--transceiver.constellation",
        "16qam",
    ]
    arguments += ["--transceiver.channel_uses_per_pixel", "0.5", "--channel", "AWGN", "--channel.snr_db", "20"]
    status, out, _ = semcomm(capsys, *arguments, "--out", tmp_path / "out.png")
    assert status == 0
    values = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert float(values["code_rate"]) == pytest.approx(0.75, abs=0.01)
    assert float(values["bpp"]) == pytest.approx(1.5, abs=0.03)
    assert (tmp_path / "out.png").exists()
    assert "PSNR dB" in out


def test_score_images_and_folders(tmp_path, capsys):
    for folder, shift in (("a", 0), ("b", 1)):
        (tmp_path / folder).mkdir()
        for name, image in ImageSet(limit=2, size=176):
            write_image(tmp_path / folder / f"{name}.png", image.roll(shift, 2))
    status, out, _ = semcomm(capsys, "score", tmp_path / "a", tmp_path / "b", "--json")
    rows = json.loads(out)
    assert status == 0
    assert [row["image"] for row in rows] == ["astronaut", "cat"]
    assert set(rows[0]) == {"image", "PSNR", "SSIM", "MS-SSIM"}
    one = semcomm(capsys, "score", tmp_path / "a/cat.png", tmp_path / "b/cat.png", "--metrics", "PSNR", "--json")[1]
    assert json.loads(one)[0]["PSNR"] == rows[1]["PSNR"]
    assert "MS-SSIM" in semcomm(capsys, "score", tmp_path / "a", tmp_path / "b")[1]
    (tmp_path / "b/cat.png").unlink()
    status, _, error = semcomm(capsys, "score", tmp_path / "a", tmp_path / "b")
    assert (status, "no image for cat" in error) == (1, True)


def test_every_mistake_is_one_line_and_a_status(tmp_path, image, capsys):
    (tmp_path / "text.png").write_text("no")
    (tmp_path / "empty").mkdir()
    wide = tmp_path / "wide.png"
    Image.fromarray(np.zeros((10_000, 10_001), np.uint8)).save(wide)
    good = experiment(tmp_path)
    out = ("--out", tmp_path / "run", "--workers", "1")
    cases = {
        ("run", tmp_path / "none.yaml", *out): "no such file",
        ("run", good, "imagse.limit=3", *out): "did you mean 'images'",
        ("run", good, "limit", *out): "KEY=VALUE",
        ("run", good, "sweep.channel.snr_db=ten", *out): "expected a list",
        ("run", good, f"images.path={tmp_path / 'empty'}", *out): "no images in this folder",
        ("run", good, f"images.path={tmp_path / 'text.png'}", *out): "cannot be read as an image",
        ("run", good, f"images.path={wide}", *out): "megapixels",
        ("run", good, "--out", good, "--workers", "1"): "cannot be",
        ("run", good, "--out", tmp_path / "run", "--workers", "-1"): "workers is -1",
        ("report", tmp_path / "empty"): "no run in this folder",
        ("compare", tmp_path / "empty", "--to", "x"): "no run in this folder",
        ("score", image, tmp_path / "none.png"): "no such file",
        ("score", image, tmp_path): "two images or two folders",
        ("score", image, image, "--metrics", "PSNRR"): "did you mean 'PSNR'",
        ("score", image, image, "--metrics", "MSSSIM"): "MSSSIM(window=3)",
        ("transmit", tmp_path / "text.png"): "cannot be read as an image",
        ("transmit", image, "--channel.snr", "3"): "snr",
        ("transmit", image, "--channel", "AWGN", "--channel.snr_db", "ten"): "snr_db",
        ("transmit", image, "--transceiver", "Seperate"): "Seperate",
    }
    for arguments, reason in cases.items():
        status, _, error = semcomm(capsys, *arguments)
        assert status == 1, arguments
        assert error.startswith("semcomm: error: "), error
        assert reason in error, error
        assert error.count("\n") == 1, error
    assert semcomm(capsys, "ruin")[0] == 2


def test_another_experiment_in_the_folder(tmp_path, capsys):
    arguments = ("--out", tmp_path / "run", "--workers", "1", "--no-report")
    assert semcomm(capsys, "run", experiment(tmp_path), *arguments)[0] == 0
    status, _, error = semcomm(capsys, "run", experiment(tmp_path, seed=5), *arguments)
    assert status == 1
    assert "seed was 0 and is now 5" in error


def test_transmit_gives_a_named_class_none_of_the_defaults_arguments(tmp_path, image, capsys):
    arguments = [
        "transmit",
        image,
        "--transceiver",
        "lsci",
        "--transceiver.layers",
        "2",
        "--out",
        tmp_path / "new/a.png",
    ]
    status, out, error = semcomm(capsys, *arguments, "--channel.snr_db", "-1e1", "--metrics", "psnr,SSIM")
    assert status == 0, error
    values = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert values["mean_layers"] == "2"
    assert (tmp_path / "new/a.png").exists()
    assert "SSIM" in values
    status, out, error = semcomm(
        capsys,
        "transmit",
        image,
        "--transceiver.constellation=16qam",
        "--transceiver.code.rate=0.75",
        "--out",
        tmp_path / "b.png",
    )
    assert status == 0, error
    assert float(dict(line.split(maxsplit=1) for line in out.splitlines())["code_rate"]) == pytest.approx(
        0.75, abs=0.02
    )


def test_what_is_written_is_refused_before_the_work(tmp_path, image, capsys, monkeypatch):
    def fail(*_):
        raise AssertionError("it worked before it looked")

    monkeypatch.setattr("semcomm.transceivers.separate.Separate.transmit", fail)
    monkeypatch.setattr("semcomm.metrics.sess.SeSS.prepare", fail)
    before = image.read_bytes()
    (tmp_path / "link.png").symlink_to(image)
    (tmp_path / "folder.png").mkdir()
    cases = {
        ("transmit", image, "--out", tmp_path / "a.jpg"): "is written as .png",
        ("transmit", image, "--out", image): "is an input, which would be overwritten",
        ("transmit", image, "--out", tmp_path / "link.png"): "is an input",
        ("transmit", image, "--out", tmp_path / "folder.png"): "cannot be written",
        ("transmit", image, "--out", image / "a.png"): "cannot be written",
        ("transmit", image, "--metrics", "LPIPS"): "lpips",
        ("transmit", image, "--metrics", "MSSSIM"): "MSSSIM(window=3)",
        ("transmit", image, "--metrics", "FID"): "judges sets of images",
        ("transmit", image, "--transceiver", "AWGN"): "AWGN is a channel, and a transceiver is needed",
        ("transmit", image, "--transceiver.layers"): "a value is missing",
        (
            "transmit",
            image,
            "--transceiver",
            "LSCI",
            "--transceiver.layers",
            "4",
            "--transceiver.device",
            "gpu",
        ): "auto",
        ("sess", "explain", image, image, "--out", image): "is an input",
        ("sess", "explain", image, image, "--out", tmp_path / "match.xyz"): ".png or .pdf or .svg",
        ("sess", "tune", tmp_path / "none.csv", "--out", tmp_path / "it.png"): "is written as .json",
        ("thresholds", "--out", tmp_path / "it.csv"): "is written as .json",
        ("score", image, image, "--metrics", "FID"): "FID judges sets of images, not image by image: name it",
        ("score", image, image, "--metrics", "AWGN"): "AWGN is a channel, and a metric is needed",
    }
    for arguments, reason in cases.items():
        status, _, error = semcomm(capsys, *arguments)
        assert (status, error.count("\n")) == (1, 1), (arguments, error)
        assert reason in error, error
    assert image.read_bytes() == before


def test_keys_stand_before_and_after_options(tmp_path, capsys):
    out = tmp_path / "run"
    arguments = ("run", "images.size=48", experiment(tmp_path), "--out", out, "seed=3", "--workers", 1)
    status, _, error = semcomm(capsys, *arguments, "--no-report", "metrics=[psnr]")
    assert status == 1  # the first word is the file
    arguments = ("run", experiment(tmp_path), "images.size=48", "--out", out, "seed=3", "--workers", 1)
    status, _, error = semcomm(capsys, *arguments, "--no-report", "metrics=[psnr]")
    assert status == 0, error
    resolved = yaml.safe_load((out / "experiment.yaml").read_text())
    assert (resolved["seed"], resolved["images"]["size"]) == (3, 48)
    assert semcomm(capsys, "run", experiment(tmp_path), "--out", out, "--workers", "0")[2].endswith("at least 1\n")
    status, _, error = semcomm(capsys, "transmitt")
    assert (status, "did you mean transmit?" in error) == (2, True)


def test_the_example_that_an_error_quotes_works(tmp_path, capsys):
    import shlex

    error = semcomm(capsys, "run", experiment(tmp_path), "limit")[2]
    examples = shlex.split(error.split("as in ", 1)[1].replace(" or ", " "))
    assert examples == ["images.limit=2", "sweep.channel.snr_db=[0,5,10]"]
    arguments = ("run", experiment(tmp_path, sweep={}), "--out", tmp_path / "run", *examples, "--workers", 1)
    assert semcomm(capsys, *arguments, "--no-report")[0] == 0


def test_scoring_leaves_hidden_files_out_and_says_so(tmp_path, capsys):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_image(tmp_path / folder / "x.png", next(iter(ImageSet(limit=1, size=64)))[1])
    (tmp_path / "a" / "._x.png").write_text("a Mac's")
    status, out, error = semcomm(capsys, "score", tmp_path / "a", tmp_path / "b", "--metrics", "PSNR,SSIM", "--json")
    assert (status, len(json.loads(out))) == (0, 1)
    assert "ignored 1 hidden" in error
