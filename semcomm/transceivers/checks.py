"""Checks on what a link sends and returns, at the border: a wrong number must not look like a result."""

from collections.abc import Sequence
from dataclasses import fields
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from semcomm.errors import ConfigurationError
from semcomm.images import images_fault
from semcomm.ledger import Ledger

if TYPE_CHECKING:
    from semcomm.transceivers.base import Reception, Signal

COLUMNS = frozenset(f.name for f in fields(Ledger)) | {
    *("transceiver", "channel", "image", "realisation", "point", "snr_db", "reconstruction"),
    *("bpp", "cbr", "total_bpp", "total_cbr", "code_rate", "transmit_seconds", "score_seconds"),
}
"""Columns of the results that are not a link's to fill; the ledger has its own place."""
DYNAMIC = 0.7
"""Standard deviation of a symbol's energy, that of 64QAM: the mean of few random symbols lies above 1 by chance."""


def check_signal(name: str, signal: "Signal", images: Tensor) -> list[Tensor]:
    """Return the symbols or bits of a signal.

    Raises:
        ConfigurationError: naming the class, when they are of another kind, number or value than a channel takes, or
            the ledger counts others.
    """
    where = f"{name}.send"
    if not hasattr(signal, "sent"):
        raise ConfigurationError(f"{where}: returned a {type(signal).__name__}, not a Signal")
    sent = signal.sent()
    kind = torch.complex64 if signal.bits is None else torch.uint8
    if len(sent) != len(images):
        raise ConfigurationError(f"{where}: returned {len(sent)} tensors for {len(images)} images; one each is needed")
    if signal.control and len(signal.control) != len(images):
        raise ConfigurationError(f"{where}: returned control of {len(signal.control)} images, not {len(images)}")
    _check_ledger(where, signal.ledger, len(images))
    for tensor, uses in zip(sent, signal.ledger.channel_uses.tolist()):
        if not isinstance(tensor, Tensor) or tensor.dtype != kind or tensor.dim() != 1:
            found = f"{tensor.dtype} {list(tensor.shape)}" if isinstance(tensor, Tensor) else type(tensor).__name__
            what = "symbols are complex64 [k]" if kind == torch.complex64 else "bits are uint8 [n]"
            raise ConfigurationError(f"{where}: {what} for each image, and it returned {found}")
        if kind == torch.uint8 and len(tensor) and int(tensor.max()) > 1:
            raise ConfigurationError(f"{where}: bits are 0 or 1, and it returned {int(tensor.max())}")
        if kind == torch.complex64 and not torch.view_as_real(tensor).isfinite().all():
            raise ConfigurationError(f"{where}: returned symbols that are no finite numbers")
        if kind == torch.complex64 and len(tensor) != uses:
            raise ConfigurationError(
                f"{where}: returned {len(tensor)} symbols for an image, and its ledger counts {uses:g} channel_uses"
            )
    return sent


def check_reception(name: str, reception: "Reception", images: Tensor) -> None:
    """Refuse what a link returned unless it is a `Reception` of `images`.

    Raises:
        ConfigurationError: naming the class and what is wrong.
    """
    where = f"{name}.transmit"
    if not all(hasattr(reception, part) for part in ("images", "ledger", "info")):
        raise ConfigurationError(f"{where}: returned a {type(reception).__name__}, not a Reception")
    images_of(where, reception.images, images)
    _check_ledger(where, reception.ledger, len(images))
    for key, values in reception.info.items():
        if key in COLUMNS:
            raise ConfigurationError(f"{name}: {key!r} in info is a column of its own; take another name")
        if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != len(images):
            raise ConfigurationError(f"{name}: {key!r} in info needs a value for each of the {len(images)} images")


def images_of(where: str, found: Any, images: Tensor) -> Tensor:
    """Return reconstructions, if they are images of the originals' size.

    Raises:
        ConfigurationError: naming the class and what is wrong.
    """
    if fault := images_fault(found):
        raise ConfigurationError(f"{where} returned {fault}")
    if found.shape != images.shape:
        raise ConfigurationError(f"{where} returned images of shape {list(found.shape)}, not {list(images.shape)}")
    return found


def _check_ledger(where: str, ledger: Any, batch: int) -> None:
    if not isinstance(ledger, Ledger) or len(ledger) != batch:
        raise ConfigurationError(f"{where}: needs a Ledger of {batch} images, as Ledger.of(images, ...) makes it")
    for field in fields(Ledger):
        values = getattr(ledger, field.name)
        if (values < 0).any() or values.isinf().any():
            raise ConfigurationError(f"{where}: {field.name} in the ledger is {values.tolist()}; counts are 0 or above")


def plain_column(values: Any) -> list[Any]:
    """Return what there is to say about each image as numbers and texts of Python."""
    if isinstance(values, Tensor | np.ndarray):
        return values.tolist()
    return [v.item() if isinstance(v, np.generic) or (isinstance(v, Tensor) and v.numel() == 1) else v for v in values]


def excess_power(power: Sequence[float], uses: Sequence[float]) -> float | None:
    """Return the mean power of all symbols sent, where it is above the nominal 1 by more than chance; else None.

    Args:
        power: mean power of each image's symbols; NaN where there were none.
        uses: how many there were of each.
    """
    energy, count = 0.0, 0.0
    for mean, n in zip(power, uses):
        if mean == mean and n == n:
            energy, count = energy + mean * n, count + n
    mean = energy / count if count else 0.0
    return mean if mean > 1 + max(0.02, 4 * DYNAMIC / sqrt(count or 1)) else None
