"""Fonts for names in any script: matplotlib's own has no Chinese, Japanese or Korean."""

from semcomm.caches import cached

DEFAULT = "DejaVu Sans"


def families(font: str, text: str) -> list[str]:
    """Return font families that together have every character of a text, as far as this machine has them.

    Args:
        font: the family to begin with; empty takes matplotlib's.
        text: that is to be shown.
    """
    wanted = [font, DEFAULT] if font else [DEFAULT]
    lacking = _lacking(wanted, text)
    further = _further(lacking) if lacking else ""
    return [*wanted, further] if further else wanted


def unreadable(font: str, text: str) -> str:
    """Return the characters of a text that no font of this machine has."""
    return _lacking(families(font, text), text)


def _lacking(names: list[str], text: str) -> str:
    from matplotlib import font_manager as fonts

    left = "".join(sorted({character for character in text if character.isprintable() and not character.isspace()}))
    for name in names:
        if left:
            there = _covered(fonts.findfont(fonts.FontProperties(family=name)), left)
            left = "".join(character for character in left if character not in there)
    return left


@cached(most=16)
def _further(characters: str) -> str:
    """Return the family that has the most of these characters, an upright sans-serif one before others, or nothing."""
    from matplotlib import font_manager as fonts

    known = {entry.fname for entry in fonts.fontManager.ttflist}
    for path in set(fonts.findSystemFonts()) - known:  # installed since matplotlib looked
        try:
            fonts.fontManager.addfont(path)
        except (OSError, RuntimeError):
            continue
    real = [entry for entry in fonts.fontManager.ttflist if not entry.name.startswith("Last Resort")]  # boxes for all
    ranked = sorted(real, key=lambda entry: ("Sans" not in entry.name, entry.style != "normal", entry.name))
    best = max(ranked, key=lambda entry: len(_covered(entry.fname, characters)))
    return best.name if _covered(best.fname, characters) else ""


@cached(most=4096)
def _covered(path: str, characters: str) -> str:
    from matplotlib.ft2font import FT2Font

    try:
        font = FT2Font(path)
    except (OSError, RuntimeError):
        return ""
    return "".join(character for character in characters if font.get_char_index(ord(character)))
