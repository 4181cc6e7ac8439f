"""The learned codecs beside JPEG 2000 + LDPC at the same channel uses, and how fast they are, as tables in Markdown.

    python -m benchmarks.learned quality FOLDER [--limit N] [--realisations 10] [--out DIR]
    python -m benchmarks.learned speed

`quality` sends every picture of the folder at five SNRs and five rates over AWGN; with `--out` it can be stopped and
goes on. PSNR and MS-SSIM are means of the images' own. `speed` takes torch's threads, one for each core, and shows the
largest resident memory of a process that sends one image of 12 megapixels.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time

import torch

import semcomm as sc
from semcomm.sweep.run import default_workers

SNRS_DB = (0, 5, 10, 15, 20)
RATES = {1 / 128: "1/384", 1 / 32: "1/96", 1 / 8: "1/24", 1 / 4: "1/12", 1 / 2: "1/6"}
METRICS = ("PSNR", "MSSSIM", "SeSS")
LARGE = (3000, 4000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["quality", "speed", "large"])
    parser.add_argument("folder", nargs="?", default="builtin")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--realisations", type=int, default=10)
    parser.add_argument("--out")
    arguments = parser.parse_args()
    if arguments.what == "quality":
        with tempfile.TemporaryDirectory() as folder:
            quality(arguments.folder, arguments.limit, arguments.realisations, arguments.out or folder)
    elif arguments.what == "speed":
        speed()
    else:
        large()


def quality(folder: str, limit: int | None, realisations: int, out: str) -> None:
    separate = {"source": "JPEG2000", "code": "LDPC5G"}
    rates = {"channel_uses_per_pixel": list(RATES)}
    links = {
        "LSCI": {"class_path": "LSCI", "sweep": rates},
        "DeepJSCC": {"class_path": "DeepJSCC", "sweep": {"channel_uses_per_pixel": [0.25, 0.5]}},
        "JPEG 2000 + LDPC, 16QAM": {
            "class_path": "Separate",
            "init_args": {**separate, "constellation": "16qam"},
            "sweep": rates,
        },
        "JPEG 2000 + LDPC, adaptive": {
            "class_path": "Separate",
            "init_args": {**separate, "constellation": "adaptive"},
            "sweep": rates,
        },
    }
    results = sc.run(
        sc.load(
            {
                "images": {"path": folder, "limit": limit},
                "transceivers": links,
                "channels": {"awgn": "AWGN"},
                "sweep": {"channel.snr_db": list(SNRS_DB)},
                "metrics": list(METRICS),
                "realisations": realisations,
            }
        ),
        out,
        workers=default_workers(),
    )
    table = results.table
    table["side"] = table["side_bits"] / table["pixels"] * 256
    columns = {metric.name: 2 if metric.unit else 4 for metric in results.experiment.image_metrics} | {"side": 2}
    titles = {"side": "Bits of side information for each 16x16 pixels"}
    means = table.groupby(["channel_uses_per_pixel", "transceiver", "snr_db"])[list(columns)].mean()
    pictures = table["image"].nunique()
    for column, digits in columns.items():
        print(f"\n{titles.get(column, column)}, mean of {pictures} pictures, {realisations} realisations\n")
        print("| CBR | link | " + " | ".join(f"{snr_db} dB" for snr_db in SNRS_DB) + " |")
        print("|---|---|" + "---|" * len(SNRS_DB))
        for rate, name in reversed(RATES.items()):
            for link in links:
                if (rate, link) in means.index:
                    row = means.loc[(rate, link)][column]
                    print(f"| {name} | {link} | " + " | ".join(f"{row[s]:.{digits}f}" for s in SNRS_DB) + " |")


def speed() -> None:
    print("| batch | precision | encode ms | decode ms | both, per megapixel |\n|---|---|---|---|---|")
    for precision in ("fp32", "bf16"):
        for batch in (1, 8):
            link = sc.LSCI(layers=6, precision=precision, device="cpu")
            images = torch.rand(batch, 3, 512, 768, generator=torch.Generator().manual_seed(1))
            times = []
            for repeat in range(4):
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
