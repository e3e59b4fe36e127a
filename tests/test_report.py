"""The page, in a real browser where there is one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from judged import DRAWN, columns, predictions, run

from fastgen import shard
from fastgen.doors import compose
from fastgen.report import page as report
from fastgen.report import tables as statistics
from fastgen.report.rates import Table
from fastgen.report.runs import run_of

CONFIG = compose("n=10_000")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">&amp; <!--"


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page about texts that try to get out of it."""
    texts = columns(CONFIG, 200)
    texts["prediction"] = [f"{text} {HOSTILE}" if i % 3 else text for i, text in enumerate(texts["prediction"])]
    texts["prediction"][1] = "7 " * 10**6
    read, verdicts = predictions(texts, CONFIG)
    found = run_of(HOSTILE, CONFIG, read, verdicts)
    examples = report.failing(found, read.prompt, read.text, chat=False)
    counts = Table("counts", "Rows", "", ("state", "rows"), [("text", 400)])
    page = report.page(HOSTILE, report.sections(found, statistics.tables(found)), examples, counts)
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page, "utf-8")
    return path


def test_the_page_asks_for_nothing(made: Path) -> None:
    page = made.read_text("utf-8")
    assert not re.search(r"(?:src|href)\s*=\s*[\"'](?!#)", re.sub(r"xlink:href=\"#", "", page.partition("<script")[0]))
    assert "@import" not in page
    assert "url(http" not in page


def test_what_models_wrote_stays_in_its_place(made: Path) -> None:
    page = made.read_text("utf-8")
    assert HOSTILE not in page
    assert page.count("<script") == page.count("</script>") == 2
    embedded = re.search(r'id="examples">(.*?)</script>', page, re.DOTALL)
    assert embedded
    assert any(HOSTILE in each["after"] for each in json.loads(embedded[1]))


def test_embedded_json_holds_no_markup() -> None:
    value = {"a": HOSTILE + "\u2028"}
    assert not set("<>&\u2028") & set(report.embedded(value))
    assert json.loads(report.embedded(value)) == value


@pytest.mark.parametrize("text", ["full", "result"])
@pytest.mark.parametrize("task", ["infer", "plan", "execute"])
def test_every_step_is_found_in_its_text(text: str, task: str) -> None:
    config = compose(f"text={text}", f"task={task}", "n=100")
    for row in shard.table(config, "train", 0, 3).to_pylist():
        x = len(row["x"])
        chain = [[*part] for part in np.array(row["trace"]).reshape(-1, x)]
        for depth, codes in enumerate(chain):
            for step, code in enumerate(codes):
                place = report.span(config, row["completion"].encode(), row["prompt"].encode(), "copy", depth, step)
                numbers = [code >> 8 & 255, code >> 16 & 255, code >> 24] if text == "full" else [code >> 24]
                assert row["completion"][slice(*place)] == " ".join(map(str, numbers))


def test_failing_examples_are_of_every_kind() -> None:
    found = run(CONFIG, rows=2000)
    blank = pa.array([b""] * 2000, pa.large_binary())
    examples = report.failing(found, blank, blank, chat=False)
    assert len(examples) == report.MOST_EXAMPLES
    assert {each["kind"] for each in examples} == {*DRAWN, "wrong chain"}
    perfect = run(CONFIG, rows=2000, slip=0, answer=np.ones(2000, np.bool_))
    assert report.failing(perfect, blank, blank, chat=False) == []


def browser(*arguments: str, profile: Path) -> str:
    quiet = ("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--no-sandbox")
    still = ("--disable-component-update", "--disable-sync", f"--user-data-dir={profile}")
    command = [str(CHROMIUM), "--headless", *quiet, *still, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
def test_in_a_browser(made: Path, tmp_path: Path) -> None:
    """What it shows when its script has run: filtered by the link, escaped, with the first wrong step marked."""
    page = browser("--dump-dom", f"{made.as_uri()}#kind=copy", profile=tmp_path)
    assert "<title>owned</title>" not in page
    cards = re.findall(r'<article class="example">.*?</article>', page, re.DOTALL)
    assert cards
    assert all(": copy in " in card for card in cards)
    assert all(re.search(r"<mark>\d+ \d+ \d+</mark>", card) or "‸" in card for card in cards)
    assert any("&lt;/script&gt;" in card for card in cards)
    assert not any("<img" in card for card in cards)
