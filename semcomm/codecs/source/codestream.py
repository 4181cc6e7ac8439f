"""The rest of a JPEG 2000 codestream (ISO/IEC 15444-1) that was cut short, made into a whole one again.

A stream is a main header, then packets, one for each quality layer, resolution level and component. A packet has a
header, which says how many bytes each code block gets, and a body, which holds them. `mend` walks through the packet
headers, keeps every packet that is there, writes a new header for the one in which the stream ends, so that its whole
code blocks count, and makes empty packets of the rest. Any strict decoder then reads it, and loses nothing but the
code block in which the stream was cut. Decoders with a switch for truncated streams do worse: OpenJPEG with strict
mode off throws away what earlier layers had brought to the code blocks of the last, incomplete packet.

Only the streams that `semcomm.codecs.source.JPEG2000` writes are understood: one tile, one tile-part, three 8-bit
components, layer-resolution-component-position order, 64x64 code blocks, no precincts, no markers between packets.
Sections and tables named below are those of the standard.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from semcomm.errors import DecodeError
from semcomm.images import MAX_PIXELS

SOC, SIZ, COD, QCD, COM, SOT, SOD, EOC = (bytes([0xFF, b]) for b in (0x4F, 0x51, 0x52, 0x5C, 0x64, 0x90, 0x93, 0xD9))
COMPONENTS = 3
MAX_LAYERS = 100
_BLOCK = 64  # width and height of a code block, in coefficients
MAX_SIDE = 32768  # beyond it OpenJPEG's widest precinct no longer covers the image
_UNKNOWN = 1 << 30


class Header(NamedTuple):
    """The content of the main header and the tile-part header.

    Attributes:
        width, height: of the image, in pixels.
        layers: number of quality layers.
        levels: number of wavelet decompositions; there is one resolution level more.
        planes: bit planes of each subband, from the lowest frequency to the highest.
        tile_part: where in the stream the SOT marker stands.
        packets: where the first packet begins.
        length: how many bytes the stream has in all, by its own account, the end marker included.
    """

    width: int
    height: int
    layers: int
    levels: int
    planes: tuple[int, ...]
    tile_part: int
    packets: int
    length: int


def read_header(stream: bytes, max_pixels: int = MAX_PIXELS) -> Header:
    """Read the headers of a codestream, strictly: whatever governs a decoder's memory and time is checked.

    Raises:
        DecodeError: when they are incomplete or damaged, or when the image has more than `max_pixels`.
    """
    segments, position = _segments(stream)
    size, coding, steps = (segments.get(marker, b"") for marker in (SIZ, COD, QCD))
    if len(size) != 45 or len(coding) != 10 or len(steps) % 2 == 0 or len(segments[SOT]) != 8:
        raise DecodeError("JPEG 2000: a marker segment is missing from the header or has the wrong length")
    width, height = int.from_bytes(size[2:6], "big"), int.from_bytes(size[6:10], "big")
    if not 0 < width * height <= max_pixels or max(width, height) > MAX_SIDE:
        raise DecodeError(f"JPEG 2000: the header claims {width}x{height} pixels; the limit is {max_pixels:,}")
    # no offsets, a single tile, three unsigned 8-bit components without subsampling
    if size[10:] != bytes(8) + size[2:10] + bytes(8) + bytes([0, 3]) + bytes([7, 1, 1]) * 3:
        raise DecodeError("JPEG 2000: the header describes something other than one tile of 8-bit colour")
    layers, levels = int.from_bytes(coding[2:4], "big"), coding[5]
    # no precincts or markers, LRCP, colour transform, plain code blocks of 64x64, 9/7 wavelet
    style = bytes([0, 0]) + coding[2:4] + bytes([1, levels, 4, 4, 0, 0])
    if coding != style or not 1 <= layers <= MAX_LAYERS or levels > 32:
        raise DecodeError("JPEG 2000: the header describes a coding style that this codec does not write")
    if steps[0] & 31 != 2 or len(steps) != 3 + 6 * levels:
        raise DecodeError("JPEG 2000: the header describes a quantisation that this codec does not write")
    planes = tuple((steps[0] >> 5) + (high >> 3) - 1 for high in steps[1::2])  # equation E-2
    start = position - 12
    length = start + int.from_bytes(segments[SOT][2:6], "big") + len(EOC)
    if stream[position : position + 2] != SOD:
        raise DecodeError("JPEG 2000: the tile-part header is damaged")
    return Header(width, height, layers, levels, planes, start, position + 2, length)


def _segments(stream: bytes) -> tuple[dict[bytes, bytes], int]:
    """Return marker -> contents up to SOT, and the position after it."""
    if stream[:2] != SOC:
        raise DecodeError("JPEG 2000: this is no codestream")
    segments, position = {}, 2
    while SOT not in segments:
        marker, length = stream[position : position + 2], int.from_bytes(stream[position + 2 : position + 4], "big")
        end = position + 2 + length
        if marker not in (SIZ, COD, QCD, SOT) or marker in segments or length < 2 or end > len(stream):
            raise DecodeError("JPEG 2000: the main header is incomplete or damaged")
        segments[marker] = stream[position + 4 : end]
        position = end
    return segments, position


def without_comment(stream: bytes) -> bytes:
    """Remove the comment segment, in which OpenJPEG puts its name and version, from the main header."""
    position = len(SOC)
    while (marker := stream[position : position + 2]) != COM:
        if marker == SOT:
            return stream
        position += 2 + int.from_bytes(stream[position + 2 : position + 4], "big")
    return stream[:position] + stream[position + 2 + int.from_bytes(stream[position + 2 : position + 4], "big") :]


def mend(stream: bytes) -> bytes:
    """Return a whole codestream with every code block that is complete in `stream`, a prefix of one or a whole one.

    If a packet header is damaged so that it says what cannot be, the stream counts as cut there.

    Raises:
        DecodeError: see `read_header`.
    """
    header = read_header(stream)
    end = min(len(stream), header.length - len(EOC))
    resolutions = [[_bands(header, r) for _ in range(COMPONENTS)] for r in range(header.levels + 1)]
    position, last = header.packets, b""
    empty = header.layers * len(resolutions) * COMPONENTS
    for layer in range(header.layers):
        for components in resolutions:
            for bands in components:
                if last:
                    continue
                before = [band.copy() for band in bands]
                try:
                    blocks, body = _read_packet(stream, position, end, bands, layer)
                except _CutError:
                    blocks, body = [], end + 1
                size = sum(block.length for block in blocks)
                empty -= 1
                if body + size <= end:
                    position = body + size
                else:
                    last = _shortened(blocks, stream[body:end], before, bands, layer)
    packets = stream[header.packets : position] + last + bytes(empty)
    tile_part = bytearray(stream[header.tile_part : header.packets])
    tile_part[6:10] = (len(tile_part) + len(packets)).to_bytes(4, "big")
    return stream[: header.tile_part] + bytes(tile_part) + packets + EOC


def shorten(stream: bytes, max_bytes: int) -> bytes:
    """Return the longest whole codestream of at most `max_bytes` that drops code blocks from the end of `stream`.

    It is empty when not even the headers fit.
    """
    length, headers = max_bytes - len(EOC), read_header(stream).packets
    while length >= headers:
        shorter = mend(stream[:length])
        if len(shorter) <= max_bytes:
            return shorter
        length -= len(shorter) - max_bytes
    return b""


class _CutError(Exception):
    """The stream ends here, or goes on with something that is no packet header."""


class _Bits:
    """The bits of a packet header; after a byte 0xFF the next one has only seven."""

    def __init__(self, stream: bytes, position: int, end: int) -> None:
        self.stream, self.position, self.end = stream, position, end
        self.byte = self.left = 0

    def bit(self) -> int:
        if self.left == 0:
            if self.position >= self.end:
                raise _CutError
            self.left = 7 if self.byte == 0xFF else 8
            self.byte = self.stream[self.position]
            self.position += 1
        self.left -= 1
        return self.byte >> self.left & 1

    def number(self, bits: int) -> int:
        value = 0
        for _ in range(bits):
            value = value << 1 | self.bit()
        return value

    def finish(self) -> int:
        """Return where the body begins."""
        return self.position + (self.byte == 0xFF)


class _BitWriter:
    """The reverse of `_Bits`."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.byte, self.left = 0, 8

    def bit(self, value: int) -> None:
        self.left -= 1
        self.byte |= value << self.left
        if self.left == 0:
            self.written.append(self.byte)
            self.left = 7 if self.byte == 0xFF else 8
            self.byte = 0

    def number(self, value: int, bits: int) -> None:
        for shift in reversed(range(bits)):
            self.bit(value >> shift & 1)

    def finish(self) -> bytes:
        if self.left < 8:
            self.written.append(self.byte)
        if self.written[-1] == 0xFF:
            self.written.append(0)
        return bytes(self.written)


class _TagTree:
    """A tag tree (B.10.2): numbers on a grid, each node the least of the four below it, coded as rising bounds."""

    def __init__(self, columns: int, rows: int) -> None:
        self.paths: list[list[int]] = []
        sizes = [(columns, rows)]
        while max(sizes[-1]) > 1:
            sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
        starts = [sum(c * r for c, r in sizes[:n]) for n in range(len(sizes))]
        for y in range(rows):
            for x in range(columns):
                path = [start + (y >> n) * sizes[n][0] + (x >> n) for n, start in enumerate(starts)]
                self.paths.append(path[::-1])
        count = sum(c * r for c, r in sizes)
        self.low, self.value = [0] * count, [_UNKNOWN] * count

    def copy(self) -> "_TagTree":
        new = object.__new__(_TagTree)
        new.paths, new.low, new.value = self.paths, self.low[:], self.value[:]
        return new

    def read(self, bits: _Bits, leaf: int, threshold: int) -> bool:
        """Read on until it is known whether the leaf's number is below `threshold`."""
        low = 0
        for node in self.paths[leaf]:
            low = max(low, self.low[node])
            while low < threshold and low < self.value[node]:
                if bits.bit():
                    self.value[node] = low
                else:
                    low += 1
            self.low[node] = low
        return self.value[self.paths[leaf][-1]] < threshold

    def write(self, bits: _BitWriter, leaf: int, threshold: int, truth: list[int]) -> None:
        """Write what `read` needs; `truth` is the number of each node."""
        low = 0
        for node in self.paths[leaf]:
            low = max(low, self.low[node])
            while low < threshold and low < self.value[node]:
                if low >= truth[node]:
                    self.value[node] = low
                    bits.bit(1)
                else:
                    low += 1
                    bits.bit(0)
            self.low[node] = low

    def least(self, leaves: dict[int, int]) -> list[int]:
        """Return the number of each node when `leaves` have these numbers and the others none."""
        truth = self.value[:]
        for leaf, number in leaves.items():
            for node in self.paths[leaf]:
                truth[node] = min(truth[node], number)
        return truth


@dataclass
class _Band:
    """The code blocks of one subband: what earlier packets said about them."""

    planes: int
    included: _TagTree
    zero_planes: _TagTree
    length_bits: list[int] = field(default_factory=list)  # Lblock of B.10.7.1; 0 before a block is first included

    def copy(self) -> "_Band":
        return _Band(self.planes, self.included.copy(), self.zero_planes.copy(), self.length_bits[:])


class _Block(NamedTuple):
    """The contribution of one packet to one code block."""

    band: int
    index: int
    passes: int
    increment: int
    length: int


def _bands(header: Header, resolution: int) -> list[_Band]:
    """Return the subbands of a resolution level (B.5): LL for the lowest, else HL, LH, HH."""
    level = header.levels - max(resolution, 1) + 1
    bands = []
    kinds = ((0, 0),) if resolution == 0 else ((1, 0), (0, 1), (1, 1))
    for number, (x, y) in enumerate(kinds, start=max(3 * resolution - 2, 0)):
        half = 1 << max(level - 1, 0)
        width = -((half * x - header.width) >> level)
        height = -((half * y - header.height) >> level)
        columns, rows = -(-width // _BLOCK), -(-height // _BLOCK)
        trees = _TagTree(columns, rows), _TagTree(columns, rows)
        bands.append(_Band(header.planes[number], *trees, [0] * (columns * rows)))
    return bands


def _read_packet(stream: bytes, position: int, end: int, bands: list[_Band], layer: int) -> tuple[list[_Block], int]:
    """Read a packet header (B.10) and return what it brings, in order, and where its body begins."""
    bits = _Bits(stream, position, end)
    blocks: list[_Block] = []
    if not bits.bit():
        return blocks, bits.finish()
    for number, band in enumerate(bands):
        for index, length_bits in enumerate(band.length_bits):
            if not (bits.bit() if length_bits else band.included.read(bits, index, layer + 1)):
                continue
            if not length_bits:
                zeros = 0
                while not band.zero_planes.read(bits, index, zeros + 1):
                    zeros += 1
                    if zeros >= band.planes:
                        raise _CutError
                length_bits = 3
            passes = _read_passes(bits)
            increment = 0
            while bits.bit():
                increment += 1
            band.length_bits[index] = length_bits + increment
            if band.length_bits[index] > 32:
                raise _CutError
            length = bits.number(band.length_bits[index] + passes.bit_length() - 1)
            blocks.append(_Block(number, index, passes, increment, length))
    return blocks, bits.finish()


def _shortened(blocks: list[_Block], body: bytes, before: list[_Band], after: list[_Band], layer: int) -> bytes:
    """Write the packet that brings as many of `blocks`, from the first, as `body` has whole.

    `before` and `after` are the subbands as the packets so far and including this one describe them.
    """
    kept: list[_Block] = []
    size = 0
    for block in blocks:
        if size + block.length > len(body):
            break
        size += block.length
        kept.append(block)
    if not kept:
        return bytes(1)
    bits = _BitWriter()
    bits.bit(1)
    for number, (band, known) in enumerate(zip(before, after, strict=True)):
        of_band = {block.index: block for block in kept if block.band == number}
        new = {index: layer for index in of_band if not band.length_bits[index]}
        included = band.included.least(new)
        for index, length_bits in enumerate(band.length_bits):
            block = of_band.get(index)
            if length_bits:
                bits.bit(block is not None)
            else:
                band.included.write(bits, index, layer + 1, included)
            if block is None:
                continue
            if not length_bits:
                planes = known.zero_planes.value
                band.zero_planes.write(bits, index, planes[known.zero_planes.paths[index][-1]] + 1, planes)
            _write_passes(bits, block.passes)
            bits.number((1 << block.increment + 1) - 2, block.increment + 1)
            bits.number(block.length, (length_bits or 3) + block.increment + block.passes.bit_length() - 1)
    return bits.finish() + body[:size]


_PASSES = ((3, 2), (6, 5), (37, 7))
"""Numbers of coding passes from 3 (table B.4): groups, each its first number and the bits of the offset to it."""


def _read_passes(bits: _Bits) -> int:
    if not bits.bit():
        return 1
    if not bits.bit():
        return 2
    passes = 0
    for first, width in _PASSES:
        passes = first + bits.number(width)
        if passes < first + (1 << width) - 1:  # all ones: the number is in the next group
            break
    return passes


def _write_passes(bits: _BitWriter, passes: int) -> None:
    if passes == 1:
        bits.bit(0)
        return
    bits.bit(1)
    if passes == 2:
        bits.bit(0)
        return
    bits.bit(1)
    for first, width in _PASSES:
        bits.number(min(passes - first, (1 << width) - 1), width)
        if passes - first < (1 << width) - 1:
            return
