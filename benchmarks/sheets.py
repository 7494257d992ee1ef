"""Tables to print and to write."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.table import Table

from .statistics import Interval

LINES = "Small numbers are lines of results.jsonl."


@dataclass(frozen=True)
class Cell:
    """What one says, and how it compares with the others of its column."""

    text: str
    order: float | None = None  # None: by its text
    lines: str = ""  # of results.jsonl that it comes from, or its whole row does


NOTHING = Cell("\u2013", -inf)


@dataclass(frozen=True)
class Sheet:
    """A table. ``name`` is what a README's markers call it; the first column names the row."""

    name: str
    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""

    def table(self) -> Table:
        """For a terminal."""
        out = Table(
            title=self.title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0),
            caption=self.note or None, caption_justify="left",
        )  # fmt: skip
        for place, head in enumerate(self.heads):
            out.add_column(head, justify=self.side(place), overflow="fold", no_wrap=not place)
        for row in self.rows:
            out.add_row(*(cell.text for cell in row))
        return out

    def markdown(self) -> str:
        """The table alone, each figure with the lines that it comes from, and the note."""
        sides = ["---:" if self.side(place) == "right" else "---" for place in range(len(self.heads))]
        body = [
            [escaped(cell.text) + (f" <sup>{cell.lines}</sup>" if cell.lines else "") for cell in row]
            for row in self.rows
        ]
        table = "".join(f"| {' | '.join(line)} |\n" for line in (self.heads, sides, *body))
        notes = [self.note, LINES if any(cell.lines for row in self.rows for cell in row) else ""]
        note = " ".join(filter(None, notes))
        return table + (f"\n{note}\n" if note else "")

    def cited(self, column: int) -> int:
        """How long the longest of a column's lines is; 0 where it has none."""
        return max((len(row[column].lines) for row in self.rows), default=0)

    def side(self, column: int) -> Literal["left", "right"]:
        """Numbers to the right."""
        return "right" if column and any(row[column].order is not None for row in self.rows) else "left"


def number(value: float, digits: int = 3) -> str:
    """``digits`` that count, and no exponent where that is readable."""
    text = f"{value:.{digits}g}"
    return f"{value:,.0f}" if "e+" in text else text


def spread(interval: Interval, places: int = 2) -> str:
    """``0.82 ±0.02``, half of what the interval spans; the mean alone where nothing holds it."""
    held = interval.low < interval.high
    return f"{interval.mean:z,.{places}f}" + (f" \u00b1{(interval.high - interval.low) / 2:.{places}f}" if held else "")


def column(intervals: Sequence[Interval]) -> list[Cell]:
    """A cell each, all to the same precision; a dash for NaN."""
    places = decimals([own.high - own.low if own.low < own.high else abs(own.mean) for own in intervals])
    return [Cell(spread(own, places), own.mean) if isfinite(own.mean) else NOTHING for own in intervals]


def decimals(widths: Sequence[float]) -> int:
    """How many make two digits of most ``widths`` count; four at most."""
    told = sorted(width for width in widths if isfinite(width))
    middle = told[len(told) // 2] if told else 0.0
    return next((places for places in range(4) if middle * 10**places >= 10), 4) if middle else 2


def escaped(text: str) -> str:
    """For a cell of a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")
