"""Low-density parity-check codes: those of 5G NR, and regular ones, on one fast decoder."""

from semcomm.codecs.ldpc.nr import LDPC5G
from semcomm.codecs.ldpc.regular import RegularLDPC

__all__ = ["LDPC5G", "RegularLDPC"]
