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

WIDTH = 5.8
"""Inches of a picture, where what it shows does not need more."""

LEAST = 0.6
"""How far a picture is made smaller on a narrow screen. Beyond that it is scrolled."""

SHADES = 32
"""Of a heat map; its legend is drawn one by one."""

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
    axes.set_yticks(range(len(rows)), _labels(rows))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    if any(cell.unit == "nats" for row in rows for cell in row if isinstance(cell, Mean)):
        axes.set_xlabel("nats")
    else:
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
    ticks = [*range(0, len(rows), stride)]
    if not str(rows[-1][0]).isdecimal() and ticks[-1] < len(rows) - 1:  # what the last is called can't be guessed
        ticks = [*(tick for tick in ticks if tick < len(rows) - stride), len(rows) - 1]
    axes.set_xticks(ticks, [str(rows[tick][0]) for tick in ticks])
    if max((len(str(rows[tick][0])) for tick in ticks), default=0) > 9:
        axes.tick_params(axis="x", labelrotation=30)
    axes.set_xlabel(table.header[0])
    axes.yaxis.set_major_formatter(_percent())
    axes.grid(axis="y", alpha=0.3)
    _legend(figure, axes, [table.header[column] for column in columns])
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
    with np.errstate(invalid="ignore"):
        shares = np.where(found.of > 0, found.right / found.of, math.nan)
    low = float(np.nanmin(shares)) if found.of.any() else 0.0
    figure, axes = _plane(shares, found.labels, min(low, 0.9), 1, "viridis")
    axes.set_xlabel(found.across)
    axes.set_ylabel(found.down)
    axes.set_title(found.title, fontsize=10)
    return _svg(figure, name)


def crosstab(table: Table) -> str:
    """Of each row of counts, what share is in each column."""
    counts = np.array([row[1:] for row in table.rows], float)
    shares = counts / counts.sum(axis=1, keepdims=True)
    labels = [str(row[0]) for row in table.rows], [str(name) for name in table.header[1:]]
    figure, axes = _plane(
        np.where(counts > 0, shares, math.nan), labels, 0, float(shares.max()), "Blues", "% of the row"
    )
    axes.set_ylabel(table.header[0])
    return _svg(figure, table.name)


def courses(table: Table) -> str:
    """Of every split, what each line came to from run to run."""
    lines, runs = (list(dict.fromkeys(str(row[i]) for row in table.rows)) for i in (0, 1))
    pictures = []
    for column in range(2, len(table.header)):
        shares = np.full((len(lines), len(runs)), math.nan)
        for row in table.rows:
            shares[lines.index(row[0]), runs.index(row[1])] = row[column].share
        if np.isfinite(shares).any():
            figure, axes = _plane(shares, (lines, runs), min(float(np.nanmin(shares)), 0.9), 1, "viridis")
            axes.set_title(table.header[column], fontsize=10)
            pictures.append(_svg(figure, f"{table.name}-{column}"))
    return "".join(pictures)


def _plane(
    shares: Any, labels: Sequence[Sequence[str]], low: float, high: float, colours: str, title: str = ""
) -> tuple[Figure, Axes]:
    """Shares in a plane, NaN is left blank: in colour, and in numbers where there is room."""
    import matplotlib

    rows, columns = shares.shape
    longest = [max(map(len, each)) for each in labels]
    turned = columns > 1 and longest[1] > 3
    width = min(max(WIDTH, 3 + 0.26 * columns), 2.2 + 0.42 * columns + 0.07 * longest[0])
    cell = min(0.42, (width - 2 - 0.07 * longest[0]) / columns)
    figure, axes = _figure(0.9 + max(cell * 0.8, 0.24) * rows + (0.07 * longest[1] if turned else 0), width)
    cells = np.ma.masked_invalid(shares)  # as paths: an image would be one that the page's policy does not load
    shades = matplotlib.colormaps[colours].resampled(SHADES)
    image = axes.pcolormesh(cells, cmap=shades, vmin=low, vmax=high)
    axes.invert_yaxis()
    axes.set_xticks(np.arange(columns) + 0.5, labels[1], fontsize=8)
    axes.set_yticks(np.arange(rows) + 0.5, labels[0], fontsize=8)
    if turned:
        axes.tick_params(axis="x", labelrotation=90)
    if columns <= 20:
        lightest = (low + high) / 2
        for i, j in zip(*np.nonzero(np.isfinite(shares)), strict=True):
            dark = (shares[i, j] < lightest) == (colours == "viridis")
            text, ink = f"{100 * shares[i, j]:.0f}", "white" if dark else "black"
            said = axes.text(j + 0.5, i + 0.5, text, ha="center", va="center", fontsize=7, color=ink)
            said.set_in_layout(False)  # inside its cell: to ask each of them how wide it is took half of the time
    bar = figure.colorbar(image, ax=axes, format=_percent())
    bar.set_label(title)
    if bar.solids is not None:
        bar.solids.set(rasterized=False, edgecolor="face")  # edges close the seams between its steps
    return figure, axes


DOTS = (
    *("baselines", "crossed", "planned", "whose", "class", "kind", "after", "transformation", "argument", "role"),
    *("loss_role", "loss_depth", "loss_transformation", "compared"),
)
LINES = (
    *("survival", "depth", "position", "chain_length", "vector_length", "exposure", "unseen_pairs", "solutions"),
    *("train_solutions", "pass", "curve_score"),
)
PICTURES: dict[str, Callable[[Table], str]] = {
    **dict.fromkeys(DOTS, dots),
    **dict.fromkeys(LINES, lines),
    **dict.fromkeys(("first", "confusion", "executed"), crosstab),
    **dict.fromkeys(("curve_transformation", "curve_role"), courses),
    "chains": histogram,
}
"""Name of a table -> its picture."""


def _labels(rows: Sequence[Sequence[Any]]) -> list[str]:
    """What stands first in each row; with what stands second where that is not enough to tell them apart."""
    first = [str(row[0]) for row in rows]
    return first if len(set(first)) == len(first) else [f"{row[0]}, {row[1]}" for row in rows]


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
    from matplotlib.ticker import FuncFormatter

    return FuncFormatter(lambda value, _: f"{100 * value:.4g}%")


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
    least = f"min-width: {LEAST * figure.get_size_inches()[0]:.2f}in"
    return f'<svg role="img" style="{least}" {element}'
