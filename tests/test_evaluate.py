"""`python -m fastgen.evaluate`: what it says of texts that are right, wrong, of several models, and of no use."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import fastgen, files

from fastgen import evaluate
from fastgen.doors import compose
from fastgen.engine import example
from fastgen.report import plots
from fastgen.run import job as run
from fastgen.settings import Config
from fastgen.values import ConfigError
from fastgen.verdict.corrupt import corrupt

ROWS = 200
"""Of validation, with n=1000."""

WRITTEN = ["report.html", "report.json", "verdicts.parquet"]


@dataclass
class Said:
    """What the command left behind."""

    printed: str
    figures: dict[str, Any]
    verdicts: pa.Table

    def column(self, name: str) -> list[Any]:
        return list(self.verdicts[name].to_pylist())

    def states(self) -> dict[str, int]:
        return dict(Counter(self.column("state")))

    def right(self) -> list[bool | None]:
        return [
            None if a is None else a and b for a, b in zip(self.column("valid"), self.column("answer"), strict=True)
        ]

    def score(self, run: str, split: str = "validation") -> dict[str, Any]:
        [row] = [row for row in self.figures["runs"][run]["tables"]["score"]["rows"] if row["split"] == split]
        return dict(row)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("corpus") / "out"
    run(compose("n=1000", f"out='{out}'"))
    return out


@pytest.fixture(scope="module")
def gold(corpus: Path) -> list[dict[str, Any]]:
    """Rows of validation, as the corpus holds them."""
    rows = pq.read_table(corpus / "data/split=validation", columns=["index", "prompt", "completion", "chain"])
    return [row | {"split": "validation"} for row in rows.sort_by("index").to_pylist()]


@pytest.fixture
def said(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Said]:
    """`said(*paths, data=..., **keys)`: the command's job on the corpus, without pictures, which take a second."""

    def refuse() -> None:
        raise ConfigError("no pictures here")

    def call(*paths: Path, config: Config | None = None, **keys: Any) -> Said:
        monkeypatch.setattr(plots, "available", refuse)
        out = tmp_path / "report"
        values = {"text_column": None, "expect": None, "chat": False} | keys
        data = str(corpus) if config is None else None
        evaluate.job(replace(config or compose(), out=str(out)), data, tuple(map(str, paths)), **values)
        verdicts = pq.ParquetFile(out / "verdicts.parquet").read()
        return Said(capsys.readouterr().out, json.loads((out / "report.json").read_text("utf-8")), verdicts)

    return call


def predictions(rows: Sequence[dict[str, Any]], column: str = "prediction") -> list[dict[str, Any]]:
    return [{"split": row["split"], "index": row["index"], column: row["completion"]} for row in rows]


def lines(path: Path, rows: Sequence[Any]) -> Path:
    path.write_bytes(b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows))
    return path


def wrong(rows: Sequence[dict[str, Any]], places: Sequence[int]) -> list[dict[str, Any]]:
    """Predictions, of which some have their last result off by one."""
    config, found = compose("n=1000"), predictions(rows)
    for place in places:
        drawn = example(config, "validation", rows[place]["index"])
        last = len(drawn.chain) - 1, len(drawn.x) - 1
        for kind in ("off by one", "wrong result", "copy"):
            try:
                found[place]["prediction"] = corrupt(drawn, config, kind, *last)
                break
            except ValueError:
                continue
        assert found[place]["prediction"] != rows[place]["completion"]
    return found


# Right and wrong


def test_gold_is_right(said: Callable[..., Said], gold: list[dict[str, Any]], tmp_path: Path) -> None:
    found = said(lines(tmp_path / "gold.jsonl", predictions(gold)))
    assert found.states() == {"text": ROWS}
    assert found.column("index") == list(range(ROWS))
    assert found.column("chain") == [row["chain"] for row in gold]
    for name in ("parsed", "valid", "answer", "exact"):
        assert found.column(name) == [True] * ROWS
    assert set(found.column("whose")) == {"intended"}
    assert set(found.column("owner")) == {"validation"}
    score = found.score("gold")
    assert (score["right"]["count"], score["right"]["of"], score["exact"]["count"]) == (ROWS, ROWS, ROWS)
    assert "100.0%" in found.printed
    assert f"rows read   {ROWS}" in found.printed


def test_wrong_ones_are_counted_and_found(
    said: Callable[..., Said], gold: list[dict[str, Any]], tmp_path: Path
) -> None:
    places = list(range(5, 150, 5))
    found = said(lines(tmp_path / "preds.jsonl", wrong(gold, places)[::-1]))
    assert [i for i, right in enumerate(found.right()[::-1]) if not right] == places
    assert found.score("preds")["right"]["count"] == ROWS - len(places)
    errors = found.verdicts.filter(pa.compute.invert(found.verdicts["valid"]))
    assert set(errors["error_step"].to_pylist()) == {7}
    chains = [row["chain"].split() for row in gold]
    assert errors["error_head"].to_pylist() == [chains[place][-1] for place in places[::-1]]
    assert errors["wrong"].to_pylist() == [1] * len(places)


def test_a_split_that_is_not_asked_for(said: Callable[..., Said], corpus: Path) -> None:
    """A corpus' own files are predictions too: every row of every split is right, and they are told apart."""
    found = said(corpus / "data", text_column="completion")
    assert set(found.column("split")) == {"train", "validation"}
    assert [found.score("data", split)["right"]["count"] for split in ("train", "validation")] == [800, 200]


def test_texts_are_judged_and_not_compared(
    said: Callable[..., Said], gold: list[dict[str, Any]], tmp_path: Path
) -> None:
    """Blanks that differ are no error; the gold text of another row is one."""
    rows = predictions(gold)
    rows[0]["prediction"] = rows[0]["prediction"].replace(" ", "  ")
    rows[1]["prediction"] = gold[2]["completion"]
    found = said(lines(tmp_path / "preds.jsonl", rows))
    assert found.right() == [True, False] + [True] * (ROWS - 2)


def test_without_a_corpus(said: Callable[..., Said], gold: list[dict[str, Any]], tmp_path: Path) -> None:
    path = lines(tmp_path / "preds.jsonl", wrong(gold, [3, 4]))
    assert said(path, config=compose("n=1000")) == said(path)


def test_prompts_instead_of_keys(said: Callable[..., Said], gold: list[dict[str, Any]], tmp_path: Path) -> None:
    """The example is not known, so the chain that was meant is not either; the verdicts are the same."""
    rows = [
        {"prompt": a["prompt"], "prediction": b["prediction"]} for a, b in zip(gold, wrong(gold, [3, 4]), strict=True)
    ]
    found = said(lines(tmp_path / "preds.jsonl", rows))
    assert [i for i, right in enumerate(found.right()) if not right] == [3, 4]
    for name in ("split", "index", "exact"):
        assert found.column(name) == [None] * ROWS
    assert set(found.column("whose")) <= {"explains", "none"}
    for row, each in zip(rows, gold, strict=True):
        row["chain"] = each["chain"]
    found = said(lines(tmp_path / "preds.jsonl", rows))
    assert [i for i, exact in enumerate(found.column("exact")) if not exact] == [3, 4]


def test_chat(said: Callable[..., Said], gold: list[dict[str, Any]], tmp_path: Path) -> None:
    rows = predictions(gold)
    for row in rows:
        row["prediction"] = f"Sure, here it is:\n```\n{row['prediction'].strip()}\n```\n"
    path = lines(tmp_path / "preds.jsonl", rows)
    assert said(path).right() == [False] * ROWS
    assert said(path, chat=True).right() == [True] * ROWS


def test_samples(said: Callable[..., Said], gold: list[dict[str, Any]], tmp_path: Path) -> None:
    """Of three generations of each prompt one is right: each counts as a row, and any one as pass@3."""
    spoiled = wrong(gold, range(ROWS))
    rows = [
        row | {"sample": sample} for sample, each in enumerate((spoiled, predictions(gold), spoiled)) for row in each
    ]
    found = said(lines(tmp_path / "preds.jsonl", [*rows, rows[0]]))
    assert found.states() == {"text": 3 * ROWS, "duplicate": 1}
    assert found.column("sample") == [*np.repeat([0, 1, 2], ROWS).tolist(), 0]
    assert found.score("preds")["right"]["count"] == ROWS
    passes = found.figures["runs"]["preds"]["tables"]["pass"]["rows"]
    assert [row["validation"]["value"] for row in passes[:2]] == pytest.approx([1 / 3, 2 / 3])


def test_logprobs_that_can_not_be_read(said: Callable[..., Said], gold: list[dict[str, Any]], tmp_path: Path) -> None:
    values = [None, [], [-1, -0.5], [None], "x", [float("nan"), float("-inf")], [10**400], [[1]], {"a": 1}]
    rows = [row | {"token_logprobs": value} for row, value in zip(predictions(gold), values, strict=False)]
    assert said(lines(tmp_path / "preds.jsonl", rows)).right() == [True] * len(values)


# What was read


def test_every_row_that_was_read_is_in_the_file(
    said: Callable[..., Said], gold: list[dict[str, Any]], tmp_path: Path
) -> None:
    """In the order of the input, with its state; those that are not judged have no verdict."""
    rows: list[Any] = predictions(gold[:12])
    rows[1]["prediction"] = None
    rows[2] = b'{"split":"validation","index":2,"prediction":"\xff sort"}'
    rows[3]["prediction"] = "7 " * 600_000
    rows[4]["index"] = 0
    rows[5]["split"] = "test"
    rows[6]["index"] = ROWS
    rows[7] = b"\x00\xff\xfe"
    rows[8]["index"] = "8"
    rows[9]["prompt"] = gold[10]["prompt"]
    rows[10]["sample"] = -1
    found = said(lines(tmp_path / "preds.jsonl", rows))
    assert found.column("state") == [
        *("text", "no text", "not UTF-8", "over 1 MiB", "duplicate", "unknown split", "no such example", "damaged"),
        *("no key", "another config", "no key", "text"),
    ]
    assert found.column("index") == [0, 1, 2, 3, 0, 5, ROWS, None, None, 9, 10, 11]
    assert found.right() == [True, False, False, False, *[None] * 7, True]
    assert found.figures["rows"]["rows"][0] == {"": "rows read", "preds": 12}
    assert sum(row["preds"] for row in found.figures["rows"]["rows"][1:]) == 12
    assert found.score("preds")["right"]["of"] == 5
    for state in found.states():
        assert f"\n{state} " in found.printed


def test_expected_examples_that_are_missing(
    said: Callable[..., Said], gold: list[dict[str, Any]], tmp_path: Path
) -> None:
    """One that is given twice hides another; one that can't be judged is missing too."""
    rows = predictions(gold)
    rows[7] = {"split": "validation", "index": 8, "prediction": "again"}
    rows[20]["prompt"] = gold[21]["prompt"]
    found = said(lines(tmp_path / "preds.jsonl", rows[:150]), expect=("validation", "train"))
    assert found.figures["runs"]["preds"]["missing"] == {"validation": 52, "train": 800}
    assert "missing of validation     52" in found.printed


@pytest.mark.parametrize(
    "rows",
    [
        [{"split": "validation", "index": 3, "prediction": None}],
        [{"split": "none", "index": 3, "prediction": "x"}],
        [{"split": "validation", "index": 3, "prediction": ""}, b"null"],
        [{"prompt": "1 2 3", "prediction": "sort"}],
        [{"split": "validation", "index": 0, "prediction": "\x00 \ud83d\ude00 \u202e" * 20}],
        [
            {"split": "validation", "index": i, "prediction": " sort ; add7 ; rank ; sort ; sort ; sort ."}
            for i in (1, 2)
        ],
    ],
)
def test_nothing_to_score(said: Callable[..., Said], tmp_path: Path, rows: list[Any]) -> None:
    found = said(lines(tmp_path / "preds.jsonl", rows))
    assert found.verdicts.num_rows == len(rows)
    assert not any(found.right())


def test_readme_lists_the_columns(said: Callable[..., Said], gold: list[dict[str, Any]], tmp_path: Path) -> None:
    """Of several files, in their order."""
    text = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
    _, part, _ = re.split("<!-- /?verdicts -->", text)
    listed = re.findall(r"^\| (`.*?) \|", part, re.M)
    found = said(*(lines(tmp_path / f"{name}.jsonl", predictions(gold[:3])) for name in "ab"))
    assert re.findall(r"`(\w+)`", " ".join(listed)) == found.verdicts.column_names


# Columns and files


@pytest.mark.parametrize("column", ["prediction", "generated_text", "output", "response", "completion"])
def test_the_text_is_found(said: Callable[..., Said], gold: list[dict[str, Any]], tmp_path: Path, column: str) -> None:
    path = lines(tmp_path / "preds.jsonl", predictions(gold[:9], column))
    found = said(path)
    assert found.right() == [True] * 9
    assert found.figures["runs"]["preds"]["text_column"] == column


def test_the_right_answer_is_not_scored(said: Callable[..., Said], gold: list[dict[str, Any]], tmp_path: Path) -> None:
    """`completion` beside a text is gold; two texts are not guessed at; what is asked for is read."""
    rows = [row | {"completion": each["completion"]} for row, each in zip(wrong(gold, [2]), gold, strict=True)]
    path = lines(tmp_path / "preds.jsonl", rows)
    assert said(path).right().count(False) == 1
    assert said(path, text_column="completion").right().count(False) == 0
    path = lines(tmp_path / "preds.jsonl", [*rows, {"output": "x"}])
    with pytest.raises(ConfigError, match=r"prediction, output could all hold what the model wrote.*text_column=pred"):
        said(path)
    assert said(path, text_column="prediction").right().count(False) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["preds.jsonl", "report"]


def test_several_files(said: Callable[..., Said], gold: list[dict[str, Any]], tmp_path: Path) -> None:
    """In natural order, compared with the first example by example, all rows in one file."""
    for step, count in ((100, 0), (20, 10), (3, 40)):
        lines(tmp_path / f"step-{step}.jsonl", wrong(gold, range(count)))
    found = said(tmp_path / "step-*.jsonl")
    names = ["step-3", "step-20", "step-100"]
    assert list(found.figures["runs"]) == names
    assert found.column("run") == np.repeat(names, ROWS).tolist()
    assert [found.score(name)["right"]["count"] for name in names] == [160, 190, 200]
    compared = found.figures["between"]["compared"]["rows"]
    assert [(row["run"], row["gained"], row["lost"]) for row in compared] == [("step-20", 30, 0), ("step-100", 40, 0)]
    curve = found.figures["between"]["curve_score"]["rows"]
    assert [row["validation"]["count"] for row in curve] == [160, 190, 200]
    assert "rows read     200      200       200" in found.printed
    assert "Score: step-100" in found.printed
    again = said(*(tmp_path / f"step-{step}.jsonl" for step in (20, 3, 20)))
    assert list(again.figures["runs"]) == ["step-20", "step-3"]


def test_parquet_says_the_same(said: Callable[..., Said], gold: list[dict[str, Any]], tmp_path: Path) -> None:
    rows = wrong(gold, [1, 2, 3])
    whole = said(lines(tmp_path / "preds.jsonl", rows))
    (tmp_path / "a/split=validation").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "preds.parquet")
    table = pa.Table.from_pylist([{"index": row["index"], "prediction": row["prediction"]} for row in rows])
    for i in range(2):
        pq.write_table(table.slice(100 * i, 100), tmp_path / f"a/split=validation/{i}.parquet")
    assert said(tmp_path / "preds.parquet") == whole
    assert said(tmp_path / "a").verdicts == whole.verdicts


# The command


def test_the_command(corpus: Path, gold: list[dict[str, Any]], tmp_path: Path) -> None:
    """It reads the corpus, writes three files, and leaves nothing else behind."""
    shutil.copytree(corpus, tmp_path / "out")
    before = files(tmp_path / "out")
    lines(tmp_path / "preds.jsonl", wrong(gold, range(30)))
    done = fastgen("evaluate", "predictions=preds.jsonl", "data=out", "expect=validation", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == f"{', '.join(WRITTEN)} in report"
    assert "85.0%" in done.stdout
    assert files(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "preds.jsonl", "report"]
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == WRITTEN
    page = (tmp_path / "report/report.html").read_text("utf-8")
    assert page.startswith("<!doctype html>")
    assert "fastgen: preds" in page
    assert "85.0%" in page


def test_keys_of_a_config_and_a_sweep(tmp_path: Path) -> None:
    """What k=7, graph=mixed and text=result made is right under these keys, and nowhere else."""
    keys = ("n=100", "k=7", "graph=mixed", "text=result")
    run(compose(*keys, f"out='{tmp_path / 'made'}'"))
    rows = pq.read_table(tmp_path / "made/data/split=validation", columns=["prompt", "completion"]).to_pylist()
    lines(tmp_path / "a.jsonl", rows)
    lines(tmp_path / "b.jsonl", rows[:15])
    names = ("-m", "predictions=a.jsonl,b.jsonl", "out='${predictions}.report'")
    done = fastgen("evaluate", *names, *keys, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for name, count in (("a", 20), ("b", 15)):
        table = pq.read_table(tmp_path / f"{name}.jsonl.report/verdicts.parquet")
        assert table["answer"].to_pylist() == [True] * count
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("a.jsonl", "a.jsonl.report", "b.jsonl", "b.jsonl.report", "made")
    ]


REFUSED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "both": (
        ("predictions=preds.jsonl", "data=out", "k=7", "graph=mixed", "+split.sets.test.chains=0.1"),
        ("data=out: the corpus has a config, and k=7 graph=mixed +split.sets.test.chains=0.1 asks for another",),
    ),
    "neither": (("predictions=preds.jsonl", "out=made"), ("data=null: nothing says which config made the prompts",)),
    "nothing": ((), ("2 faults", "predictions=null: must name a .jsonl or .parquet file", "data=null: nothing says")),
    "values": (
        ("predictions=[]", "data=5", "out=file", "text_column=7", "expect=[1]", "chat=yes please", "+typo=1"),
        (
            *("7 faults in the config", "predictions=[]: must name", "data=5: must be the path of a folder"),
            *(
                "out=file: is a file",
                "text_column=7: must be the name of a column",
                "expect=[1]: must be the name of a",
            ),
            *("chat=yes please: must be true or false", "typo=1: unknown key"),
        ),
    ),
    "config": (("predictions=preds.jsonl", "k=1", "chat=2"), ("2 faults", "k=1: must be a whole number", "chat=2: ")),
    "data": (
        ("predictions=none.jsonl", "data=out", "expect=[validation,test]", "out=out/../out/report"),
        (
            *("3 faults in the config", "out=out/../out/report: lies in data=out", "expect=test: unknown split; "),
            "predictions=none.jsonl: there is no such file",
        ),
    ),
    "no corpus": (("predictions=preds.jsonl", "data=missing"), ("data=missing: can't be read", "manifest.json")),
    "text": (
        ("predictions=preds.jsonl", "data=out", "text_column=answer"),
        ("text_column=answer: preds.jsonl has the columns split, index, prediction",),
    ),
    "key as text": (
        ("predictions=preds.jsonl", "data=out", "text_column=index"),
        ("text_column=index: says which example a row answers; name the column with the text",),
    ),
    "device": (("predictions=/dev/null", "data=out"), ("predictions=/dev/null: is neither a file nor a folder",)),
    "long name": ((f"predictions={'x' * 5000}", "data=out"), ("there is no such file",)),
    "folder": (("predictions=out", "data=out"), ("predictions=out: can't be read: ",)),
    "empty folder": (
        ("predictions=given", "data=out"),
        ("predictions=given: is a folder with no .parquet and .jsonl",),
    ),
    "garbage": (
        ("predictions=garbage", "data=out"),
        ("predictions=garbage: holds no row: no line of it is a JSON obj",),
    ),
    "no parquet": (("predictions=broken.parquet", "data=out"), ("predictions=broken.parquet: can't be read: ",)),
    "nearest": (("predictons=preds.jsonl",), ("predictons: unknown key; the nearest is predictions",)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(corpus: Path, gold: list[dict[str, Any]], tmp_path: Path, name: str) -> None:
    overrides, messages = REFUSED[name]
    (tmp_path / "out").symlink_to(corpus)
    lines(tmp_path / "preds.jsonl", predictions(gold[:5]))
    (tmp_path / "given").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "garbage").write_bytes(bytes(range(256)) * 99)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1" + bytes(99))
    before = files(tmp_path), files(corpus)
    done = fastgen("evaluate", *overrides, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    for message in messages:
        assert message in done.stderr
    assert (files(tmp_path), files(corpus)) == before


def test_a_folder_that_cannot_be_written(
    said: Callable[..., Said], gold: list[dict[str, Any]], tmp_path: Path, corpus: Path
) -> None:
    path = lines(tmp_path / "preds.jsonl", predictions(gold[:5]))
    with pytest.raises(ConfigError, match=r"out=.*preds.jsonl/report: .*name a folder that can be written"):
        evaluate.job(replace(compose(), out=f"{path}/report"), str(corpus), (str(path),), None, None, False)


def test_files_are_whole_or_the_old_ones(
    said: Callable[..., Said], gold: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where writing fails, what was there stays; a page of other predictions does not stay beside new figures."""
    path = lines(tmp_path / "preds.jsonl", predictions(gold[:5]))
    said(path)
    before = files(tmp_path / "report")
    assert sorted(before) == WRITTEN[1:]

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", fail)
        with pytest.raises(ConfigError, match="No space left on device"):
            said(lines(tmp_path / "other.jsonl", predictions(gold[:9])))
    assert files(tmp_path / "report") == before
    (tmp_path / "report/report.html").touch()
    said(path)
    assert files(tmp_path / "report") == before


def test_without_the_library_that_draws(corpus: Path, gold: list[dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "without").mkdir()
    (tmp_path / "without/matplotlib.py").write_text("raise ImportError('not installed')")
    lines(tmp_path / "preds.jsonl", predictions(gold[:5]))
    path = f"{tmp_path / 'without'}:{Path(evaluate.__file__).parent.parent}"
    done = fastgen("evaluate", "predictions=preds.jsonl", f"data='{corpus}'", cwd=tmp_path, PYTHONPATH=path)
    assert done.returncode == 0
    assert done.stderr == ("fastgen: no report.html: the report needs matplotlib: pip install 'fastgen[report]'\n")
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == WRITTEN[1:]
    assert "100.0%" in done.stdout
