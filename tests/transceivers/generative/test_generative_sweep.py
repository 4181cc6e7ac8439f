"""Both transceivers of Img2Img-SC from an experiment file to results and report, on tiny models."""

import re
from pathlib import Path

import pytest
import yaml

from semcomm.cli import main

ROOT = Path(__file__).resolve().parents[3]
NAMES = ("snr", "snr_flips", "steps", "payload")

EXPERIMENT = """
title: Tiny models of the real architectures
images: {limit: 2, size: 72}
transceivers:
  text only:
    class_path: TextToImage
    init_args:
      backend: &model {class_path: Diffusers, init_args: {model: SD, captioner: BLIP, precision: fp32}}
      steps: 2
  text and latent:
    class_path: TextAndLatent
    init_args: {backend: *model, steps: 5, text_code: LDPC5G}
    sweep: {strength: [0, 0.6]}
  adaptive:
    class_path: AdaptiveGenerative
    init_args:
      min_snr_db: 13
      text: {class_path: TextToImage, init_args: {backend: *model, steps: 2}}
      both: {class_path: TextAndLatent, init_args: {backend: *model, steps: 5, latent: QuantisedLatent}}
channels: {awgn: AWGN}
sweep: {channel.snr_db: [11.0, 16.0]}
metrics: [PSNR, SSIM]
keep: 1
"""


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    file = folder / "experiment.yaml"
    file.write_text(EXPERIMENT.replace("SD", tiny["sd"]).replace("BLIP", tiny["blip"]))
    assert main(["run", str(file), "--out", str(folder / "out"), "--workers", "1"]) == 0
    return folder


def test_the_table_says_what_was_sent_and_what_arrived(run):
    from semcomm import open_results

    table = open_results(run / "out").table
    assert len(table) == 2 * 2 * (1 + 2 + 1)
    text, both = (table[table["transceiver"] == name] for name in ("text only", "text and latent"))
    assert (text["source_bits"] == 8 * text["caption"].str.len()).all()
    assert (both["source_bits"] == 8 * both["caption"].str.len() + 64 * 256).all()
    assert (both["side_bits"] == 48).all()
    assert (both["bpp"] == both["source_bits"] / both["pixels"]).all()
    assert both.groupby("strength")["denoising_steps"].unique().map(list).to_dict() == {0: [0], 0.6: [3]}
    assert (both["received_caption"] == both["caption"]).all()  # protected, at 11 dB
    assert (text[text["snr_db"] == 11]["caption_errors"] > 0).all()
    assert set(table["working_size"]) == {"64x64"}
    adaptive = table[table["transceiver"] == "adaptive"]
    assert adaptive.groupby("snr_db")["sent"].unique().map(list).to_dict() == {11: ["text"], 16: ["text and latent"]}
    assert table["PSNR"].notna().all()


def test_the_report_is_there(run):
    assert (run / "out" / "report.html").stat().st_size > 10_000
    assert list((run / "out" / "figures").iterdir())


def test_captions_and_latents_are_kept_for_the_next_run(run, tiny, capsys, monkeypatch):
    """More SNRs on the same folder write no caption and encode no latent again."""
    from semcomm.models.blip import Captioner
    from semcomm.transceivers.generative import Diffusers

    def never(*args):
        raise AssertionError("computed again")

    monkeypatch.setattr(Captioner, "captions", never)
    monkeypatch.setattr(Diffusers, "encode", never)
    arguments = ["sweep.channel.snr_db=[11.0,13.5,16.0]", "--out", str(run / "out"), "--workers", "1", "--no-report"]
    assert main(["run", str(run / "experiment.yaml"), *arguments]) == 0


def test_a_missing_model_is_one_line(run, tmp_path, capsys):
    data = yaml.safe_load((run / "experiment.yaml").read_text())
    data["transceivers"]["text only"]["init_args"]["backend"]["init_args"]["model"] = "stable-diffusion-v1-5"
    (tmp_path / "missing.yaml").write_text(yaml.safe_dump(data))
    assert main(["run", str(tmp_path / "missing.yaml"), "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "semcomm models fetch stable-diffusion-v1-5" in error


@pytest.mark.parametrize(
    "path", [ROOT / f"experiments/img2img/{name}.yaml" for name in NAMES], ids=lambda path: path.stem
)
def test_the_papers_experiments_take_other_models_in_one_place(tiny, path):
    """As the files themselves say: another model at `&model`, or the same class with folders."""
    from semcomm import Diffusers, load

    spec = {"class_path": "Diffusers", "init_args": {"model": tiny["sd"], "captioner": tiny["blip"]}}
    text, count = re.subn(r"&model \w+", f"&model {spec}", path.read_text())
    assert count == 1
    points = load(yaml.safe_load(text)).points
    backends = [point.link.backend for point in points if hasattr(point.link, "backend")]
    assert backends
    assert all(isinstance(backend, Diffusers) and backend.model == tiny["sd"] for backend in backends)
