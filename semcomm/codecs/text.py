"""Text <-> bytes: what becomes of a caption before it is sent, and of what arrives."""

import unicodedata
import zlib
from abc import ABC, abstractmethod

from semcomm.component import Component

LONGEST = 2**16 - 1
"""Bytes of the longest text that is sent; its length is signalled in 16 bits."""

_PLAIN = str.maketrans(
    {
        **dict.fromkeys("‘’‚′", "'"),
        **dict.fromkeys("“”„″«»", '"'),
        **dict.fromkeys("‐‑‒–—−", "-"),
        "⁄": "/",
        **{"…": "...", "ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L"},
    }
)


class TextCodec(Component, ABC):
    """Text <-> bytes."""

    @abstractmethod
    def encode(self, text: str) -> bytes:
        """Code `text` into at most 65,535 bytes; what does not fit is cut off at the end."""

    @abstractmethod
    def decode(self, payload: bytes) -> str:
        """Return the text in `payload`, whole or damaged. Never raises: rubbish is text too."""

    def altered(self, text: str) -> int:
        """Return how many characters of `text` do not survive coding as they are."""
        return 0


class ASCIIText(TextCodec):
    """Characters of 8 bits, as both papers send them.

    What is outside ASCII is transliterated, or becomes `?`. Of what arrives, every byte is the character of that number
    (ISO 8859-1), so a text keeps its length whatever the channel did.
    """

    def encode(self, text: str) -> bytes:
        """Return one byte for each character, of those that a transliteration adds too."""
        return b"".join(map(_ascii, text))[:LONGEST]

    def decode(self, payload: bytes) -> str:
        """Return one character for each byte."""
        return payload.decode("latin-1")

    def altered(self, text: str) -> int:
        """Return how many characters are outside ASCII."""
        return sum(not character.isascii() for character in text)


class CompressedText(TextCodec):
    """UTF-8 compressed with DEFLATE (RFC 1951) and a preset dictionary of words that captions are made of.

    Without the dictionary DEFLATE makes such short texts longer. Damage ends the text where the stream makes no sense
    any more, and may change what is before: send it through a code.
    """

    def encode(self, text: str) -> bytes:
        """Return the compressed text; half a character at a cut is left out."""
        whole = text.encode("utf-8", "replace")
        payload = _deflated(whole)
        while len(payload) > LONGEST:
            whole = whole[: len(whole) * LONGEST // len(payload)].decode("utf-8", "ignore").encode()
            payload = _deflated(whole)
        return payload

    def decode(self, payload: bytes) -> str:
        """Return the text as far as the stream can be followed."""
        decoder = zlib.decompressobj(-15, zdict=_DICTIONARY)
        found = b""
        for n in range(len(payload)):  # byte by byte, so that an error leaves what came before it
            try:
                found += decoder.decompress(payload[n : n + 1], LONGEST + 1 - len(found))
            except zlib.error:
                break
            if len(found) > LONGEST or decoder.eof:
                break
        return found[:LONGEST].decode("utf-8", "replace")


def _ascii(character: str) -> bytes:
    if character.isascii():
        return character.encode()
    plain = unicodedata.normalize("NFKD", character).translate(_PLAIN).encode("ascii", "ignore")
    return plain or b"?"


def _deflated(data: bytes) -> bytes:
    if not data:
        return b""
    encoder = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, _DICTIONARY)
    return encoder.compress(data) + encoder.flush()


_DICTIONARY = (
    # Part of the format: changing it changes what a payload means. The commonest phrases stand last, where they are
    # nearest and so cheapest to point at.
    b"skateboard surfboard frisbee baseball football soccer player tennis racket motorcycle bicycle train station "
    b"airplane flying in the sky boat floating on the water giraffe elephant zebra sheep cows horses grazing in a "
    b"grassy field bird perched on a branch flowers in a vase kitchen bathroom bedroom living room with a bed and a "
    b"table with a plate of food on it pizza cake sandwich fruit vegetables computer laptop desk window building "
    b"with a clock tower bridge over a river lake city street at night parked on the side of the road next to a "
    b"traffic light stop sign fire hydrant bus truck cars wearing a black shirt and blue jeans hat helmet glasses "
    b"suit and tie red yellow green brown white orange pink young boy little girl playing with a ball child children "
    b"women men two three people group of people crowd sitting on a bench chair couch lying on the ground eating "
    b"drinking from a cup holding an umbrella talking on a phone riding a wave in the ocean on the beach near the "
    b"looking at the camera jumping into the air over a rock mountain covered with snow running through the grass "
    b"with trees in the background walking down the path standing in front of a wall there are many there is a small "
    b"large dog cat that is on top of a close up of an image of a photo of a a woman is a man in a "
)
