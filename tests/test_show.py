"""`python -m fastgen.show`: layers, counts, splits, and examples with every step."""

import re
from dataclasses import astuple, replace

import pytest
from helpers import fastgen, files

from fastgen.ceiling import ceiling
from fastgen.display import columns, show_example, show_functions, show_novelties, show_splits
from fastgen.doors import compose
from fastgen.engine import example
from fastgen.show import job
from fastgen.text.render import render
from fastgen.text.tokenizer import files as files_of
from fastgen.transforms import RECORDS, split_head

NEW = {
    "split=parts": [("runs", 4, "cummin rank"), ("orders", 4, "cummin .. rank")],
    "chain.min=1 split=new_context": [("runs", 4, None), ("orders", 12, None), ("in company", 1, "sort_descending")],
    "split=length split.cut=3": [("runs", 256, None), ("orders", 16, None), ("places", 4, "multiply2 at depth 3")],
}


@pytest.mark.parametrize("keys", NEW)
def test_what_train_never_shows(keys):
    config = compose(*keys.split())
    lines = [re.split(r"  +", line) for line in show_novelties(config).splitlines()]
    assert [(kind, int(count)) for _, kind, count, _ in lines] == [(kind, count) for kind, count, _ in NEW[keys]]
    for (what, kind, count, names), (_, _, first) in zip(lines, NEW[keys], strict=True):
        assert what == "new in validation"
        assert first is None or names.split(", ")[0] == first
        assert names.count(", ") == min(int(count) - 1, 4)
        for name in names.removesuffix(", ...").split(", "):
            assert holds(config, 1, kind, name)
            assert not holds(config, 0, kind, name)


def holds(config, number, kind, name):
    """Whether a chain of a split has it."""
    words = name.split(" ")
    for chain in (config.chains[i].heads for i in config.splits[number].chains):
        match kind:
            case "runs":
                found = f" {name} " in f" {' '.join(chain)} "
            case "orders":
                found = words[0] in chain and words[2] in chain[chain.index(words[0]) + 1 :]
            case "places":
                found = int(words[3]) < len(chain) and chain[int(words[3])] == words[0]
            case "in company":
                found = name in chain and len(chain) > 1
        if found:
            return True
    return False


def test_a_split_of_another_has_nothing_new():
    own = ("split.sets.train.chains=1", "split.sets.validation.chains=null", "split.sets.validation.of=train")
    assert show_novelties(compose(*own, "split.sets.validation.n=9")) == ""


def shown(text):
    """The examples in what is printed: {"train 0": (x, y, [(head, steps, roles), ...])}."""
    found = {}
    for block in text.split("\n\n"):
        title, *lines = block.strip().split("\n")
        if re.fullmatch(r"\w+ \d+", title):
            x, y = lines[0].removesuffix(" :").split(" -> ")
            prompt, completion = (line[12:] for line in lines[-2:])
            assert prompt == lines[0]
            assert completion.count(" ; ") == len(lines) - 4
            parts = [re.fullmatch(r"  (\S+) +(.*) ([;.])   \((.*)\)", line).groups() for line in lines[1:-2]]
            assert [end for _, _, end, _ in parts] == [";"] * (len(parts) - 1) + ["."]
            found[title] = (
                [int(value) for value in x.split(" ")],
                [int(value) for value in y.split(" ")],
                [
                    (head, [tuple(map(int, step.split(" "))) for step in steps.split(" , ")], roles.split(", "))
                    for head, steps, _, roles in parts
                ],
            )
    return found


def matches(config, split, index, printed):
    """What is printed is the example: every step, executed anew."""
    x, y, parts = printed
    expected = example(config, split, index)
    assert (x, y, [head for head, _, _ in parts]) == (expected.x, expected.y, list(expected.chain))
    vector = x
    for head, steps, roles in parts:
        name, argument = split_head(head)
        logged = []
        vector = RECORDS[name](vector, config.k, logged, *([] if argument is None else [argument]))
        assert steps == [step[1:] for step in logged]
        assert [result for *_, result in steps] == vector
        assert tuple(roles) == RECORDS[name].roles
    assert vector == y


def test_the_command(tmp_path):
    done = fastgen("show", "graph=mixed", "k=13", "n=5000", "examples=2", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr == ""
    assert files(tmp_path) == {}
    assert list(tmp_path.iterdir()) == []
    config = compose("graph=mixed", "k=13", "n=5000")
    lines = [line.split() for line in done.stdout.splitlines()]
    for layer in range(4):
        cells = [f"{4 * layer + i}:{vertex.head}" for i, vertex in enumerate(config.graph.layer(layer))]
        assert lines[layer] == ["layer", str(layer), *cells]
    assert lines[5:9] == [
        ["chain", "length", "paths", "chains"],
        ["2", "48", "48"],
        ["3", "128", "128"],
        ["4", "256", "256"],
    ]
    assert lines[10:13] == [
        ["split", "examples", "chains", "share", "asked", "length", "chains", "of"],
        ["train", "4,000", "346", "80.1%", "80.0%", "8"],
        ["validation", "1,000", "86", "19.9%", "20.0%", "8"],
    ]
    found = shown(done.stdout)
    assert list(found) == ["train 0", "train 1", "validation 0", "validation 1"]
    for title, printed in found.items():
        split, index = title.split(" ")
        matches(config, split, int(index), printed)


@pytest.mark.parametrize(
    "overrides", [("graph=deep",), ("graph=wide", "k=300"), ("split=controls", "length={min:1,max:5}")]
)
def test_examples(overrides, capsys):
    config = compose(*overrides)
    job(config, 3, None, False)
    found = shown(capsys.readouterr().out)
    assert list(found) == [f"{split.name} {index}" for split in config.splits for index in range(3)]
    for title, printed in found.items():
        split, index = title.split(" ")
        matches(config, split, int(index), printed)


def test_no_example_that_a_split_does_not_have(capsys):
    config = compose("n=5", "split.sets.validation.n=1")
    job(config, 3, None, False)
    assert list(shown(capsys.readouterr().out)) == ["train 0", "train 1", "train 2", "validation 0"]
    job(config, 0, None, False)
    assert shown(capsys.readouterr().out) == {}


def test_paths_that_spell_one_chain_are_counted(capsys):
    job(compose("graph={layers:2,width:2,vertices:[sort,sort,rank,reverse]}", "chain.min=1"), 0, None, False)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["1", "4", "3"] in lines
    assert ["2", "4", "2"] in lines


def test_splits_with_ranges_and_controls():
    text = show_splits(compose("split=controls"))
    assert [line.split() for line in text.splitlines()[1:]] == [
        ["train", "940,000", "346", "80.1%", "80.0%", "8"],
        ["validation", "20,000", "86", "19.9%", "20.0%", "8"],
        ["seen", "20,000", "346", "8", "train"],
        ["longer", "20,000", "346", "9-16", "train"],
    ]


def test_the_share_that_was_reached_stands_beside_the_one_that_was_asked_for():
    lines = show_splits(compose("split=length", "split.limit.train=50")).splitlines()
    assert [line.split()[2:5] for line in lines] == [
        ["chains", "share", "asked"],
        ["50", "11.6%", "80.0%"],
        ["256", "59.3%", "20.0%"],
    ]


def test_columns_are_aligned():
    assert columns([["name", "rows"], ["a", 12_345], ["bcdef", 7]]) == "name     rows\na      12,345\nbcdef       7"


def test_an_example_by_hand():
    """A page that a person wrote."""
    config = compose("graph=small")
    made = replace(
        example(config, "train", 0),
        chain=("reverse", "add3"),
        x=[3, 1, 9],
        y=[1, 4, 6],
        steps=[(9, 0, 2, 9), (9, 1, 1, 1), (9, 2, 0, 3), (1, 9, 3, 1), (1, 1, 3, 4), (1, 3, 3, 6)],
    )
    assert show_example(made) == (
        "3 1 9 -> 1 4 6 :\n"
        "  reverse 0 2 9 , 1 1 1 , 2 0 3 ;   (position, source, result)\n"
        "  add3    9 3 1 , 1 3 4 , 3 3 6 .   (element, constant, result)"
    )


def test_tokens_are_counted(capsys):
    """118.0 is 18 of the prompt, 1 of the end, and 33 per transformation, of 2, 3 or 4 with equal weights."""
    job(compose(), 0, None, False)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["train", "118.0", "151"] in lines
    assert ["validation", "118.0", "151"] in lines
    job(compose("length=100"), 0, None, False)
    assert "trainers cut at 1,024" in capsys.readouterr().out


def test_tokens_of_ones_own_tokenizer(tmp_path, capsys):
    """A word each: as many as `split()` finds in the same examples; and no end, which trainers add."""
    config = compose("n=500", "spelling=letters", "text=result")
    for name, text in files_of(config.grammar).items():
        (tmp_path / name).write_text(text)
    job(config, 0, str(tmp_path / "tokenizer.json"), False)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    counts = [len("".join(render(example(config, "train", index), config)).split()) for index in range(400)]
    assert ["train", f"{sum(counts) / 400:.1f}", str(max(counts))] in lines


@pytest.mark.parametrize("path", ["missing.json", "broken.json"])
def test_a_tokenizer_that_cannot_be_used(tmp_path, path):
    (tmp_path / "broken.json").write_text("{}")
    done = fastgen("show", "examples=0", f"tokenizer={path}", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"fastgen: tokenizer={path}: ")
    assert "Traceback" not in done.stderr


def test_functions_and_ceilings(capsys):
    config = compose("graph=mixed", "k=3", "length={min:2,max:4}")
    job(config, 0, None, True)
    text = capsys.readouterr().out
    found = config.classes
    functions = len(found.canonical)
    assert functions < 432
    assert f"{functions} functions among 432 chains (equal ones: proved)" in text
    at_two = dict(found.at_length)[2]
    assert at_two < functions
    assert f"at length 2 alone they are {at_two}\n" in text
    assert (
        f"identity: {sum(found.identity)}, constant: {sum(found.constant)}, redundant: {sum(found.redundant)}" in text
    )
    for split in config.splits:
        shares = astuple(ceiling(config, split))
        assert [split.name, *(f"{share:.1%}" for share in shares)] in [line.split() for line in text.splitlines()]
    job(config, 0, None, False)
    assert "functions" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("overrides", "lines"),
    [
        (["length={min:2,max:4}"], ["2 functions among 2 chains", "at length 2 alone they are 1"]),
        (["length=2"], ["1 function among 2 chains (equal ones: proved)"]),
        (
            ["graph.vertices=[reverse,add0]"],
            ["2 functions among 2 chains", "chains that are identity: 1, redundant: 1"],
        ),
    ],
)
def test_functions_and_where_they_coincide(overrides, lines):
    graph = ("graph.layers=1", "graph.width=2", "graph.vertices=[reverse,rotate1]", "split.sets.train.chains=1/2")
    config = compose(*graph, "split.sets.validation.chains=1/2", "k=5", "length=4", *overrides)
    assert show_functions(config).splitlines() == lines
