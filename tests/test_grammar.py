"""The grammar of a config: which texts, tasks and spellings there are, and which are refused with what message."""

from __future__ import annotations

import re
from functools import cache
from itertools import product

import pytest
from helpers import fastgen

from fastgen.doors import CONF, compose
from fastgen.engine import example
from fastgen.settings import restore
from fastgen.text.grammar import LONGEST_WORD, SPECIALS, ebnf, glued
from fastgen.text.parse import parse
from fastgen.text.preamble import PREAMBLES
from fastgen.text.render import render
from fastgen.transforms import RECORDS
from fastgen.values import ConfigError

TEXTS, TASKS, SPELLINGS = (
    sorted(path.stem for path in (CONF / group).glob("*.yaml")) for group in ("text", "task", "spelling")
)


default = cache(compose)


def changed(**values):
    """The default config with some sections changed: `text`, `task` and `spelling` key by key."""
    identity = default().identity()
    for key, value in values.items():
        identity[key] = {**identity[key], **value} if isinstance(value, dict) else value
    return restore(identity, "out")


def faults(**values):
    with pytest.raises(ConfigError) as caught:
        changed(**values)
    return str(caught.value).split("\n  ")[1:]


@pytest.mark.parametrize(("text", "task", "spelling"), list(product(TEXTS, TASKS, SPELLINGS)))
def test_every_group_runs_with_every_other(text, task, spelling):
    config = compose(f"text={text}", f"task={task}", f"spelling={spelling}")
    assert restore(config.identity(), "out") == config
    assert len(set(config.grammar.vocabulary)) == len(config.grammar.vocabulary)


def test_the_groups_are_those_of_the_design():
    assert (TEXTS, TASKS) == (["full", "names", "result"], ["direct", "execute", "infer", "plan"])
    assert SPELLINGS == ["letters", "numbers"]


def test_the_vocabulary_of_the_default():
    config = default()
    vocabulary = config.grammar.vocabulary
    assert vocabulary[:5] == (*SPECIALS, "sort")
    assert vocabulary[config.grammar.first_word :][:5] == ("->", ":", ".", ",", ";")
    assert vocabulary[config.grammar.first_number :] == tuple(map(str, range(11)))


@pytest.mark.parametrize(
    ("values", "count"),
    [
        ({}, 11),
        ({"k": 7}, 8),  # positions are 0..7
        ({"length": {"min": 4, "max": 30}}, 30),
        ({"task": {"prompt": "{x} -> {y} : {k} :"}}, 12),
        ({"k": 2, "length": 2, "task": {"prompt": "{x} -> {y} : {depth} :"}}, 5),
    ],
)
def test_numbers_reach_to_whatever_is_written(values, count):
    grammar = changed(**values).grammar
    assert (grammar.count, grammar.vocabulary[-1]) == (count, str(count - 1))


X, Y, BETWEEN = "lacks {x}", "lacks {y} and {chain}", "put a word between them"
TASK_FAULTS = [
    # prompt, completion, key, what the message says
    ("{x} -> {y} : {trace} :", " {trace} .", "prompt", "{trace} shows the answer"),
    ("{x} -> {y} :", " {trace} -> {y} .", "completion", "{y} stands in the prompt, which shows the answer"),
    ("{x} : {chain} :", " {chain} : {trace} .", "completion", "{chain} stands in the prompt, which shows the answer"),
    ("{x} -> {y} : {depth} :", " {depth} : {trace} .", "completion", "{depth} stands in the prompt"),
    ("-> {y} :", " {trace} .", "prompt", X),
    ("{x} :", " {trace} -> {y} .", "prompt", Y),
    ("{x} : {k} :", " {chain} .", "prompt", Y),
    ("{x} -> {y} :", " {depth} .", "completion", "asks for nothing"),
    ("{x} -> {y} :", " .", "completion", "asks for nothing"),
    ("{y} :", " {x} : {trace} .", "completion", "{x} belongs into the prompt"),
    ("{x} -> {y} :", " {trace}", "completion", "must end in a word"),
    ("{x} {y} :", " {trace} .", "prompt", BETWEEN),
    ("{x} -> {y} :", " {chain} {trace} .", "completion", BETWEEN),
    ("{x} : {chain} :", " {trace} {y} .", "completion", BETWEEN),
    ("{x} -> {y} :", " {trace} ;", "completion", "; after {trace} would be read as part of it"),
    ("{x} -> {y} :", " {chain} , {trace} .", "completion", ", after {chain} would be read as part of it"),
    ("{x} -> {y} : {x} :", " {trace} .", "prompt", "{x} stands twice"),
    ("{x} -> {z} :", " {trace} .", "prompt", "{z} is no field; known: {x}, {y}"),
    ("{x}-> {y} :", " {trace} .", "prompt", "one space between any two"),
    ("{x}  -> {y} :", " {trace} .", "prompt", "one space between any two"),
    ("{x} {-> {y} :", " {trace} .", "prompt", "one space between any two"),
    ("{x} ->} {y} :", " {trace} .", "prompt", "one space between any two"),
    ("{x.__class__} -> {y} :", " {trace} .", "prompt", "one space between any two"),
    ("{x} -> {y} :", "{trace} .", "completion", "begins with a space"),
    ("{x} -> {y} :", " {trace} . ", "completion", "one space between any two"),
    ("", " {trace} .", "prompt", "one space between any two"),
    (7, " {trace} .", "prompt", "must be a template"),
    ("{x} -> {y} :", None, "completion", "must be a template"),
    ("{x} -> {y} \a :", " {trace} .", "prompt", "can't be printed"),
    ("{x} -> {y} " + "z" * 65, " {trace} .", "prompt", "longer than 64 bytes"),
]


@pytest.mark.parametrize(("prompt", "completion", "key", "message"), TASK_FAULTS)
def test_templates_that_are_refused(prompt, completion, key, message):
    found = faults(task={"prompt": prompt, "completion": completion})
    assert [line for line in found if line.startswith(f"task.{key}=") and message in line], found


def test_without_steps_a_chain_in_the_prompt_is_the_trace():
    values = {"task": {"prompt": "{x} : {chain} :", "completion": " {trace} ."}, "text": {"step": []}}
    assert "{trace} without steps is the {chain}" in faults(**values)[0]
    changed(**{**values, "text": {"step": ["r"]}})


@pytest.mark.parametrize(
    ("step", "message"),
    [("r", "must be a list"), (["op"], "must be a list"), (["a", "a"], "twice"), ([["a"]], "must be a list")],
)
def test_steps_that_are_refused(step, message):
    (line,) = faults(text={"step": step})
    assert line.startswith("text.step=")
    assert message in line


def test_an_unknown_preamble():
    assert faults(text={"preamble": "shrt"}) == [
        "text.preamble=shrt: unknown preamble; the nearest is short; known: none, short, full"
    ]


SPELLING_FAULTS = [
    # words, numbers, key, what the message says
    ({"sort": "reverse"}, None, "words", "reverse would be the transformation"),
    ({"sort": ";"}, None, "words", "; would be the transformation sort and ;"),
    ({",": ";"}, None, "words", "; would be , and ;"),
    ({"->": ":"}, None, "words", ": would be -> and :"),
    ({"sort": "<eos>"}, None, "words", "<eos> would be a special token and the transformation sort"),
    ({"sort": "a<pad>b"}, None, "words", "a<pad>b, the transformation sort, holds <pad>"),
    ({"sort": "7"}, None, "words", "7, the transformation sort, is a number"),
    ({"sort": "000"}, None, "words", "000, the transformation sort, is a number"),
    ({";": "12"}, None, "words", "12, ;, is a number"),
    ({"sort": "a b"}, None, "words", "holds a blank"),
    ({"sort": "a\u00a0b"}, None, "words", "holds a blank"),
    ({"sort": ""}, None, "words", "must be a word"),
    ({"sort": 5}, None, "words", "must be a word"),
    ({"sort": "s" * (LONGEST_WORD + 1)}, None, "words", "longer than 64 bytes"),
    ({"sort": "sort1"}, None, "words", "sort1, the transformation sort, ends in a digit"),
    ({"negate": "add3"}, None, "words", "add3, the transformation negate, could be add with an argument"),
    ({"->": "add77"}, None, "words", "add77, ->, could be add with an argument"),
    ({"sort": "!!"}, None, "words", "!!, the transformation sort, is punctuation alone"),
    ({"sort": "so,rt"}, None, "words", "so,rt, the transformation sort, holds ,"),
    ({"sort": "a", "reverse": "a"}, None, "words", "a would be the transformation"),
    ({"sorted": "a"}, None, "words", "unknown word; the nearest is sort"),
    ({"add3": "plus"}, None, "words", "unknown word"),
    ([], None, "words", "must map words"),
    ({}, ["zero", "one"], "numbers", "has 2 words, and k and length need 11"),
    ({}, "abc", "numbers", "must be a list of words"),
    ({}, [], "numbers", "must be a list of words"),
    ({}, [*"abcdefghij", "sort"], "words", "sort would be the transformation sort and the number 10"),
    ({}, [*"abcdefghij", "a"], "words", "a would be the number 0 and the number 10"),
    ({}, [*"abcdefghij", "add3"], "words", "add3, the number 10, could be add with an argument"),
    ({}, [*"abcdefghij", "."], "words", ". would be . and the number 10"),
    ({}, [*"abcdefghij", "#"], "words", "#, the number 10, is punctuation alone"),
    ({}, [*"abcdefghij", "k."], "words", "k., the number 10, holds ."),
    ({}, [*"abcdefghij", 10], "numbers", "must be a word"),
]


@pytest.mark.parametrize(("words", "numbers", "key", "message"), SPELLING_FAULTS)
def test_spellings_that_are_refused(words, numbers, key, message):
    found = faults(spelling={"words": words, "numbers": numbers})
    assert [line for line in found if line.startswith(f"spelling.{key}=") and message in line], found


def test_spellings_of_other_languages_pass():
    numbers = ["cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve", "diez"]
    words = {"sort": "ordena", "add": "más", ";": "luego", "->": "da", ".": "。"}
    grammar = changed(spelling={"words": words, "numbers": numbers}).grammar
    assert [grammar.head(head) for head in ("sort", "add3", "rotate1")] == ["ordena", "más3", "rotate1"]
    assert grammar.vocabulary[-11:] == tuple(numbers)
    assert {"luego", "da", "。"} < set(grammar.vocabulary)


def test_digits_may_be_other_numbers_words():
    assert changed(k=2, length=2, spelling={"numbers": ["1", "0"]}).grammar.number(0) == "1"


def test_glued():
    assert [glued(word) for word in ("->", ",", "a", "<s>", "。")] == [True, True, False, False, False]


CHAIN = "the names of the transformations, in their order"
WORKING = "the transformations, in their order, with their working"
ASKED = {
    "infer": f"Given are the input vector and the output vector. Write {WORKING}.",
    "execute": f"Given are the input vector and {CHAIN}. Write {WORKING} and the output vector.",
    "plan": f"Given are the input vector and the output vector. Write {CHAIN} and {WORKING}.",
    "direct": f"Given are the input vector and {CHAIN}. Write the output vector.",
}


@pytest.mark.parametrize("style", list(PREAMBLES))
@pytest.mark.parametrize("task", TASKS)
def test_preambles_say_what_is_asked(style, task):
    grammar = compose(f"task={task}", f"text.preamble={style}", "k=13").grammar
    assert set(grammar.preamble.split()) <= set(grammar.vocabulary)
    if style == "none":
        assert grammar.preamble == ""
        return
    assert "k = 13" in grammar.preamble
    assert ASKED[task] in grammar.preamble
    assert grammar.preamble.endswith("\n\n")
    for head in grammar.heads:
        assert (f"- {head} : " in grammar.preamble) == (style == "full")


def test_a_full_preamble_says_how_numbers_and_steps_are_written():
    said = changed(
        k=3, length=3, text={"preamble": "full"}, spelling={"numbers": ["p", "q", "r"], "words": {"sort": "ordena"}}
    ).grammar.preamble
    for line in (
        "- ordena : Sort, ascending and stable. A step is (i, source position, y[i]).",
        "- rotate1 : Rotate to the left: y[i] = x[(i+c) % length]. A step is (i, (i+c) % length, y[i]). Here c = 1.",
        "Question: x -> y :",
        "Answer: trace .",
        "After the name of a transformation stand its steps a b r for i = 0, 1, ..., with , between",
        "Between two transformations stands ;",
        "The numbers 0 to 2 are written p q r",
    ):
        assert line in said.splitlines()
    assert " A step is " not in changed(text={"preamble": "full", "step": ["r"]}).grammar.preamble


def test_a_bad_grammar_on_the_command_line(tmp_path):
    done = fastgen(
        "run", 'task.completion=" {trace}"', "spelling=letters", "k=30", "+spelling.words.sort=7", cwd=tmp_path
    )
    assert done.returncode == 2
    assert "task.completion= {trace}: must end in a word" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_grammar_of_ones_own_costs_a_file(tmp_path):
    for group, text in {
        "text": "step: [b, r]\npreamble: none\n",
        "task": 'prompt: "in {x} out {y} ops {depth} :"\ncompletion: " {trace} end"\n',
        "spelling": 'words: {";": then, sort: ordena}\nnumbers: null\n',
    }.items():
        (tmp_path / group).mkdir()
        (tmp_path / group / "mine.yaml").write_text(text)
    done = fastgen(
        *("run", "--config-dir", ".", "text=mine", "task=mine", "spelling=mine", "n=1000", "columns=[prompt]"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr


# The rules as they are written down, read by a reader of EBNF that knows nothing of fastgen


TOKEN = re.compile(r'"(?P<text>[^"]*)"|(?P<name>\w+)|(?P<sign>[=|,;{}])|\(\*.*?\*\)|\s+')


def as_regex(rules: str, start: str) -> re.Pattern[str]:
    """A regular expression for the rule `start`; none of the rules is recursive."""
    by_name = {line.split()[0]: line.partition("=")[2] for line in rules.splitlines()}

    def expand(name: str) -> str:
        signs = {"|": "|", ",": "", "{": "(?:", "}": ")*", ";": "", "=": ""}
        pattern, place = "", 0
        while place < len(by_name[name]):
            match = TOKEN.match(by_name[name], place)
            assert match, by_name[name][place:]
            place = match.end()
            if match["text"] is not None:
                pattern += re.escape(match["text"])
            elif match["name"]:
                pattern += expand(match["name"])
            elif match["sign"]:
                pattern += signs[match["sign"]]
        return f"(?:{pattern})"

    return re.compile(expand(start))


@pytest.mark.parametrize(("text", "task", "spelling"), list(product(TEXTS, TASKS, SPELLINGS)))
def test_what_is_rendered_keeps_the_written_rules(text, task, spelling):
    config = compose(f"text={text}", f"task={task}", f"spelling={spelling}")
    rules = ebnf(config.grammar, {name for name, record in RECORDS.items() if record.argument})
    prompts, completions = as_regex(rules, "prompt"), as_regex(rules, "completion")
    for index in range(30):
        prompt, completion = render(example(config, "train", index), config)
        assert prompts.fullmatch(prompt), prompt
        assert completions.fullmatch(completion), completion
        assert not completions.fullmatch(completion[:-2])
        assert not prompts.fullmatch(prompt + " " + completion)


def test_the_example_of_the_readme():
    """What the README says of a fault is what is found."""
    readme = (CONF.parent / "README.md").read_text()
    line = next(line for line in readme.splitlines() if line.startswith("parsed.faults[0]"))
    parsed = parse(" sort 0 1 1 , 1 3 , 2 0 3 , 3 2 4 .", default(), prompt="3 1 4 1 -> 1 1 3 4 :")
    assert line.partition("# ")[2] == str(parsed.faults[0])
    assert parsed.segments[0].steps == ((0, 1, 1), (1, 3, -1), (2, 0, 3), (3, 2, 4))
