"""Tables as pictures, in SVG that a page can hold."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastgen.report.rates import Difference, Mean, Rate, Table
from fastgen.report.tables import Heat
from fastgen.values import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")
"""Those that Okabe and Ito found to be told apart by all eyes; darkest first, because the page is white."""

WIDTH = 7.0
"""Inches of a picture; on the page it is as wide as there is room."""

MOST_LINES = 40
"""Lines of a table of which a picture can be read."""


def available() -> None:
    """Raises ConfigError where the library that draws is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ConfigError("the report needs matplotlib: pip install 'fastgen[report]'") from error


def dots(table: Table) -> str:
    """A line for each row of the table, a dot with its interval for each column of rates."""
    columns, rows = _rates(table), table.rows[:MOST_LINES]
    figure, axes = _figure(0.9 + 0.24 * len(rows) + 0.12 * (len(columns) - 1) * len(rows) ** 0.5)
    for number, column in enumerate(columns):
        at = [(row[column], i + 0.6 * ((number + 0.5) / len(columns) - 0.5)) for i, row in enumerate(rows)]
        _errorbar(axes, number, table.header[column], at, across=True)
    axes.set_yticks(range(len(rows)), [str(row[0]) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.xaxis.set_major_formatter(_percent())
    axes.grid(axis="x", alpha=0.3)
    _legend(figure, axes, [table.header[column] for column in columns])
    return _svg(figure, table.name)


def lines(table: Table) -> str:
    """A line for each column of rates, over the rows in their order."""
    columns, rows = _rates(table), table.rows
    figure, axes = _figure(2.8)
    for number, column in enumerate(columns):
        there = [(i, row[column]) for i, row in enumerate(rows) if row[column].of]
        places = [i for i, _ in there]
        colour = COLOURS[number % len(COLOURS)]
        marker = "o" if len(rows) <= MOST_LINES else ""
        shares = [_value(cell) for _, cell in there]
        axes.plot(places, shares, marker=marker, markersize=4, color=colour, label=table.header[column], linewidth=1.6)
        low, high = ([getattr(cell, end) for _, cell in there] for end in ("low", "high"))
        axes.fill_between(places, low, high, color=colour, alpha=0.15, linewidth=0)
    stride = max(1, len(rows) // 12)
    axes.set_xticks(range(0, len(rows), stride), [str(row[0]) for row in rows[::stride]])
    if max((len(str(row[0])) for row in rows[::stride]), default=0) > 6:
        axes.tick_params(axis="x", labelrotation=30)
    axes.set_xlabel(table.header[0])
    axes.yaxis.set_major_formatter(_percent())
    axes.grid(axis="y", alpha=0.3)
    _legend(figure, axes, [table.header[column] for column in columns])
    return _svg(figure, table.name)


def bars(table: Table) -> str:
    """A bar for each row, of its first rate."""
    column, rows = _rates(table)[0], table.rows[:MOST_LINES]
    figure, axes = _figure(0.7 + 0.27 * len(rows))
    cells = [row[column] for row in rows]
    axes.barh(range(len(rows)), [cell.share for cell in cells], color=COLOURS[0], alpha=0.85)
    _errorbar(axes, 6, "", [(cell, i) for i, cell in enumerate(cells)], across=True, dot="")
    axes.set_yticks(range(len(rows)), [str(row[0]) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.xaxis.set_major_formatter(_percent())
    axes.set_xlabel(table.header[column])
    axes.grid(axis="x", alpha=0.3)
    return _svg(figure, table.name)


def histogram(table: Table) -> str:
    """How many rows have which rate, by the text in their second column."""
    column = _rates(table)[0]
    groups = list(dict.fromkeys(row[1] for row in table.rows))
    figure, axes = _figure(2.4)
    shares = [[row[column].share for row in table.rows if row[1] == group] for group in groups]
    colours = [COLOURS[i % len(COLOURS)] for i in range(len(groups))]
    axes.hist(shares, bins=np.linspace(0, 1, 21).tolist(), stacked=True, color=colours, label=groups)
    axes.xaxis.set_major_formatter(_percent())
    axes.set_xlabel(table.header[column])
    axes.set_ylabel(f"{table.header[0]}s")
    _legend(figure, axes, groups)
    return _svg(figure, table.name)


def heat(found: Heat, name: str) -> str:
    """A plane of rates: the share in colour, and in numbers where there is room."""
    rows, columns = found.right.shape
    size = min(WIDTH, 1.6 + 0.42 * columns) if columns < 16 else WIDTH
    figure, axes = _figure(1.0 + (size - 1.6) * rows / max(columns, 1) if rows < 3 * columns else 1 + 0.26 * rows, size)
    with np.errstate(invalid="ignore"):
        shares = np.where(found.of > 0, found.right / found.of, math.nan)
    low = float(np.nanmin(shares)) if found.of.any() else 0.0
    cells = np.ma.masked_invalid(shares)  # as paths: an image would be one that the page's policy does not load
    image = axes.pcolormesh(cells, cmap="viridis", vmin=min(low, 0.9), vmax=1)
    axes.invert_yaxis()
    axes.set_xticks(np.arange(columns) + 0.5, found.labels[1], fontsize=8)
    axes.set_yticks(np.arange(rows) + 0.5, found.labels[0], fontsize=8)
    axes.set_xlabel(found.across)
    axes.set_ylabel(found.down)
    if columns <= 12:
        for i, j in zip(*np.nonzero(found.of), strict=True):
            dark = shares[i, j] < (min(low, 0.9) + 1) / 2
            colour = "white" if dark else "black"
            axes.text(j + 0.5, i + 0.5, f"{100 * shares[i, j]:.0f}", ha="center", va="center", fontsize=7, color=colour)
    bar = figure.colorbar(image, ax=axes, format=_percent())
    if bar.solids is not None:
        bar.solids.set(rasterized=False, edgecolor="face")  # edges close the seams between its steps
    axes.set_title(found.title, fontsize=10)
    return _svg(figure, name)


PICTURES: dict[str, Callable[[Table], str]] = {
    **dict.fromkeys(("score", "crossed", "planned", "whose", "transformation", "argument", "role", "after"), dots),
    **dict.fromkeys(("survival", "depth", "position", "chain_length", "vector_length", "exposure", "solutions"), lines),
    **dict.fromkeys(("pass", "curve_score", "curve_transformation", "curve_role", "loss"), lines),
    "kind": bars,
    "chains": histogram,
}
"""Name of a table -> its picture."""


def _rates(table: Table) -> list[int]:
    """The columns that hold rates."""
    kinds = (Rate, Mean, Difference)
    return [i for i in range(1, len(table.header)) if table.rows and isinstance(table.rows[0][i], kinds)]


def _value(cell: Any) -> float:
    return float(cell.share if isinstance(cell, Rate) else cell.value)


def _errorbar(
    axes: Axes, number: int, label: str, at: Sequence[tuple[Any, float]], across: bool, dot: str = "o"
) -> None:
    there = [(cell, place) for cell, place in at if cell is not None and cell.of]
    shares = [_value(cell) for cell, _ in there]
    ends = [
        [max(0.0, share - cell.low) for share, (cell, _) in zip(shares, there, strict=True)],
        [max(0.0, cell.high - share) for share, (cell, _) in zip(shares, there, strict=True)],
    ]
    axes.errorbar(
        shares,
        [place for _, place in there],
        xerr=ends,
        fmt=dot or "none",
        markersize=5,
        color=COLOURS[number % len(COLOURS)],
        ecolor=COLOURS[number % len(COLOURS)],
        elinewidth=1.4,
        label=label,
    )


def _percent() -> Any:
    from matplotlib.ticker import PercentFormatter

    return PercentFormatter(1, decimals=None)


def _figure(height: float, width: float = WIDTH) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, max(1.2, height)), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _legend(figure: Figure, axes: Axes, labels: Sequence[str]) -> None:
    """Above the picture, where there is more than one label; in fewer columns if they are long."""
    if len(labels) > 1:
        figure.legend(
            *axes.get_legend_handles_labels(),
            loc="outside upper left",
            ncols=2 if max(map(len, labels)) > 14 else 4,
            frameon=False,
            fontsize=9,
        )


def _svg(figure: Figure, name: str) -> str:
    """The picture as an element of a page: text stays text, and the same picture is the same bytes."""
    import matplotlib

    settings: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "text.parse_math": False,
        "font.family": "sans-serif",
    }
    with matplotlib.rc_context(settings):
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    element = file.getvalue().partition("<svg")[2]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = re.sub(r'font: ([^;"]*?)(?:\'[^;"]*|sans-serif[^;"]*)', r"font: \1sans-serif", element)
    return f'<svg role="img" {element}'
