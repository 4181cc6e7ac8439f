"""The learned codecs beside JPEG 2000 or HEIF + LDPC at the same channel uses, and how fast they are, in Markdown.

    python -m benchmarks.learned quality FOLDER [--limit N] [--realisations 10] [--links NAME ...] [--metrics NAME ...]
                                         [--out DIR] [--cards]
    python -m benchmarks.learned speed

`quality` sends every image of the folder at five SNRs and five rates over AWGN; with `--out` it can be stopped and
goes on, or begin with some of the links and go on with all. PSNR and MS-SSIM are means of the images' own. `--cards`
writes the PSNR of the learned codecs into the cards of their weights. `speed` takes torch's threads, one for each core,
and shows the largest resident memory of a process that sends one image of 12 megapixels.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import semcomm as sc
from semcomm.analysis.statistics import estimate
from semcomm.jscc.loading import WEIGHTS
from semcomm.runs.run import default_workers

SNRS_DB = (0, 5, 10, 15, 20)
RATES = {1 / 128: "1/384", 1 / 32: "1/96", 1 / 8: "1/24", 1 / 4: "1/12", 1 / 2: "1/6"}
METRICS = ("PSNR", "MSSSIM", "SeSS")
LARGE = (3000, 4000)
_ALL_RATES = {"channel_uses_per_pixel": list(RATES)}
REFINED = "LSCI, refined"
"""Left out unless it is named: its gradient steps take long."""
_JPEG2000 = {"class_path": "JPEG2000", "init_args": {"header": "shared"}}
_HEIF = {"class_path": "HEIF", "init_args": {"header": "shared"}}
_HALF = {"constellations": ["bpsk", "qpsk", "16qam", "64qam"], "rates": [0.5]}


def _separate(source: dict, constellation: str | dict) -> dict:
    arguments = {"source": source, "code": "LDPC5G", "constellation": constellation}
    return {"class_path": "Separate", "init_args": arguments, "sweep": _ALL_RATES}


LINKS = {
    "LSCI": {"class_path": "LSCI", "sweep": _ALL_RATES},
    REFINED: {"class_path": "LSCI", "init_args": {"refine": 20}, "sweep": _ALL_RATES},
    "DeepJSCC": {"class_path": "DeepJSCC", "sweep": {"channel_uses_per_pixel": [0.25, 0.5]}},
    "JPEG 2000 + LDPC, 16QAM at rate 1/2": _separate(_JPEG2000, "16qam"),
    "JPEG 2000 + LDPC, adaptive at rate 1/2": _separate(_JPEG2000, {"class_path": "Adaptive", "init_args": _HALF}),
    "JPEG 2000 + LDPC, adaptive": _separate(_JPEG2000, "adaptive"),
    "HEIF + LDPC, adaptive": _separate(_HEIF, "adaptive"),
    "HEIF at capacity": {"class_path": "AtCapacity", "init_args": {"source": _HEIF}, "sweep": _ALL_RATES},
}
REFERENCES = ("JPEG 2000 + LDPC, adaptive", "HEIF + LDPC, adaptive")
"""The links that LSCI is compared with, image by image."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["quality", "speed", "large"])
    parser.add_argument("folder", nargs="?", default="builtin")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--realisations", type=int, default=10)
    parser.add_argument("--links", nargs="+", default=[name for name in LINKS if name != REFINED], choices=list(LINKS))
    parser.add_argument("--metrics", nargs="+", default=list(METRICS), choices=METRICS)
    parser.add_argument("--out")
    parser.add_argument("--cards", action="store_true")
    arguments = parser.parse_args()
    if arguments.what == "quality":
        with tempfile.TemporaryDirectory() as folder:
            means = quality(arguments, arguments.out or folder)
        if arguments.cards:
            on_cards(means, arguments)
    elif arguments.what == "speed":
        speed()
    else:
        large()


def quality(arguments: argparse.Namespace, out: str) -> pd.DataFrame:
    realisations = arguments.realisations
    results = sc.run(
        sc.load(
            {
                "images": {"path": arguments.folder, "limit": arguments.limit},
                "transceivers": {name: LINKS[name] for name in arguments.links},
                "channels": {"awgn": "AWGN"},
                "sweep": {"channel.snr_db": list(SNRS_DB)},
                "metrics": arguments.metrics,
                "realisations": realisations,
            }
        ),
        out,
        workers=default_workers(),
    )
    table = results.table
    capacity = np.log2(1 + 10 ** (table["snr_db"] / 10))
    table["side"] = 100 * table["side_bits"] / capacity / table["channel_uses"]
    columns = {metric.name: 2 if metric.unit else 4 for metric in results.experiment.image_metrics} | {"side": 2}
    titles = {"side": "Side information, sent at capacity, in per cent of the channel uses"}
    means = table.groupby(["channel_uses_per_pixel", "transceiver", "snr_db"])[list(columns)].mean()
    images = table["image"].nunique()
    for column, digits in columns.items():
        print(f"\n{titles.get(column, column)}, mean of {images} images, {realisations} realisations\n")
        print("| CBR | link | " + " | ".join(f"{snr_db} dB" for snr_db in SNRS_DB) + " |")
        print("|---|---|" + "---|" * len(SNRS_DB))
        for rate, name in reversed(RATES.items()):
            for link in LINKS:
                if (rate, link) in means.index:
                    row = means.loc[(rate, link)][column]
                    print(f"| {name} | {link} | " + " | ".join(f"{row[s]:.{digits}f}" for s in SNRS_DB) + " |")
    paired(table, arguments.metrics)
    of_realisations = table.groupby([*means.index.names, "realisation"])["PSNR"].mean().groupby(means.index.names)
    spread = (of_realisations.max() - of_realisations.min()).groupby("transceiver").max()
    print("\nLargest difference between the mean PSNR of two realisations, in dB")
    print(spread.round(2).to_string(header=False))
    return means


def paired(table: pd.DataFrame, metrics: Sequence[str]) -> None:
    """Print by how much LSCI is better than each reference, image by image, with 95 % intervals over the images."""
    keys = ["channel_uses_per_pixel", "snr_db", "image"]
    for metric in metrics:
        means = table.groupby(["transceiver", *keys])[metric].mean()
        for reference in REFERENCES:
            if not {"LSCI", reference} <= set(means.index.get_level_values(0)):
                continue
            gains = (means["LSCI"] - means[reference]).dropna()
            print(f"\n{metric}: LSCI - {reference}, mean of the images' own differences and its interval\n")
            print("| CBR | " + " | ".join(f"{snr_db} dB" for snr_db in SNRS_DB) + " |")
            print("|---|" + "---|" * len(SNRS_DB))
            for rate, name in reversed(RATES.items()):
                cells = []
                for snr_db in SNRS_DB:
                    one = estimate(gains.loc[(rate, snr_db)].to_numpy()[:, None])
                    cells.append(f"{one.mean:+.2f} ({one.low:+.2f} to {one.high:+.2f})")
                print(f"| {name} | " + " | ".join(cells) + " |")


def on_cards(means: pd.DataFrame, arguments: argparse.Namespace) -> None:
    """Put a table of PSNR into the cards of the codecs that were measured."""
    limit = f" --limit {arguments.limit}" if arguments.limit else ""
    name = Path(arguments.folder).name
    command = f"python -m benchmarks.learned quality {name}{limit} --realisations {arguments.realisations} --cards"
    head = [f"## {name.capitalize()}", f"`{command}`: mean PSNR in dB over AWGN.", ""]
    head += ["| CBR | " + " | ".join(f"{snr_db} dB" for snr_db in SNRS_DB) + " |", "|---|" + "---|" * len(SNRS_DB)]
    codecs = {"lsci": ("LSCI", RATES), "deepjscc-6": ("DeepJSCC", (1 / 2,)), "deepjscc-12": ("DeepJSCC", (1 / 4,))}
    for codec, (link, rates) in codecs.items():
        if link not in arguments.links:
            continue
        rows = {rate: means.loc[(rate, link)]["PSNR"] for rate in sorted(rates, reverse=True)}
        table = [f"| {RATES[k]} | " + " | ".join(f"{v[s]:.2f}" for s in SNRS_DB) + " |" for k, v in rows.items()]
        card = WEIGHTS / f"{codec}.md"
        before, _, data = card.read_text().partition("## Data\n")
        before = before.partition(head[0])[0]
        card.write_text(before + "\n".join([*head, *table, "", "## Data", data]))


def speed() -> None:
    print("| batch | precision | encode ms | decode ms | both, per megapixel |\n|---|---|---|---|---|")
    for precision in ("fp32", "bf16"):
        for batch in (1, 8):
            link = sc.LSCI(layers=6, precision=precision, device="cpu")
            generator = torch.Generator().manual_seed(1)
            times = []
            for repeat in range(4):
                images = torch.rand(batch, 3, 512, 768, generator=generator)  # others: what was sent last is kept
                began = time.perf_counter()
                signal = link.send(images, torch.full((batch,), 10.0), [])
                middle = time.perf_counter()
                link.receive(sc.AWGN(10)(signal.symbols, sc.seeds_of(images)), signal.control, [])
                if repeat:
                    times.append((middle - began, time.perf_counter() - middle))
            encode, decode = (1000 * min(column) / batch for column in zip(*times))
            each = (encode + decode) / (512 * 768 / 1e6)
            print(f"| {batch} | {precision} | {encode:.0f} | {decode:.0f} | {each:.0f} ms |", flush=True)
    print("\nOne image of 12 megapixels, CBR 1/12:", end=" ", flush=True)
    subprocess.run([sys.executable, "-m", "benchmarks.learned", "large"], check=True)


def large() -> None:
    images = torch.rand(1, 3, *LARGE, generator=torch.Generator().manual_seed(1))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    began = time.perf_counter()
    sc.LSCI(layers=6, device="cpu").transmit(images, sc.AWGN(10), sc.seeds_of(images))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{time.perf_counter() - began:.1f} s, {peak:.1f} GB resident at most ({before:.1f} GB before)")


if __name__ == "__main__":
    main()
