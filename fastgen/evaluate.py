"""python -m fastgen.evaluate: judge what a model wrote by executing it, and say where it goes wrong."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastgen.doors import either_command
from fastgen.settings import Config
from fastgen.values import ConfigError, lies_inside, optional, raise_faults, unknown, yes_or_no

if TYPE_CHECKING:
    import pyarrow as pa

    from fastgen.report.predictions import Predictions, Source
    from fastgen.report.rates import Table
    from fastgen.report.runs import Run
    from fastgen.verdict.batch import Verdicts

PAGE, FIGURES, VERDICTS = "report.html", "report.json", "verdicts.parquet"


def listed(rule: str) -> Callable[[Any], tuple[str, ...]]:
    """The reader of one or several names."""

    def read(value: Any) -> tuple[str, ...]:
        names = value if isinstance(value, list | tuple) else [value]
        if not names or not all(isinstance(name, str) and name for name in names):
            raise ValueError(rule)
        return tuple(names)

    return read


def column(value: Any) -> str:
    """The reader of a column's name."""
    if not isinstance(value, str) or not value:
        raise ValueError("must be the name of a column, or null")
    return value


def job(
    config: Config,
    data: str | None,
    predictions: Sequence[str],
    text_column: str | None,
    expect: Sequence[str] | None,
    chat: bool,
) -> None:
    """Print what is right and wrong in predictions; write report.html, report.json and verdicts.parquet to `out`.

    Raises ConfigError where the corpus or the predictions can't be read, or `out` can't be written.
    """
    import pyarrow as pa  # it and what follows take longer to import than --help takes
    from tqdm import tqdm

    from fastgen.report import page, tables
    from fastgen.report.predictions import load, size
    from fastgen.report.runs import run_of
    from fastgen.verdict.batch import verify

    out = Path(config.out)
    config, found = _opened(config, data, predictions, expect or ())
    loaded, verdicts, runs = [], [], []
    with tqdm(total=sum(map(size, found)), unit="B", unit_scale=True, disable=None) as bar:
        for source in found:
            bar.set_description(source.name)
            each = load(source, config, text_column, expect or (), bar.update)
            with tqdm(total=len(each), unit=" rows", unit_scale=True, leave=False, disable=None) as row_bar:
                judged = verify(each.prompt, each.text, config, each.intended, chat, row_bar.update)
            loaded.append(each)
            verdicts.append(rows(each, judged, len(found) > 1))
            runs.append(run_of(source.name, config, each, judged))
    counts = counted(loaded)
    between = [*tables.curves(runs), *tables.compared(runs)] if len(runs) > 1 else []
    of_runs = [tables.tables(run) for run in runs]
    last = [table._replace(title=f"{table.title}{f': {runs[-1].name}' if between else ''}") for table in of_runs[-1]]
    print(page.aligned(counts), page.printed([*between, *last]), sep="\n\n")

    texts = {FIGURES: as_json(config, loaded, counts, between, of_runs)}
    try:
        texts[PAGE] = drawn(loaded, runs, counts, between, last, chat)
    except ConfigError as why:  # without the library that draws
        print(f"fastgen: no {PAGE}: {why}", file=sys.stderr)
    write(out, texts, pa.concat_tables(verdicts))
    print(f"\n{', '.join(sorted(texts))}, {VERDICTS} in {out}")


def _opened(
    config: Config, data: str | None, predictions: Sequence[str], expect: Sequence[str]
) -> tuple[Config, list[Source]]:
    """The config that the prompts are of, and where the predictions are."""
    from fastgen.corpus import open_corpus
    from fastgen.report.predictions import sources

    faults: list[str] = []
    found = []
    if data is not None:
        if fault := lies_inside(config.out, data):
            faults.append(fault)
        try:
            config = open_corpus(data)
        except ConfigError as error:
            raise_faults([*faults, str(error)])
    splits = [split.name for split in config.splits]
    faults += [f"expect={name}: {unknown('split', name, splits)}" for name in expect if name not in splits]
    try:
        found = sources(predictions)
    except ConfigError as error:
        faults.append(str(error))
    raise_faults(faults)
    return config, found


def rows(predictions: Predictions, verdicts: Verdicts, named: bool) -> pa.Table:
    """The rows of verdicts.parquet: every row that was read, in its order, with its verdict if it has one.

    Named, they say first whose they are.
    """
    import numpy as np
    import pyarrow as pa

    place = np.full(predictions.read.num_rows, -1, np.int64)
    place[predictions.judged] = np.arange(len(predictions))
    found = verdicts.table().take(pa.array(place, mask=place < 0))
    run = {"run": pa.repeat(predictions.name, place.size)} if named else {}
    return pa.table({**run, **_columns(predictions.read), **_columns(found)})


def _columns(table: pa.Table) -> dict[str, Any]:
    return dict(zip(table.column_names, table.columns, strict=True))


def counted(loaded: Sequence[Predictions]) -> Table:
    """How many rows are in each state, of every set of predictions; and how many examples are missing."""
    from fastgen.report.predictions import JUDGED, NOT_JUDGED, STATES
    from fastgen.report.rates import Table

    rows: list[tuple[Any, ...]] = [("rows read", *(each.read.num_rows for each in loaded))]
    rows += [(state, *(each.counts[state] for each in loaded)) for state in STATES]
    rows = [row for row in rows if any(row[1:])]
    rows += [(f"missing of {split}", *(each.missing[split] for each in loaded)) for split in loaded[0].missing]
    note = f"{', '.join(JUDGED)}: these rows are judged. {', '.join(NOT_JUDGED)}: these can't be, and are in no figure."
    return Table("rows", "Rows", note, ("", *(each.name for each in loaded)), rows)


def as_json(
    config: Config,
    loaded: Sequence[Predictions],
    counts: Table,
    between: Sequence[Table],
    of_runs: Sequence[Sequence[Table]],
) -> str:
    """report.json: what the tables show, for programs."""
    from fastgen import __version__
    from fastgen.report import rates
    from fastgen.write import fingerprint

    def plain(tables: Sequence[Table]) -> dict[str, Any]:
        return {table.name: rates.as_json(table) for table in tables}

    runs = {
        each.name: {
            "text_column": each.text_column,
            "states": each.counts,
            "missing": each.missing,
            "tables": plain(of_run),
        }
        for each, of_run in zip(loaded, of_runs, strict=True)
    }
    report = {
        "fastgen": __version__,
        "fingerprint": fingerprint(config),
        **plain([counts]),
        "runs": runs,
        "between": plain(between),
    }
    return json.dumps(report, indent=1, allow_nan=False) + "\n"


def drawn(
    loaded: Sequence[Predictions],
    runs: Sequence[Run],
    counts: Table,
    between: Sequence[Table],
    last: Sequence[Table],
    chat: bool,
) -> str:
    """report.html: what is between the runs, all about the last of them, and failing examples of each."""
    from fastgen.report import page, plots

    plots.available()
    most = max(1, page.MOST_EXAMPLES // len(runs))
    examples = [
        example
        for each, run in zip(loaded, runs, strict=True)
        for example in page.failing(run, each.prompt, each.text, chat, most)
    ]
    parts = [*((table, []) for table in between), *page.sections(runs[-1], last)]
    return page.page(f"fastgen: {', '.join(run.name for run in runs)}", parts, examples, counts)


def write(out: Path, texts: Mapping[str, str], verdicts: pa.Table) -> None:
    """Write the files, and put them in their places once all are whole. Raises ConfigError where that can't be done."""
    import pyarrow.parquet as pq

    from fastgen.commit import publish

    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".evaluate-", dir=out) as scratch:
            staged = Path(scratch)
            pq.write_table(verdicts, staged / VERDICTS, compression="zstd")
            for name, text in texts.items():
                (staged / name).write_text(text, encoding="utf-8", newline="\n")
            for name in (VERDICTS, *texts):
                publish(staged / name, out / name)
        if PAGE not in texts:
            (out / PAGE).unlink(missing_ok=True)  # one of other predictions would be taken for that of these
    except OSError as error:
        raise ConfigError(f"out={out}: {error.strerror or error}; name a folder that can be written") from error


if __name__ == "__main__":
    either_command(
        "evaluate",
        job,
        predictions=listed("must name a .jsonl or .parquet file, a folder of such, or a list of them: preds.jsonl"),
        text_column=optional(column),
        expect=optional(listed("must be the name of a split, or a list of them, or null")),
        chat=yes_or_no,
    )
