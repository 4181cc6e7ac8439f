"""Codecs whose knob is a quality: JPEG, WebP, AVIF, HEIF and JPEG XL."""

import io
from abc import abstractmethod
from typing import Literal

import numpy as np
from PIL import features
from torch import Tensor

from semcomm import memo
from semcomm.codecs.source.budget import (
    Header,
    QualityCodec,
    checked_header,
    decode_guarded,
    encode_with_pillow,
    needs_size,
)
from semcomm.codecs.source.shared_header import with_header, without_header
from semcomm.errors import ConfigurationError, DecodeError
from semcomm.guard import decoders

Chroma = Literal["4:4:4", "4:2:0"]


def _checked(codec: str, argument: str, value: str) -> str:
    if value not in ("4:4:4", "4:2:0"):
        raise ConfigurationError(f'{codec}.{argument} is {value!r}; it must be "4:4:4" or "4:2:0"')
    return value


class JPEG(QualityCodec):
    """JPEG (ISO/IEC 10918-1) by Pillow's libjpeg-turbo: YCbCr (BT.601, full range), optimised Huffman codes.

    The quantisation tables are those of the standard's annex K, scaled as libjpeg's `quality` scales them but in finer
    steps (512 instead of 100), so that a budget is met within about 1 %. The headers take some 300 to 600 bytes.
    At the coarsest, every step is 255, which gives a floor of about 0.1 bpp for a photograph of 768x512.

    A progressive stream that was cut short decodes to a coarser image, a sequential one to its upper part.

    Args:
        subsampling: of the chroma: 4:4:4 for none, or 4:2:0, which is better at low rates.
        progressive: spectral selection and successive approximation, a few per cent smaller.
    """

    _levels = 512
    _max_side = 65500

    def __init__(self, subsampling: Chroma = "4:2:0", progressive: bool = True) -> None:
        self.subsampling = _checked("JPEG", "subsampling", subsampling)
        self.progressive = progressive
        self.embedded = progressive

    def _library(self) -> str:
        return f"libjpeg-turbo {features.version('libjpeg_turbo')}"

    def _encode_at(self, pixels: np.ndarray, level: int) -> bytes:
        return encode_with_pillow(
            pixels,
            "JPEG",
            qtables=quantisation_tables(5000 ** (1 - level / (self._levels - 1))),
            subsampling=self.subsampling,
            progressive=self.progressive,
            optimize=True,
        )

    def decode(self, payload: bytes) -> Tensor:
        """Decode a JPEG stream into [3, H, W]; what was cut off is filled in by the decoder.

        Raises:
            DecodeError: when no image can be made of it.
        """
        end_of_image = b"\xff\xd9"
        if payload.endswith(end_of_image):
            return decode_guarded(decoders.pillow, payload, "JPEG")
        try:
            return decode_guarded(decoders.pillow, payload + end_of_image, "JPEG")
        except DecodeError:
            # cut within the headers of a scan, which begin with its Huffman codes: leave out that scan
            return decode_guarded(decoders.pillow, payload[: max(payload.rfind(b"\xff\xc4"), 0)] + end_of_image, "JPEG")


def quantisation_tables(percent: float) -> list[list[int]]:
    """Return the luminance and chrominance tables (annex K.1) scaled by `percent`, limited to 1 … 255.

    libjpeg's quality q is 5000/q per cent below 50 and 200 - 2q from there on.
    """
    return [[min(max(int((step * percent + 50) / 100), 1), 255) for step in table] for table in (_LUMA, _CHROMA)]


# fmt: off
_LUMA = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)
_CHROMA = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,
    *[99] * 32,
)
# fmt: on


class WebP(QualityCodec):
    """WebP, lossy: the intra frames of VP8 (RFC 6386) by libwebp, as Pillow brings it.

    YCbCr (BT.601, video range) with 4:2:0 chroma always, which limits the PSNR to about 40 dB. The quality is a
    fraction, but VP8 has 128 quantisers, 2 % apart in size at low rates and up to 12 % at 2 bpp. libwebp's slowest
    method (6) is used. The container and headers take some 40 bytes. A stream that was cut short cannot be decoded.
    """

    _levels = 255  # two for each quantiser
    _max_side = 16383

    def _library(self) -> str:
        return f"libwebp {features.version('webp')}"

    def _encode_at(self, pixels: np.ndarray, level: int) -> bytes:
        # libwebp's quantiser falls with the cube root of a broken line over the quality, which this undoes
        linear = (level / (self._levels - 1)) ** 3
        quality = 150 * linear if linear < 0.5 else 50 * (1 + linear)
        return encode_with_pillow(pixels, "WEBP", quality=quality, method=6)

    def decode(self, payload: bytes) -> Tensor:
        """Decode a WebP file into [3, H, W].

        Raises:
            DecodeError: when it is cut short, or damaged where libwebp notices.
        """
        return decode_guarded(decoders.pillow, payload, "WEBP")


class _Contained(QualityCodec):
    """A codec whose files have a header that can be left out."""

    header: Header

    @abstractmethod
    def _file_at(self, pixels: np.ndarray, level: int) -> bytes:
        """Code `uint8` [H, W, 3] with the knob in one position."""

    @abstractmethod
    def _decoded(self, file: bytes) -> Tensor:
        """Decode a file into [3, H, W]."""

    def _encode_at(self, pixels: np.ndarray, level: int) -> bytes:
        file = self._file_at(pixels, level)
        return without_header(file, level) if self.header == "shared" else file

    def decode(self, payload: bytes) -> Tensor:
        """Decode a file into [3, H, W].

        Raises:
            DecodeError: when it is cut short, or damaged where the libraries notice.
            ConfigurationError: when the header is shared; `decode_sized` it.
        """
        if self.header == "shared":
            raise needs_size(type(self).__name__)
        return self._decoded(payload)

    def decode_sized(self, payload: bytes, height: int, width: int) -> Tensor:
        """Decode a payload whose header may be shared into [3, H, W].

        Raises:
            DecodeError: as `decode` does, and for a quality that there is not.
        """
        if self.header == "own":
            return self._decoded(payload)
        if not payload or payload[0] >= self._levels:
            raise DecodeError(f"{type(self).__name__}: the payload begins with no quality")
        return self._decoded(with_header(payload, self._template(payload[0], height, width)))

    def _template(self, level: int, height: int, width: int) -> bytes:
        """Return the file of a grey image, kept like any other."""
        description = {"recipe": self.recipe(), "library": self._library(), "template": [level, height, width]}
        return memo.current().get(description, lambda: self._file_at(np.full((height, width, 3), 128, np.uint8), level))


class AVIF(_Contained):
    """AVIF: the intra frames of AV1 by libaom and dav1d through libavif, as Pillow brings it.

    YCbCr (BT.601, full range), 8 bits, tuned for PSNR: libavif's own default, `iq`, is up to 0.7 dB worse in it.
    AV1 has 64 quality steps here, 4 to 11 % apart in size. The container takes about 300 bytes, all but 30 of which
    `header: shared` leaves out. A stream that was cut short cannot be decoded.

    Args:
        chroma: subsampling, 4:4:4 for none or 4:2:0.
        speed: of the encoder, from 0, the slowest, to 10. 6 takes 0.2 to 0.5 s for a 768x512 image, 8 half as long
            and 0.2 dB more to be lost, 4 five times as long.
        header: `own`, in each stream, or `shared`: not sent, as it follows from size, settings and one byte.
    """

    _levels = 101
    _max_side = 32768

    def __init__(self, chroma: Chroma = "4:4:4", speed: int = 6, header: Header = "own") -> None:
        self.chroma = _checked("AVIF", "chroma", chroma)
        self.header = checked_header("AVIF", header)
        if not 0 <= speed <= 10:
            raise ConfigurationError(f"AVIF.speed is {speed}; it must be between 0 and 10")
        self.speed = speed

    def _library(self) -> str:
        from PIL import _avif

        return f"libavif {features.version('avif')} {_avif.codec_versions()}"

    def _file_at(self, pixels: np.ndarray, level: int) -> bytes:
        # one thread, so that the stream does not depend on the machine
        options = {"subsampling": self.chroma, "speed": self.speed, "max_threads": 1, "advanced": {"tune": "psnr"}}
        return encode_with_pillow(pixels, "AVIF", quality=level, range="full", codec="aom", **options)

    def _decoded(self, file: bytes) -> Tensor:
        return decode_guarded(decoders.pillow, file, "AVIF")


class HEIF(_Contained):
    """HEIF: HEVC intra (ISO/IEC 23008-2) by x265 and libde265 through libheif, as pillow-heif brings it.

    This is what BPG is: HEVC intra images by x265 in a leaner container. BPG itself is not packaged for Python, so
    the name says HEIF; its container and headers take about 380 bytes, which `header: shared` leaves out.

    YCbCr (BT.601, full range), 8 bits, tuned for PSNR (libheif's default, `ssim`, is 0.2 dB worse in it), preset
    `slow` (`medium` takes half the time and loses 0.15 dB). HEVC's quantiser has integer steps, 13 % apart in size;
    between two of them the chroma's offset to it takes the values +3, +1, -1 and -3, at the same PSNR for the rate, so
    that budgets are met within 3 to 10 %. A budget takes 4 to 7 encodes of 0.2 to 0.7 s at 768x512. A stream
    that was cut short cannot be decoded.

    Args:
        chroma: subsampling, 4:4:4 for none or 4:2:0.
        header: `own`, in each stream, or `shared`: not sent, as it follows from size, settings and one byte.
    """

    _offsets = (3, 1, -1, -3)  # not 0, for which x265 takes +6 when the chroma is not subsampled
    _levels = 51 * len(_offsets)
    _max_side = 16384

    def __init__(self, chroma: Chroma = "4:4:4", header: Header = "own") -> None:
        self.chroma = _checked("HEIF", "chroma", chroma)
        self.header = checked_header("HEIF", header)

    def _library(self) -> str:
        import pillow_heif

        info = pillow_heif.libheif_info()
        return f"pillow-heif {pillow_heif.__version__}, libheif {info['libheif']}, {info['HEIF']}"

    def _file_at(self, pixels: np.ndarray, level: int) -> bytes:
        import pillow_heif

        step, offset = divmod(level, len(self._offsets))
        offset = self._offsets[offset]
        buffer = io.BytesIO()
        height, width = pixels.shape[:2]
        pillow_heif.from_bytes("RGB", (width, height), pixels.tobytes()).save(
            buffer,
            quality=2 * step,  # libheif makes a quantiser of 50 - quality/2 of it
            chroma=self.chroma.replace(":", ""),
            enc_params={
                "preset": "slow",
                "tune": "psnr",
                "x265:pools": "none",  # one thread, so that the stream does not depend on the machine
                "x265:cbqpoffs": str(offset),
                "x265:crqpoffs": str(offset),
            },
        )
        return buffer.getvalue()

    def _decoded(self, file: bytes) -> Tensor:
        return decode_guarded(decoders.heif, file)


class JPEGXL(QualityCodec):
    """JPEG XL (ISO/IEC 18181) by libjxl, as imagecodecs brings it: VarDCT in the XYB colour space, a bare codestream.

    XYB and its quantisation follow what people see, and the PSNR is 1.5 to 3 dB lower for it than with the other
    codecs of its age. The knob is libjxl's distance, continuous from 0.01 to 25, so budgets are met within 1 %; but 25
    gives a floor of 0.05 to 0.3 bpp for a photograph of 768x512. The headers take about 20 bytes. A stream that was cut
    short cannot be decoded.

    Args:
        effort: of the encoder, from 1 to 9; 7 is libjxl's default.
    """

    _levels = 1024
    _max_side = 2**18

    def __init__(self, effort: int = 7) -> None:
        if not 1 <= effort <= 9:
            raise ConfigurationError(f"JPEGXL.effort is {effort}; it must be between 1 and 9")
        self.effort = effort

    def _library(self) -> str:
        import imagecodecs

        return f"imagecodecs {imagecodecs.__version__}, {imagecodecs.jpegxl_version()}"

    def _encode_at(self, pixels: np.ndarray, level: int) -> bytes:
        import imagecodecs

        distance = 25 * 2500 ** (-level / (self._levels - 1))
        options = {"distance": distance, "effort": self.effort, "usecontainer": False, "numthreads": 1}
        return imagecodecs.jpegxl_encode(pixels, **options)

    def decode(self, payload: bytes) -> Tensor:
        """Decode a JPEG XL codestream into [3, H, W].

        Raises:
            DecodeError: when it is cut short, or damaged where libjxl notices.
        """
        return decode_guarded(decoders.jpegxl, payload)
