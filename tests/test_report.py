"""The page, in a real browser where there is one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from html import escape
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from judged import DRAWN, columns, predictions, run

from fastgen import shard
from fastgen.doors import compose
from fastgen.report import page as report
from fastgen.report import tables as statistics
from fastgen.report.rates import Table, as_json
from fastgen.report.runs import run_of
from fastgen.text.parse import parse
from fastgen.values import ConfigError
from fastgen.verdict.reference import verify_one

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


needs_a_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="there is neither chromium nor google-chrome on PATH: the page was seen by no browser"
)


@needs_a_browser
def test_in_a_browser(made: Path, tmp_path: Path) -> None:
    """What it shows when its script has run: filtered by the link, escaped, with the first wrong step marked."""
    for kind, mark in (("copy", r"\d+ \d+ \d+"), ("format", r"[^<]+")):
        page = browser("--dump-dom", f"{made.as_uri()}#kind={kind}", profile=tmp_path)
        assert "<title>owned</title>" not in page
        cards = re.findall(r'<article class="example">.*?</article>', page, re.DOTALL)
        assert cards
        assert all(re.search(rf"<h3>[^<]*: {kind}( in [^<]*)?</h3>", card) for card in cards)
        assert all(re.search(rf"<mark>{mark}</mark>", card) for card in cards)
        assert any("&lt;/script&gt;" in card for card in cards)
        assert not any("<img" in card for card in cards)


@needs_a_browser
def test_filters_show_what_they_name(made: Path, tmp_path: Path) -> None:
    examples = json.loads(re.findall(r'id="examples">(.*?)</script>', made.read_text("utf-8"), re.DOTALL)[0])
    asked = {"split": "validation", "transformation": "sort"}
    page = browser("--dump-dom", f"{made.as_uri()}#split=validation&transformation=sort", profile=tmp_path)
    wanted = [each for each in examples if all(each[name] == value for name, value in asked.items())]
    assert 0 < len(wanted) < len(examples)
    assert f"{len(wanted)} of {len(examples)} examples" in page
    titles = re.findall(r"<article.*?<h3>(.*?)</h3>", page, re.DOTALL)
    assert titles == [each["title"] for each in wanted][: len(titles)]
    for name in ("kind", "transformation", "split"):
        options = re.search(rf'id="choose-{name}">(.*?)</select>', page, re.DOTALL)
        assert options
        shown = set(re.findall(r'value="([^"]+)"', options[1]))
        assert shown == {each[name] for each in examples} - {""}


@needs_a_browser
def test_a_phone_does_not_scroll_sideways(made: Path, tmp_path: Path) -> None:
    """In a frame as wide as a phone: no window of this browser is below 500 pixels."""
    frame = f'<iframe id="f" width="390" height="800" srcdoc="{escape(made.read_text("utf-8"))}"></iframe>'
    ask = "f.onload = () => { document.title = 'width ' + f.contentDocument.documentElement.scrollWidth }"
    path = tmp_path / "frame.html"
    path.write_text(f"<!doctype html><body>{frame}<script>{ask}</script>", "utf-8")
    width = re.search(r"<title>width (\d+)</title>", browser("--dump-dom", path.as_uri(), profile=tmp_path / "profile"))
    assert width
    assert 300 < int(width[1]) <= 390


X = "3 1 4 1 5 9 2 6 -> 6 4 7 4 8 1 5 9 :"
ADD = "add3 3 3 6 , 1 3 4 , 4 3 7 , 1 3 4 , 5 3 8 , 9 3 1 , 2 3 5 , 6 3 9"


@pytest.mark.parametrize(
    ("text", "kind", "marked"),
    [
        (f" {ADD} .".replace("4 3 7", "4 3 8"), "off by one", "4 3 8"),
        (f" {ADD} .".replace("4 3 7", "4 3 ?"), "format", "?"),
        (f" {ADD} .".replace("4 3 7", "4 3"), "format", ","),
        (f" {ADD} .".replace("add3", "frob"), "format", "frob"),
        (f" {ADD} .".replace("4 3 7 , ", ""), "skipped", "1 3 4"),
        (f" {ADD} .".replace(" , 6 3 9", ""), "skipped", "."),
        (f" {ADD} .".replace("4 3 7", "4 3 7 , 4 3 7"), "repeated", "4 3 7"),
        (f" {ADD} . and more", "format", "and"),
        (f" {ADD[:30]}", "format", ""),
        ("", "format", ""),
    ],
)
def test_the_first_error_is_marked_where_it_stands(text: str, kind: str, marked: str) -> None:
    config = compose()
    verdict = verify_one(parse(text, config, X), config)
    assert verdict.error == kind
    assert verdict.error_depth is not None
    assert verdict.error_step is not None
    place = report.span(config, text.encode(), X.encode(), kind, verdict.error_depth, verdict.error_step)
    assert text[slice(*place)] == marked


def test_a_head_that_was_not_asked_for_and_a_wrong_answer_are_marked() -> None:
    config = compose("task=execute", "length=3")
    right = " add3 3 3 6 , 1 3 4 , 4 3 7 -> 6 4 7 ."
    for text, kind, marked in (
        (right.replace("add3", "add4"), "disobeyed", "add4"),
        (right.replace("-> 6 4", "-> 6 5"), "copy", "5"),
    ):
        prompt = "3 1 4 : add3 :"
        verdict = verify_one(parse(text, config, prompt), config)
        assert verdict.error == kind
        place = report.span(
            config, text.encode(), prompt.encode(), kind, verdict.error_depth or 0, verdict.error_step or 0
        )
        assert text[slice(*place)] == marked


def test_without_the_library_that_draws_there_are_still_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    found = statistics.tables(run(CONFIG, rows=50))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "Score" in report.printed(found)
    assert json.dumps([as_json(table) for table in found])
    with pytest.raises(ConfigError, match=r"pip install 'fastgen\[report\]'"):
        report.page("title", [(table, []) for table in found], [], found[0])
