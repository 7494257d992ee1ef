"""The language of the embedded world of editing: its words, its instructions and what they ask for."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

KINDS = ("insertion", "removal", "replacement", "transformation")
SHAPES = ("circle", "square", "triangle", "cross")
COLOURS = ("red", "green", "blue", "yellow", "purple", "cyan")
PLACES = ("top left", "top right", "bottom left", "bottom right")
WORDINGS = {
    "insertion": ("add a {new} on the {place}", "put a {new} in the {place}", "draw a {new} at the {place}"),
    "removal": ("remove the {old}", "delete the {old}", "erase the {old}", "take away the {old}"),
    "replacement": ("replace the {old} with a {new}", "swap the {old} for a {new}", "turn the {old} into a {new}"),
    "transformation": ("make the {old} {colour}", "paint the {old} {colour}", "color the {old} {colour}"),
}


class Request(NamedTuple):
    """What an instruction asks for, in words of the language; "" for what its kind does not mention."""

    kind: str
    old: str = ""  # the object in the source, as "red circle"
    new: str = ""  # the object to be shown
    place: str = ""
    colour: str = ""

    @property
    def named(self) -> str:
        """The words that name the edited object: the one that is there, or on insertion the one to come."""
        return self.old or self.new

    def text(self, wording: int = 0) -> str:
        """The instruction, in one of the kind's `WORDINGS`."""
        return WORDINGS[self.kind][wording].format(**self._asdict())


def _vocabulary() -> tuple[str, ...]:
    """Padding, beginning and end of a text, then every word that an instruction can have, once."""
    spoken = [word for wordings in WORDINGS.values() for wording in wordings for word in wording.split()]
    plain = [word for word in spoken if "{" not in word]
    return tuple(dict.fromkeys(["<pad>", "<bos>", "<eos>", *plain, *" ".join(PLACES).split(), *COLOURS, *SHAPES]))


WORDS = _vocabulary()
LENGTH = 10  # tokens of a text, beginning and end included: the longest instruction has eight words
_TOKEN = {word: token for token, word in enumerate(WORDS)}


def tokens(texts: Sequence[str]) -> Tensor:
    """`texts` as places of their words in `WORDS`: [B, LENGTH] int64; the text "" is the empty condition.

    Raises ValueError for a word that the world does not know and for a text that is too long.
    """
    table = torch.zeros(len(texts), LENGTH, dtype=torch.int64)
    for row, text in enumerate(texts):
        words = text.split()
        if unknown := [word for word in words if word not in _TOKEN]:
            raise ValueError(f"{text!r}: the embedded world knows no {unknown[0]!r}, only {', '.join(WORDS[3:])}")
        if len(words) > LENGTH - 2:
            raise ValueError(f"{text!r}: {len(words)} words, expected at most {LENGTH - 2}")
        table[row, : len(words) + 2] = torch.tensor([_TOKEN[word] for word in ("<bos>", *words, "<eos>")])
    return table


def understand(text: str) -> Request:
    """What a person asks for; capitals, punctuation and missing articles do not matter.

    `understand(text).text()` says the same in words that the editor was trained on. Raises ValueError with all that
    can be said for anything else.
    """
    words = " ".join(re.findall(r"[^\W_]+", text.lower()))
    for kind, pattern in _PATTERNS:
        if match := pattern.fullmatch(words):
            return Request(kind, **match.groupdict())
    raise ValueError(f"cannot understand {text!r}. {sayable()}")


def sayable() -> str:
    """All that can be said, for people."""
    names = {"old": "OBJECT", "new": "OBJECT", "place": "PLACE", "colour": "COLOUR"}
    wordings = [wording.format(**names) for kind in KINDS for wording in WORDINGS[kind]]
    return (
        f"The embedded world understands: {'; '.join(wordings)}. OBJECT is a colour and a shape; "
        f"colours: {', '.join(COLOURS)}; shapes: {', '.join(SHAPES)}; places: {', '.join(PLACES)}."
    )


def _pattern(wording: str) -> re.Pattern[str]:
    """What matches a wording, its articles optional."""
    thing = rf"(?:{'|'.join(COLOURS)}) (?:{'|'.join(SHAPES)})"
    parts = {"old": thing, "new": thing, "place": "|".join(PLACES), "colour": "|".join(COLOURS)}
    groups = {name: f"(?P<{name}>{pattern})" for name, pattern in parts.items()}
    return re.compile(re.sub(r"\b(a|the) ", "(?:(?:an?|the) )?", wording).format(**groups))


_PATTERNS = [(kind, _pattern(wording)) for kind in KINDS for wording in WORDINGS[kind]]
