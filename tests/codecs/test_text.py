import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from semcomm import ASCIIText, CompressedText
from semcomm.codecs.text import LONGEST

CAPTIONS = [
    "a cat",
    "two men are sitting at a wooden table and playing chess",
    "an old steam engine pulls three carriages across a bridge",
    "there is a plate with rice, beans and a slice of lemon",
]


def test_77_characters_are_77_bytes():
    assert len(ASCIIText().encode("x" * 77)) == 77


@pytest.mark.parametrize("codec", [ASCIIText(), CompressedText()], ids=["ascii", "compressed"])
@pytest.mark.parametrize("text", [*CAPTIONS, "", "\x00\x07\n", "x" * 10_000])
def test_ascii_comes_back(codec, text):
    assert codec.decode(codec.encode(text)) == text
    assert codec.altered(text) == 0


@pytest.mark.parametrize(
    ("text", "plain", "altered"),
    [
        ("Größe", "Grosse", 2),
        ("“café” – naïve…", '"cafe" - naive...', 6),
        ("一只猫", "???", 3),
        ("ﬁne ½ \U0001f600", "fine 1/2 ?", 3),
    ],
)
def test_what_is_outside_ascii_is_transliterated_and_counted(text, plain, altered):
    assert ASCIIText().encode(text).decode("ascii") == plain
    assert ASCIIText().altered(text) == altered
    assert CompressedText().decode(CompressedText().encode(text)) == text


def test_a_flipped_bit_changes_one_character():
    payload = bytearray(ASCIIText().encode("a dog"))
    payload[2] ^= 0x80
    assert ASCIIText().decode(bytes(payload)) == "a \xe4og"


@given(st.binary(max_size=300))
def test_rubbish_is_text(payload):
    assert len(ASCIIText().decode(payload)) == len(payload)
    CompressedText().decode(payload).encode("utf-8")


def test_compression_saves_bits_on_captions():
    bits = sum(8 * len(CompressedText().encode(text)) for text in CAPTIONS)
    assert bits / sum(map(len, CAPTIONS)) < 5.5


def test_damage_leaves_what_came_before_it():
    text = " ".join(CAPTIONS)
    payload = CompressedText().encode(text)
    assert text.startswith(CompressedText().decode(payload[: len(payload) // 2])[:20])
    assert len(CompressedText().decode(payload[: len(payload) // 2])) >= 20


def test_what_is_too_long_to_be_sent_is_cut():
    assert len(ASCIIText().encode("y" * 100_000)) == LONGEST
    noise = "".join(map(chr, torch.randint(0x4E00, 0x9000, (60_000,), generator=torch.manual_seed(0)).tolist()))
    payload = CompressedText().encode(noise)
    assert len(payload) <= LONGEST
    found = CompressedText().decode(payload)
    assert noise.startswith(found[:-1]) and len(found) > 1000


def test_no_payload_makes_a_text_without_end():
    import zlib

    encoder = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = encoder.compress(b"a" * 10_000_000) + encoder.flush()
    assert len(CompressedText().decode(bomb)) == LONGEST
