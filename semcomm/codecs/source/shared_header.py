"""Files of the HEIF family without the header, which is the same for every image of a size at a quality.

Sender and receiver know the size, from the control information, and the codec's settings. So a receiver makes the
header itself, from an image of one colour that it encodes at that quality; only lengths in it differ.
"""

from semcomm.errors import DecodeError

_MEDIA = b"mdat"


def without_header(stream: bytes, level: int) -> bytes:
    """Return one byte for the quality's `level`, and what follows the header of `stream` (ISO/IEC 14496-12)."""
    return bytes([level]) + stream[_media(stream) :]


def with_header(payload: bytes, template: bytes) -> bytes:
    """Return `payload` as a file, behind the header of `template`, another file of that size and quality.

    Two lengths are put right: that of the `mdat` box, and in the `iloc` box (8.11.3) that of the one item in it.
    """
    start = _media(template)
    media = payload[1:]
    header, length = bytearray(template[:start]), len(template) - start
    item = header.find(length.to_bytes(4, "big"), header.find(b"iloc"))
    if item < 0:
        raise DecodeError("the header of this codec's library has no place for the length of its image")
    header[item : item + 4] = len(media).to_bytes(4, "big")
    header[start - 8 : start - 4] = (len(media) + 8).to_bytes(4, "big")
    return bytes(header) + media


def _media(stream: bytes) -> int:
    """Return where the contents of the `mdat` box begin, the last of the file."""
    position = 0
    while position + 8 <= len(stream):
        length, kind = int.from_bytes(stream[position : position + 4], "big"), stream[position + 4 : position + 8]
        if kind == _MEDIA and position + length == len(stream):
            return position + 8
        position += max(8, length)
    raise DecodeError("this file has no media data at its end")
