"""Does link adaptation keep its promises? Its error rates at its own thresholds, and itself beside every fixed mode.

    python -m benchmarks.adaptation thresholds [--images 300] [--payload-bits 2500 6000 20000]
    python -m benchmarks.adaptation fixed [FOLDER] [--limit 2] [--realisations 10] [--channels NAME ...] [--step 3]

`thresholds` sends messages of random bits at the SNR where `Adaptive` begins to use a mode for them, and counts those
that do not arrive whole: the target is 1 %. Intervals are Wilson's, 95 %.

`fixed` sends images by JPEG 2000 + LDPC at CBR 1/12 with adaptation, and in each fixed mode near the chosen one (until
the best has worse ones on both sides), over the same fades and noise: AWGN; Rayleigh with a gain for each image (known,
or its average), for each 256 symbols and for each symbol; Rician with one for each image and each symbol. Images are
built in and 192 pixels high by default. Differences are of mean PSNR over images and realisations. The best fixed mode
is found on one half of the realisations and compared on the other, and the reverse: the best in hindsight of a few
fades would be better than any mode is.
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch
from scipy.stats import binomtest

import semcomm as sc
from semcomm.seeds import Seed
from semcomm.transceivers.adaptation import Mode, efficiency

CHANNELS: dict[str, Callable[[float], sc.Channel]] = {
    "AWGN": sc.AWGN,
    "Rayleigh, image, known": lambda snr_db: sc.Rayleigh(snr_db, csi="instantaneous"),
    "Rayleigh, image": sc.Rayleigh,
    "Rayleigh, 256 symbols": lambda snr_db: sc.Rayleigh(snr_db, coherence=256),
    "Rayleigh, symbol": lambda snr_db: sc.Rayleigh(snr_db, coherence="symbol"),
    "Rician, image": sc.Rician,
    "Rician, symbol": lambda snr_db: sc.Rician(snr_db, coherence="symbol"),
}
CHANNEL_USES_PER_PIXEL = 0.25
NEIGHBOURS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["thresholds", "fixed"])
    parser.add_argument("folder", nargs="?", default="builtin")
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--payload-bits", type=int, nargs="+", default=[2500, 6000, 20_000])
    parser.add_argument("--limit", type=int, default=2)
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--realisations", type=int, default=10)
    parser.add_argument("--channels", nargs="+", default=list(CHANNELS), choices=list(CHANNELS))
    parser.add_argument("--step", type=float, default=3.0, help="of the SNR, in dB")
    arguments = parser.parse_args()
    if arguments.what == "thresholds":
        thresholds(arguments)
    else:
        fixed(arguments)


def thresholds(arguments: argparse.Namespace) -> None:
    """Print the image error rate of each mode at its own threshold."""
    adaptive = sc.Adaptive()
    lengths = arguments.payload_bits
    print("| mode | " + " | ".join(f"{bits:,} bits: SNR, errors, interval" for bits in lengths) + " |")
    print("|---|" + "---|" * len(lengths))
    lost = {bits: [0, 0] for bits in lengths}
    for code, constellation in adaptive.modes(sc.LDPC5G()):
        cells = []
        for bits in lengths:
            snr_db = adaptive.required_snr_db(code, constellation, bits)
            errors = _image_errors(code, constellation, bits, snr_db, arguments.images)
            lost[bits][0] += errors
            lost[bits][1] += arguments.images
            cells.append(f"{snr_db:.2f} dB, {_rate(errors, arguments.images)}")
        name = f"{constellation.name} {1024 * code.rate:g}/1024"
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    print("| all | " + " | ".join(_rate(*lost[bits]) for bits in lengths) + " |")


def _rate(errors: int, images: int) -> str:
    interval = binomtest(errors, images).proportion_ci(method="wilson")
    return f"{100 * errors / images:.1f} % ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def _image_errors(code: sc.LDPC5G, constellation: sc.QAM, bits: int, snr_db: float, images: int) -> int:
    coded_bits = code.coded_bits(bits, constellation.bits_per_symbol)
    rng = Seed(f"adaptation/{constellation.name}/{code.rate}/{bits}").generator("bits")
    errors = 0
    for number in range(images):
        sent = torch.randint(0, 2, (bits,), generator=rng, dtype=torch.uint8)
        symbols = constellation.modulate(code.encode(sent, coded_bits, constellation.bits_per_symbol))
        output = sc.AWGN(snr_db)([symbols], [Seed(f"adaptation/{number}")])
        llr = constellation.demodulate(*output.zero_forced()[0])
        errors += not torch.equal(code.decode(llr, bits, constellation.bits_per_symbol).bits, sent)
    return errors


def fixed(arguments: argparse.Namespace) -> None:
    """Print adaptation beside the best fixed mode."""
    size = arguments.size if arguments.folder == "builtin" else None
    images = [image[None] for _, image in sc.ImageSet(arguments.folder, limit=arguments.limit, size=size)]
    modes = sorted(sc.Adaptive().modes(sc.LDPC5G()), key=efficiency)
    print("| channel | SNR | adaptive | best fixed mode | difference |\n|---|---|---|---|---|")
    worst: dict[str, float] = {}
    for name in arguments.channels:
        snr_db = -3.0
        while snr_db <= 24:
            channel = CHANNELS[name](snr_db)
            ours, chosen = _sent(images, channel, None, arguments.realisations)
            places = [_place(modes, mode) for mode in chosen]
            low, high = max(0, min(places) - NEIGHBOURS), min(len(modes) - 1, max(places) + NEIGHBOURS)
            scores: dict[int, np.ndarray] = {}
            while True:  # until the best does not lie at the border of what was tried
                for n in range(low, high + 1):
                    if n not in scores:
                        scores[n], _ = _sent(images, channel, modes[n], arguments.realisations)
                best = max(scores, key=lambda n: scores[n].mean())
                if best <= low + 1 and low > 0:
                    low = max(0, low - NEIGHBOURS)
                elif best >= high - 1 and high < len(modes) - 1:
                    high = min(len(modes) - 1, high + NEIGHBOURS)
                else:
                    break
            differences = []
            for half in (0, 1):
                found = max(scores, key=lambda n: scores[n][half::2].mean())
                differences.append((ours - scores[found])[1 - half :: 2].mean())
            difference = sum(differences) / 2
            worst[name] = min(worst.get(name, 0.0), difference)
            code, constellation = modes[best]
            label = f"{constellation.name} {1024 * code.rate:g}/1024: {scores[best].mean():.2f} dB"
            print(f"| {name} | {snr_db:g} dB | {ours.mean():.2f} dB | {label} | {difference:+.2f} |", flush=True)
            snr_db += arguments.step
    print("\nLeast difference: " + ", ".join(f"{name} {value:+.2f} dB" for name, value in worst.items()))


def _sent(
    images: list[torch.Tensor], channel: sc.Channel, mode: Mode | None, realisations: int
) -> tuple[np.ndarray, list[tuple[str, float]]]:
    """Return the mean PSNR over the images of each realisation, and which modes were used."""
    code, constellation = mode or (sc.LDPC5G(), "adaptive")
    link = sc.Separate(sc.JPEG2000(), code, constellation, channel_uses_per_pixel=CHANNEL_USES_PER_PIXEL)
    psnr, used = np.zeros((realisations, len(images))), set()
    for number, image in enumerate(images):
        for realisation in range(realisations):
            reception = link.transmit(image, channel, sc.seeds_of(image, realisation=realisation))
            psnr[realisation, number] = sc.PSNR()(image, reception.images).item()
            used.add((reception.info["modulation"][0], reception.info["nominal_code_rate"][0]))
    return psnr.mean(axis=1), sorted(used)


def _place(modes: list[Mode], used: tuple[str, float]) -> int:
    return next(n for n, (code, constellation) in enumerate(modes) if (constellation.name, code.rate) == used)


if __name__ == "__main__":
    main()
