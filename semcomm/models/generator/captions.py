"""Captions of the embedded generator: a template with the name of a class, and the class found again in any text."""

from collections.abc import Sequence

from semcomm.caches import cached

LONGEST = 400
"""Characters of a text that are read."""
PREFIX = "a photograph"


def caption(word: str) -> str:
    """Return the caption of an image of `word`: "a photograph of an elephant"."""
    return f"{PREFIX} of {'an' if word[:1].lower() in 'aeiou' else 'a'} {word}"


@cached(most=4096)
def class_in(text: str, words: Sequence[str]) -> int:
    """Return the number, from 1, of the word that is most plainly in `text`, 0 where there is none.

    Characters may have been changed on the way, so a word is sought by edit distance: it may start and end anywhere in
    the text, a third of its characters may differ, and of several that fit the one with the most characters more than
    twice the differences wins; so an elephant is no ant. What has lost its meaning has no class.

    Args:
        text: any; its first 400 characters are read.
        words: names of the classes, as a tuple.
    """
    read = f" {_plain(text[:LONGEST])} "
    best, found = 1, 0
    for number, word in enumerate(words, 1):
        differences = distance_within(f" {_plain(word)} ", read)
        score = len(word) - 2 * differences
        if score > best and 3 * differences <= len(word):
            best, found = score, number
    return found


def _plain(text: str) -> str:
    return "".join(c if c.isalnum() else " " for c in text.lower())


def distance_within(word: str, text: str) -> int:
    """Return the least edit distance of `word` to any part of `text` (Sellers 1980)."""
    if word in text:
        return 0
    row = [0] * (len(text) + 1)  # a match may start anywhere
    for done, letter in enumerate(word, 1):
        before, row = row, [done]
        for place, other in enumerate(text, 1):
            row.append(min(before[place] + 1, row[-1] + 1, before[place - 1] + (letter != other)))
    return min(row)
