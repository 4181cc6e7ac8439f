"""A run of seconds for the tests of figures, report and comparison: codecs that are small enough to see through."""

import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from semcomm.codecs.base import ChannelCode, Decoded, SourceCodec
from semcomm.errors import DecodeError, RateError
from semcomm.images import from_bytes, to_bytes
from semcomm.runs.results import Results
from semcomm.runs.run import run

CHECK, BLOCK = 32, 256


class MeanColours(SourceCodec):
    """Stores height, width and the mean colours of a grid, the finest that fits."""

    def encode(self, image: Tensor, max_bytes: int) -> bytes:
        height, width = image.shape[1:]
        side = min(int(((max_bytes - 5) / 3) ** 0.5) if max_bytes > 5 else 0, height, width)
        if side < 1:
            raise RateError("not even one colour fits")
        grid = torch.nn.functional.adaptive_avg_pool2d(image[None], side)[0]
        return np.array([height, width], ">u2").tobytes() + bytes([side]) + to_bytes(grid).tobytes()

    def decode(self, payload: bytes) -> Tensor:
        if len(payload) < 8:
            raise DecodeError("no colour arrived")
        height, width = np.frombuffer(payload[:4], ">u2")
        side = payload[4]
        if not (0 < side <= 256 and 0 < height <= 256 and 0 < width <= 256):
            raise DecodeError("rubbish")
        grid = np.full(side * side * 3, 128, np.uint8)
        colours = np.frombuffer(payload[5:], np.uint8)[: grid.size]
        grid[: len(colours)] = colours
        image = from_bytes(grid.reshape(side, side, 3))[None]
        return torch.nn.functional.interpolate(image, (int(height), int(width)))[0]


class Checked(ChannelCode):
    """No protection, but a CRC for each block of 256 bits, so that lost blocks are counted."""

    def payload_bits(self, coded_bits: int) -> int:
        whole, rest = divmod(coded_bits, BLOCK + CHECK)
        found = whole * BLOCK + max(0, rest - CHECK)
        if not found:
            raise RateError("nothing fits")
        return found

    def encode(self, bits: Tensor, coded_bits: int, bits_per_symbol: int) -> Tensor:
        blocks = [torch.cat([block, _crc(block)]) for block in bits.split(BLOCK)]
        sent = torch.cat(blocks)
        return torch.nn.functional.pad(sent, (0, coded_bits - len(sent)))

    def decode(self, llr: Tensor, payload_bits: int, bits_per_symbol: int) -> Decoded:
        hard = (llr > 0).to(torch.uint8)
        lengths = [min(BLOCK, payload_bits - at) for at in range(0, payload_bits, BLOCK)]
        bits, ok, at = [], [], 0
        for length in lengths:
            bits.append(hard[at : at + length])
            ok.append(torch.equal(_crc(bits[-1]), hard[at + length : at + length + CHECK]))
            at += length + CHECK
        return Decoded(torch.cat(bits), torch.tensor(ok), torch.tensor(lengths))


def _crc(block: Tensor) -> Tensor:
    check = zlib.crc32(np.packbits(block.numpy()).tobytes()).to_bytes(4, "big")
    return torch.from_numpy(np.unpackbits(np.frombuffer(check, np.uint8)))


def link(constellation: str = "qpsk", code: bool = True, **arguments: object) -> dict:
    """Return the description of a link for an experiment."""
    chosen = {"source": "small_run.MeanColours", "constellation": constellation, **arguments}
    return {"class_path": "Separate", "init_args": {**chosen, **({"code": "small_run.Checked"} if code else {})}}


def experiment(**changes: object) -> dict:
    """Return a small experiment: two transceivers, AWGN over three SNRs, two budgets, two images."""
    return {
        "title": "Mean colours over AWGN",
        "transceivers": {"robust": link("qpsk"), "fast": link("16qam")},
        "channels": {"awgn": "AWGN"},
        "sweep": {"channel.snr_db": [4, 12, 20], "channel_uses_per_pixel": [0.5, 1.0]},
        "metrics": ["PSNR", "SSIM"],
        "images": {"limit": 2, "size": 64},
        "realisations": 2,
        **changes,
    }


def small_run(folder: Path, **changes: object) -> Results:
    """Run the small experiment and return its results."""
    return run(experiment(**changes), folder)
