"""The rules about values: each fault alone, what is canonical, what is derived, and the way to a manifest and back."""

import json
import random as python_random
import re
import sys
from fractions import Fraction
from types import SimpleNamespace

import hydra
import pytest
import yaml
from omegaconf import OmegaConf

from fastgen import trace
from fastgen.cpus import _quotas, cpus
from fastgen.doors import CONF, command, compose
from fastgen.rng import STREAM_VERSION
from fastgen.settings import CODECS, COLUMNS, KEYS, resolve, restore
from fastgen.split import Length, apportion, stream
from fastgen.splitting import LARGEST_FILE, SET_KEYS
from fastgen.strategies import STRATEGIES
from fastgen.transforms import RECORDS
from fastgen.values import LARGEST, ConfigError, exact, optional, whole, yes_or_no

GRAPHS = sorted(path.stem for path in (CONF / "graph").glob("*.yaml"))
SPLITS = sorted(path.stem for path in (CONF / "split").glob("*.yaml"))
TEXTS, TASKS, SPELLINGS = (
    sorted(path.stem for path in (CONF / group).glob("*.yaml")) for group in ("text", "task", "spelling")
)


def values(*overrides):
    """What Hydra composes: plain, unread values."""
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return OmegaConf.to_container(hydra.compose("common", overrides=list(overrides)))


@pytest.fixture(scope="module")
def default():
    return values()


def changed(tree, **changes):
    """A copy with the values at some dotted keys replaced (`__` for a dot); `...` takes the key away."""
    tree = json.loads(json.dumps(tree))
    for key, value in changes.items():
        *parents, name = key.split("__")
        section = tree
        for parent in parents:
            section = section[int(parent) if isinstance(section, list) else parent]
        if value is ...:
            del section[name]
        else:
            section[int(name) if isinstance(section, list) else name] = value
    return tree


def faults_of(tree):
    with pytest.raises(ConfigError) as caught:
        resolve(tree)
    return str(caught.value).split("\n  ")[1:]


TRAIN = {"chains": 1}
OWN = {"chains": 0.5, "n": 10}
EXPLICIT = {"split__strategy": "explicit", "split__rest": "train", "split__file": {"validation": ["sort rank"]}}

FAULTS = [
    # the change, the start of the one line of message, and what else it says
    ({"n": 0}, "n=0: ", "from 1 to"),
    ({"n": 1.5}, "n=1.5: ", "whole number"),
    ({"n": True}, "n=true: ", "whole number"),
    ({"n": None}, "n=null: ", "whole number"),
    ({"n": [1, 2]}, "n=[1,2]: ", "whole number"),
    ({"n": "many"}, "n=many: ", "whole number"),
    ({"n": "1__0"}, "n=1__0: ", "whole number"),
    ({"n": "0x10"}, "n=0x10: ", "whole number"),
    ({"n": float("inf")}, "n=inf: ", "whole number"),
    ({"n": float("nan")}, "n=nan: ", "whole number"),
    ({"n": 2**63}, "n=9223372036854775808: ", "from 1 to 9223372036854775807"),
    ({"n": "1e999"}, "n=1e999: ", "whole number"),
    ({"n": 2}, "n=2: ", "the smallest n is 3"),
    ({"n": ...}, "n: is missing", "--cfg job"),
    ({"k": 1}, "k=1: ", "from 2 to 65536"),
    ({"k": 65537}, "k=65537: ", "from 2 to 65536"),
    ({"length": 0}, "length=0: ", "from 1 to 65536"),
    ({"length": 65537}, "length=65537: ", "from 1 to 65536"),
    ({"length": {"min": 4}}, "length={min:4}: ", "{min:4,max:9}"),
    ({"length": {"min": 4, "max": 9, "step": 2}}, "length={min:4,max:9,step:2}: ", "{min:4,max:9}"),
    ({"length": {"min": 9, "max": 4}}, "length={min:9,max:4}: ", "min is above max"),
    ({"seed": -1}, "seed=-1: ", "from 0 to 18446744073709551615"),
    ({"seed": 2**64}, "seed=18446744073709551616: ", "from 0 to 18446744073709551615"),
    ({"out": ""}, "out='': ", "folder"),
    ({"out": 2024}, "out=2024: ", "\"out='2024'\""),
    ({"out": "a\0b"}, r"out='a\x00b': ", "folder"),
    ({"out": __file__}, "out=", "is a file"),
    ({"workers": 0}, "workers=0: ", "or auto"),
    ({"workers": "all"}, "workers=all: ", "or auto"),
    ({"shard": 0}, "shard=0: ", "from 1 to"),
    ({"columns": []}, "columns=[]: ", "[x,y,trace]"),
    ({"columns": "x"}, "columns=x: ", "must be a list"),
    ({"columns": ["x", "traces"]}, "columns=[x,traces]: ", "the nearest is trace"),
    ({"columns": ["x", {"y": 1}]}, "columns=[x,{y:1}]: ", "unknown column"),
    ({"columns": ["x", "x"]}, "columns=[x,x]: ", "twice"),
    ({"parquet__codec": "zip"}, "parquet.codec=zip: ", "the nearest is gzip"),
    ({"parquet__codec": ["zstd"]}, "parquet.codec=[zstd]: ", "unknown codec"),
    ({"parquet__level": 23}, "parquet.level=23: ", "from 1 to 22"),
    ({"parquet": {"codec": "snappy", "level": 1, "row_group": 10}}, "parquet.level=1: ", "parquet.level=null"),
    ({"parquet__row_group": 0}, "parquet.row_group=0: ", "from 1 to"),
    ({"parquet": 5}, "parquet=5: ", "codec, level, row_group"),
    ({"typo": 1}, "typo=1: unknown key", "known: n, k"),
    ({"lenght": 8}, "lenght=8: unknown key", "the nearest is length"),
    ({"graph__vertex": []}, "graph.vertex=[]: unknown key", "the nearest is vertices"),
    ({"chain__lenght": 1}, "chain.lenght=1: unknown key", "known: min, max, weights"),
    ({"split__sed": 1}, "split.sed=1: unknown key", "the nearest is seed"),
    ({"split__certified": True, "split__sets": {"train": TRAIN}}, "split.certified=true: ", "no split with chains"),
    ({"split__sets__train__chain": 1}, "split.sets.train.chain=1: unknown key", "the nearest is chains"),
    ({"parquet___target_": "os.system"}, "parquet._target_=os.system: unknown key", "known: codec"),
    # the graph
    ({"graph__layers": 5}, "graph.layers=5, graph.width=4: ", "= 20, at most 16"),
    ({"graph__layers": 0}, "graph.layers=0: ", "from 1 to 16"),
    ({"graph__layers": 3}, "graph.vertices: label 12, 13, 14, 15 does not exist", "0..11"),
    ({"graph__vertices": ["sort"] * 15}, "graph.vertices: no transformation for label 15", "0..15"),
    (
        {"graph__vertices": {label: "sort" for label in range(1, 16)}},
        "graph.vertices: no transformation for label 0",
        "",
    ),
    ({"graph__vertices": {"zero": "sort"}}, "graph.vertices={zero:sort}: ", "labels must be whole numbers"),
    ({"graph__vertices": "sort"}, "graph.vertices=sort: ", "must be a list"),
    (
        {"graph__vertices__9": "sorted"},
        "graph.vertices[9]=sorted: unknown transformation; the nearest is sort; ",
        "add<c>",
    ),
    ({"graph__vertices__9": "Sort"}, "graph.vertices[9]=Sort: unknown transformation; the nearest is sort; ", ""),
    ({"graph__vertices__9": 5}, "graph.vertices[9]=5: unknown transformation", ""),
    ({"graph__vertices__9": None}, "graph.vertices[9]=null: unknown transformation", ""),
    ({"graph__vertices__9": "add"}, "graph.vertices[9]=add: add needs an argument", "such as add3"),
    ({"graph__vertices__9": "sort3"}, "graph.vertices[9]=sort3: sort takes no argument", "write sort"),
    ({"graph__vertices__9": "add-3"}, "graph.vertices[9]=add-3: add needs an argument", "0 or more"),
    ({"graph__vertices__9": "add3.5"}, "graph.vertices[9]=add3.5: add needs an argument", ""),
    ({"graph__vertices__9": "add" + "9" * 9999}, "graph.vertices[9]=add999", "..."),
    (
        {"graph__vertices__12": "rotate9", "length": {"min": 4, "max": 9}},
        "graph.vertices[12]=rotate9: ",
        "below the longest, 9",
    ),
    # chains
    ({"chain__min": 0}, "chain.min=0: ", "from 1 to 4"),
    ({"chain__max": 5}, "chain.max=5: ", "from 1 to 4, the number of layers"),
    ({"chain__min": 4, "chain__max": 3}, "chain.min=4: ", "above chain.max=3"),
    ({"chain__weights": [1, 2]}, "chain.weights=[1,2]: ", "each length from 2 to 4, such as [1,1,1]"),
    ({"chain__weights": {2: 1, 3: 1}}, "chain.weights={2:1,3:1}: ", "{2:1,3:1,4:1}"),
    ({"chain__weights": {2: 1, 3: 1, 4: 1, 5: 1}}, "chain.weights={2:1,3:1,4:1,5:1}: ", "each length"),
    ({"chain__weights": [1, -1, 1]}, "chain.weights=[1,-1,1]: ", "not negative"),
    ({"chain__weights": [1, "x", 1]}, "chain.weights=[1,x,1]: ", "must be a number"),
    ({"chain__weights": [0, 0, 0]}, "chain.weights=[0,0,0]: ", "above 0"),
    # splits
    ({"split__strategy": "rando"}, "split.strategy=rando: ", "the nearest is random"),
    ({"split__seed": -1}, "split.seed=-1: ", "from 0"),
    ({"split__sets": {}}, "split.sets={}: ", "at least one split"),
    ({"split__sets": {"train": 5}}, "split.sets.train=5: ", "chains, n, of, length"),
    ({"split__sets": {"Train": TRAIN}}, "split.sets.Train: ", "lower-case"),
    ({"split__sets": {"a.b": TRAIN}}, "split.sets.a.b: ", "lower-case"),
    ({"split__sets": {"train": {}}}, "split.sets.train: needs a share", "split.sets.train.chains=0.1"),
    ({"split__sets__train__chains": 0.9}, "split.sets: ", "(train 0.9, validation 0.2) sum to 1.1"),
    ({"split__sets__train__chains": 0.8 + 3e-9}, "split.sets: ", "make them sum to 1"),
    ({"split__sets__train__chains": 0}, "split.sets.train.chains=0: ", "above 0"),
    ({"split__sets__train__chains": "1/0"}, "split.sets.train.chains=1/0: ", "must be a number"),
    (
        {"split__sets": {"train": {"chains": 0.9999}, "test": {"chains": 0.0001}}},
        "split.sets.test.chains=0.0001: ",
        "432",
    ),
    (
        {"split__sets": {"train": {"chains": 0.6}, "test": {"chains": 0.4}}, "graph": "small1"},
        "graph=small1: ",
        "layers",
    ),
    ({"split__sets__validation__n": 0}, "split.sets.validation.n=0: ", "from 1"),
    ({"split__sets__validation__n": 1_000_000}, "n=1000000: ", "the smallest n is 1000001"),
    ({"split__sets": {"train": OWN, "test": OWN}}, "n=1000000: ", "together they are 20; n=20"),
    ({"split__sets__seen": {"of": "trian", "n": 5}}, "split.sets.seen.of=trian: ", "the nearest is train"),
    ({"split__sets__seen": {"of": "seen", "n": 5}}, "split.sets.seen.of=seen: ", "itself"),
    ({"split__sets__seen": {"of": "train"}}, "split.sets.seen.n=null: ", "split.sets.seen.n=20_000"),
    ({"split__sets__seen": {"of": "train", "n": 5, "chains": 0.1}}, "split.sets.seen.chains=0.1: ", "chains: null"),
    ({"split__sets__train__length": 0}, "split.sets.train.length=0: ", "from 1"),
    ({"split__sets": {"seen": {"of": "train", "n": 5}, "train": TRAIN}}, "split.sets.seen: the first split", ""),
    # strategies and designs
    ({"split__strategy": "parts"}, "split.strategy=parts: needs split.parts, ", "split.parts=2, 3 or 4"),
    ({"split__parts": 2}, "split.parts=2: is a key of strategy parts, and split.strategy=random; ", "split.parts=null"),
    ({"split__cut": "x"}, "split.cut=x: is a key of strategy length, ", "or split.strategy=length"),
    ({"split__rest": "train"}, "split.rest=train: is a key of strategy explicit, ", "split.rest=null"),
    ({"split__strategy": "parts", "split__parts": 5}, "split.parts=5: ", "from 2 to 4"),
    ({"split__strategy": "length", "split__cut": 4}, "split.strategy=length: split.cut=4 has no chain", "split.cut=3"),
    (
        {"split__strategy": "length", "split__cut": 3, "chain__weights": [1, 1, 0]},
        "split.sets.validation.chains=0.2: would get only chains of a length with weight 0",
        "",
    ),
    ({"split__strategy": "order"}, "split.strategy=order: no two transformations come in both orders", "repeated"),
    ({"split__strategy": "new_context"}, "split.strategy=new_context: no chain is a single", "; chain.min=1"),
    (
        {"split__strategy": "length", "split__cut": 3, "split__sets": {"train": TRAIN}},
        "split.strategy=length: has no split to hold chains out for beside train",
        "+split.sets.validation.chains=0.2",
    ),
    ({"split__folds": 1}, "split.folds=1: ", "from 2 to 1000"),
    ({"split__folds": 5}, "split.fold=null: ", "from 0 to 4; split.fold=0"),
    ({"split__folds": 5, "split__fold": 5}, "split.fold=5: ", "from 0 to 4; split.fold=0"),
    ({"split__fold": 1}, "split.fold=1: is one of split.folds, and that is null", "split.folds=5, or split.fold=null"),
    ({"split__folds": 500, "split__fold": 1}, "split.strategy=random: would leave 68 of 500 folds without", "lower"),
    (
        {"split__strategy": "length", "split__cut": 3, "split__folds": 5, "split__fold": 0},
        "split.strategy=length: has no folds",
        "one of random, functional, hash",
    ),
    ({"split__limit": 50}, "split.limit=50: ", "such as {train:50}"),
    ({"split__limit__train": 0}, "split.limit={train:0}: ", "from 1 to"),
    ({"split__limit": {"trian": 50}}, "split.limit={trian:50}: ", "the nearest is train"),
    ({"split__limit__train": 400}, "split.limit.train=400: train has 346 chains", "split.limit.train=346, or null"),
    # lists of chains
    ({"split__strategy": "explicit"}, "split.strategy=explicit: needs split.file, ", "split.file=mine.yaml"),
    (EXPLICIT | {"split__file": "missing.yaml"}, "split.file=missing.yaml: is no file", "name a YAML file"),
    (EXPLICIT | {"split__file": 5}, "split.file=5: must hold lists of chains by split", "{validation: [sort rank"),
    (EXPLICIT | {"split__file": {"validation": "sort rank"}}, "split.file={validation:sort rank}: must hold lists", ""),
    (EXPLICIT | {"split__file": {"validation": [["sort"]]}}, "split.file=", "a chain is a text"),
    (
        EXPLICIT | {"split__file": {"validation": ["sort rnk", "add cumsum"]}},
        "split.file=",
        "rnk: unknown transformation",
    ),
    (
        EXPLICIT | {"split__file": {"validation": ["sort rnk", "add cumsum"]}},
        "split.file=",
        "add: add needs an argument",
    ),
    (
        EXPLICIT | {"split__file": {"validation": ["rank sort"]}},
        "split.strategy=explicit: the file has chains that",
        "(rank sort)",
    ),
    (EXPLICIT | {"split__file": {"validation": [""]}}, "split.strategy=explicit: the file has chains that", ""),
    (
        EXPLICIT | {"split__file": {"test": ["sort rank"]}},
        "split.strategy=explicit: the file names splits that",
        "(test)",
    ),
    (EXPLICIT | {"split__file": {}}, "split.strategy=explicit: the file gives splits no chain (validation)", ""),
    (EXPLICIT | {"split__rest": "test"}, "split.rest=test: unknown split", "known: train, validation"),
    (
        EXPLICIT | {"split__rest": None},
        "split.strategy=explicit: the file lacks chains (sort cumsum, sort difference, sort evens_first and 428 more)",
        "it gives splits no chain (train); split.rest=train takes the chains that it lacks",
    ),
]


@pytest.mark.parametrize(("change", "start", "more"), FAULTS, ids=[start for _, start, _ in FAULTS])
def test_a_fault_is_one_line_with_key_value_rule_and_remedy(default, change, start, more):
    (line,) = faults_of(changed(default, **change))
    assert line.startswith(start)
    assert more in line
    assert len(line) < 500


def test_an_of_whose_target_is_an_of_names_the_split_to_take(default):
    sets = {"a": {"of": "train", "n": 5}, "b": {"of": "a", "n": 5}}
    assert faults_of(changed(default, split__sets=default["split"]["sets"] | sets)) == [
        "split.sets.b.of=a: is itself of train; name that"
    ]


def test_a_split_whose_chains_can_never_be_drawn_is_a_fault():
    tree = values("graph=small", "chain.min=1", "split.sets.train.chains=0.9", "split.sets.validation.chains=0.1")
    config = resolve(tree)
    assert [len(config.chains[chain_id]) for chain_id in config.find("validation").chains] == [2]
    (line,) = faults_of(changed(tree, chain__weights=[1, 0]))
    assert line.startswith("split.sets.validation.chains=0.1: would get only chains of a length with weight 0")


def test_names_with_one_stream_are_refused(default, monkeypatch):
    monkeypatch.setattr("fastgen.splitting.stream", lambda name: 7)
    assert faults_of(default) == ["split.sets.validation: would get the same random stream as train; rename one"]


def test_all_faults_are_reported_at_once(default):
    tree = changed(
        default,
        typo=1,
        n="x",
        k=1,
        length=0,
        seed=-1,
        out="",
        columns=["a"],
        workers=0,
        shard=0,
        parquet={"codec": "zip", "level": 1, "row_group": 0},
        graph__vertices__3="x",
        graph__vertices__4="sort1",
        chain__min=9,
        split__strategy="x",
        split__seed=-1,
        split__sets={"Train": {"chains": 2}, "seen": {"of": "x", "n": 0}},
    )
    lines = faults_of(tree)
    keys = "typo n k length seed out columns workers shard parquet.codec parquet.row_group split.strategy split.seed "
    keys += "split.sets.Train split.sets.Train.chains split.sets.seen.n split.sets.seen.of graph.vertices[3] "
    keys += "graph.vertices[4] chain.min"
    assert [re.split("[=:]", line)[0] for line in lines] == keys.split()
    with pytest.raises(ConfigError, match=r"^20 faults in the config\n"):
        resolve(tree)


def test_hostile_values_take_no_time_and_raise_nothing_else(default):
    deep: object = 0
    for _ in range(10_000):
        deep = [deep]
    hostile = [
        10**5000,
        "9" * 10**6,
        "1e" + "9" * 50,
        deep,
        {1: {2: deep}},
        b"x",
    ]
    assert faults_of(changed(default, split__sets__seen={"of": ["train"], "n": 5})) == [
        "split.sets.seen.of=[train]: unknown split; the nearest is train; known: train, validation"
    ]
    for value in [*hostile, object(), {None: None}]:
        for key in ("n", "length", "columns", "graph", "chain", "split", "parquet", "workers", "typo"):
            assert any(line.startswith(key) for line in faults_of(default | {key: value}))


# What is read, and as what


def test_whole_numbers_in_all_their_spellings():
    read = whole(0, 2**64 - 1)
    assert [read(value) for value in (5, 1e8, "1e8", "1_000", "1.5e1", 2**64 - 1, "0", "+7")] == [
        *(5, 10**8, 10**8, 1000, 15, 2**64 - 1, 0, 7)
    ]
    assert all(type(read(value)) is int for value in (1e8, "1e8"))


def test_shares_are_exact():
    assert [exact(value) for value in (0.1, "0.1", "1/3", 1, "1e-3")] == [
        *(Fraction(1, 10), Fraction(1, 10), Fraction(1, 3), Fraction(1), Fraction(1, 1000))
    ]


def works(split):
    """On which graphs, and with which overrides, the comment of a file in conf/split says that it works."""
    comment = (CONF / "split" / f"{split}.yaml").read_text().replace("\n#", "")
    graphs, overrides = re.search(
        rf"Works on (every graph|graph=[\w, ]+): (split={split}[^\s]*?( \S+=\S+?)*)\.\s", comment
    ).group(1, 2)
    return GRAPHS if graphs == "every graph" else graphs.removeprefix("graph=").split(", "), overrides.split()


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("graph", GRAPHS)
def test_every_group_runs_as_its_file_says_and_survives_a_manifest(graph, split, tmp_path, monkeypatch):
    graphs, overrides = works(split)
    monkeypatch.chdir(tmp_path)
    if split == "explicit":
        write_lists(tmp_path / "mine.yaml", graph)
    if graph not in graphs:
        with pytest.raises(ConfigError, match=rf"a fault in the config\n  split.strategy={split}: \S.*; \S"):
            compose(*overrides, f"graph={graph}")
        return
    config = compose(*overrides, f"graph={graph}")
    (tmp_path / "mine.yaml").unlink(missing_ok=True)
    assert all("train never shows" in warning for warning in config.warnings)
    # By design, or where a transformation begins two chains of a thousand, as the last but one layer of deep does.
    assert not config.warnings or split in ("length", "new_context") or graph == "deep"
    assert not config.warnings or split not in ("parts", "order")
    assert sum(part.rows for part in config.splits) == config.n
    identity = json.loads(json.dumps(config.identity()))
    assert restore(identity, "out") == config
    assert hash(config) == hash(restore(identity, "out"))


def write_lists(path, graph, every=3):
    """A file for split=explicit: every third chain in validation."""
    chains = [" ".join(chain.heads) for chain in compose(f"graph={graph}").chains]
    lists = {"train": [chain for i, chain in enumerate(chains) if i % every], "validation": chains[::every]}
    path.write_text(yaml.safe_dump(lists))
    return lists


def test_shapes_of_the_graphs():
    shapes = {name: compose(f"graph={name}") for name in GRAPHS}
    assert {name: (config.graph.layers, config.graph.width, len(config.chains)) for name, config in shapes.items()} == {
        "default": (4, 4, 432),
        "mixed": (4, 4, 432),
        "repeated": (4, 4, 416),
        "deep": (8, 2, 988),
        "wide": (2, 8, 64),
        "small": (2, 2, 4),
    }
    names = sorted(record.name for record in RECORDS.values() if record.code <= 16)
    for name in ("default", "mixed", "deep", "wide"):
        assert sorted(vertex.record.name for vertex in shapes[name].graph.vertices) == names
    for layer in range(4):
        families = {vertex.record.family for vertex in shapes["mixed"].graph.layer(layer)}
        assert families == {"elementwise", "scan", "permute", "order"}


def test_the_default_mapping_is_that_of_the_documentation():
    heads = "sort sort_descending cummax cummin cumsum rank difference evens_first interleave add3 swap_pairs reverse "
    heads += "rotate1 square negate multiply2"
    for name in ("default", "deep", "wide"):
        assert [vertex.head for vertex in compose(f"graph={name}").graph.vertices] == heads.split()


def test_arguments_are_canonical():
    config = compose("graph=small", "graph.vertices=[add14,multiply023,rotate9,rotate8]")
    assert [vertex.head for vertex in config.graph.vertices] == ["add3", "multiply1", "rotate1", "rotate0"]
    ranged = compose("graph=small", "graph.vertices=[add14,rotate8,rotate7,sort]", "length={min:4,max:9}")
    assert [vertex.head for vertex in ranged.graph.vertices] == ["add3", "rotate8", "rotate7", "sort"]
    # one split with other lengths is enough for the lengths to differ
    split = compose("graph=small", "graph.vertices=[rotate8,sort,rank,negate]", "split.sets.validation.length=9")
    assert split.graph.vertices[0].head == "rotate8"
    same = compose(
        "graph=small", "graph.vertices=[rotate8,sort,rank,negate]", "split.sets.validation.length={min:8,max:8}"
    )
    assert same.graph.vertices[0].head == "rotate0"


def test_two_spellings_of_one_corpus_are_equal():
    assert (
        compose(
            *("n=1e6", "k=11.0", "length={min:8,max:8}", "chain.min=2", "chain.weights={2:1,3:1,4:1}"),
            *(
                "columns=[prompt,completion,trace,chain,chain_id,y,x,index]",
                "parquet.level=1",
                "split.sets.train.length=8",
            ),
            *("split.sets.train.chains=4/5", "graph.vertices.9=add14"),
        )
        == compose()
    )


def test_vertices_may_be_a_mapping(default):
    heads = default["graph"]["vertices"]
    backwards = {str(label): heads[label] for label in reversed(range(16))}
    assert resolve(changed(default, graph__vertices=backwards)) == resolve(default)
    assert resolve(default | {"graph": default["graph"] | {"vertices": dict(enumerate(heads))}}) == resolve(default)


def test_identity_leaves_out_where_and_with_how_many():
    config = compose("out=elsewhere", "workers=3")
    assert config.identity() == compose().identity()
    assert (config.out, config.workers) == ("elsewhere", 3)
    assert set(config.identity()) == {key for key in KEYS if "." not in key} - {"out", "workers"} | {"stream_version"}
    for other in ("n=1e5", "k=7", "length=9", "seed=1", "graph=mixed", "chain.max=3", "chain.weights=[1,1,2]"):
        assert compose(other).identity() != config.identity()
    for other in ("split.seed=1", "split.sets.validation.n=5", "columns=[x]", "shard=5", "parquet.level=2"):
        assert compose(other).identity() != config.identity()


def test_a_manifest_of_another_stream_version_is_refused():
    identity = compose().identity() | {"stream_version": STREAM_VERSION + 1}
    with pytest.raises(ConfigError, match=r"^stream_version=2: this fastgen makes stream version 1"):
        restore(identity, "out")


def test_a_manifest_that_was_tampered_with_is_refused():
    identity = compose().identity() | {"workers_": {"_target_": "os.system"}}
    with pytest.raises(ConfigError, match="workers_"):
        restore(identity, "out")


def test_codecs_and_their_levels(default):
    levels = {}
    for codec in CODECS:
        tree = changed(default, parquet__codec=codec)
        levels[codec] = resolve(tree).parquet.level
    assert levels == {"zstd": 1, "gzip": 6, "brotli": 5, "snappy": None, "lz4": None, "none": None}
    assert resolve(changed(default, parquet__codec="brotli", parquet__level=0)).parquet.level == 0


def test_limits_are_those_of_the_step_codes():
    assert LARGEST == trace.LARGEST


# What is derived


def test_rows_of_the_splits():
    assert [part.rows for part in compose("n=1_000").splits] == [800, 200]
    assert [part.rows for part in compose("n=1e6", "split.sets.validation.n=20_000").splits] == [980_000, 20_000]
    three = compose(
        "n=100_001", "split.sets.train.chains=0.7", "+split.sets.test.chains=0.1", "+split.sets.seen={of:train,n:1}"
    )
    shares = {"train": Fraction("0.7"), "validation": Fraction("0.2"), "test": Fraction("0.1")}
    assert {part.name: part.rows for part in three.splits} == apportion(100_000, shares) | {"seen": 1}
    assert [part.rows for part in compose("n=3").splits] == [2, 1]
    own = compose("n=30", "split.sets.train.n=10", "split.sets.validation.n=20")
    assert [part.rows for part in own.splits] == [10, 20]


def test_splits_of_one_config():
    config = compose(
        "split.sets.validation.n=20_000",
        "+split.sets.seen={of:train,n:20_000}",
        "+split.sets.longer={of:train,n:20_000,length:{min:9,max:16}}",
    )
    train, validation, seen, longer = config.splits
    assert [part.name for part in config.splits] == ["train", "validation", "seen", "longer"]
    assert not set(train.chains) & set(validation.chains)
    assert sorted(train.chains + validation.chains) == list(range(432))
    assert (seen.chains, seen.weights) == (longer.chains, longer.weights) == (train.chains, train.weights)
    assert (train.of, seen.of, longer.of) == (None, "train", "train")
    assert (train.length, longer.length, config.longest) == (Length(8, 8), Length(9, 16), 16)
    assert len({part.stream for part in config.splits}) == 4
    assert train.stream == stream("train")
    assert all(sum(part.weights) == 1 for part in config.splits)
    assert config.find("seen") is seen
    with pytest.raises(ValueError, match=r"^sen: unknown split; the nearest is seen; known: train, "):
        config.find("sen")


def test_weights_of_lengths():
    for overrides, expected in [
        ([], {2: Fraction(1, 3), 3: Fraction(1, 3), 4: Fraction(1, 3)}),
        (["chain.weights=[1,1,2]"], {2: Fraction(1, 4), 3: Fraction(1, 4), 4: Fraction(1, 2)}),
        (["chain.weights={4:0.3,2:0.1,3:0}"], {2: Fraction(1, 4), 3: 0, 4: Fraction(3, 4)}),
        (["chain.min=1", "chain.max=1"], {1: 1}),
        (["chain.max=1"], {1: 1}),
    ]:
        config = compose(*overrides)
        for part in config.splits:
            found: dict[int, Fraction] = {}
            for chain_id, weight in zip(part.chains, part.weights, strict=True):
                length = len(config.chains[chain_id])
                found[length] = found.get(length, Fraction(0)) + weight
            assert found == expected


def test_warnings():
    assert compose("graph.vertices.9=add22").warnings == ("graph.vertices[9]=add0: changes nothing",)
    assert compose("graph.vertices.9=multiply0").warnings == ("graph.vertices[9]=multiply0: makes every element 0",)
    assert compose("graph.vertices.12=rotate8").warnings == ("graph.vertices[12]=rotate0: changes nothing",)
    assert [line.split(":")[0] for line in compose("length=1", "k=65536").warnings] == [
        *("graph.vertices[12]=rotate0", "split train", "split validation")
    ]
    # train has 3 chains and 2^4 vectors: 48 pairs
    tree = [
        "graph=small",
        "k=2",
        "length=4",
        "graph.vertices=[sort,cumsum,reverse,negate]",
        "split.sets.validation.n=1",
    ]
    assert compose(*tree, "n=49").warnings == ()
    assert compose(*tree, "n=50").warnings == ("split train: 49 rows of only 48 distinct pairs of vector and chain",)
    ranged = ["split.sets.train.length={min:3,max:4}"]  # 3 * (8 + 16)
    assert compose(*tree, *ranged, "n=73").warnings == ()
    assert compose(*tree, *ranged, "n=74").warnings != ()


# Lists of chains


def explicit(path, *overrides):
    return compose("split=explicit", f"split.file={path}", "graph=small", *overrides)


def test_lists_are_read_in_the_canonical_form_of_heads(tmp_path):
    (tmp_path / "a.yaml").write_text(
        "validation: [sort add14, 'cumsum  reverse']\ntrain:\n- sort reverse\n- cumsum add3\n"
    )
    (tmp_path / "b.yaml").write_text(
        "{validation: [cumsum reverse, sort add3, sort add3], train: [cumsum add3, sort reverse]}"
    )
    config = explicit(tmp_path / "a.yaml")
    heads = {part.name: {" ".join(config.chains[i].heads) for i in part.chains} for part in config.splits}
    assert heads == {"train": {"sort reverse", "cumsum add3"}, "validation": {"sort add3", "cumsum reverse"}}
    assert [part.share for part in config.splits] == [Fraction(1, 2)] * 2
    assert explicit(tmp_path / "b.yaml").identity()["split"]["file"] == {
        "validation": ["cumsum reverse", "sort add3"],
        "train": ["cumsum add3", "sort reverse"],
    }
    assert explicit(tmp_path / "b.yaml").splits == config.splits


def test_the_identity_holds_the_lists_and_not_where_they_stood(tmp_path):
    (tmp_path / "mine.yaml").write_text("validation: [sort add3]")
    config = explicit(tmp_path / "mine.yaml", "split.rest=train")
    (tmp_path / "mine.yaml").rename(tmp_path / "other.yaml")
    assert explicit(tmp_path / "other.yaml", "split.rest=train") == config
    (tmp_path / "other.yaml").write_text("validation: [sort reverse]")
    assert explicit(tmp_path / "other.yaml", "split.rest=train").identity() != config.identity()
    (tmp_path / "other.yaml").unlink()
    identity = json.loads(json.dumps(config.identity()))
    assert identity["split"]["file"] == {"validation": ["sort add3"]}
    assert str(tmp_path) not in json.dumps(identity)
    assert restore(identity, "out") == config


def test_a_manifest_may_not_choose_a_file_to_read(tmp_path):
    (tmp_path / "mine.yaml").write_text("validation: [sort add3]")
    identity = explicit(tmp_path / "mine.yaml", "split.rest=train").identity()
    identity["split"]["file"] = str(tmp_path / "mine.yaml")
    with pytest.raises(ConfigError, match=r"^split.file=.*: an identity holds the lists themselves, not a path$"):
        restore(identity, "out")


UNTRUSTED = {
    "train: [sort add3": "is not YAML: while parsing a flow sequence",
    "train: !!python/object/apply:os.system [touch harm]": "is not YAML: could not determine a constructor for the tag",
    "train: !mine [sort add3]": "is not YAML: could not determine a constructor for the tag '!mine'",
    "train: [sort add3]\ntrain: [sort reverse]": "names a split twice",
    "validation: [2024-13-45]": "is not YAML: month must be in 1..12",
    "validation: [1, 2]": "a chain is a text",
    "validation: {sort: add3}": "must hold lists of chains by split",
    "- sort add3": "must hold lists of chains by split",
    "": "must hold lists of chains by split",
    "1: [sort add3]": "must hold lists of chains by split",
    "\0": "is not YAML: unacceptable character",
    "\udcff": "is not YAML: unacceptable character #x00ff",
    "[" * 9999: "is not YAML: ",
    "a: &a [*a]": "a chain is a text",
    "".join(f"{b}: &{b} [{f'*{a}, ' * 9999}]\n" for a, b in zip(".abcd", "abcde", strict=True)).replace("*.", "x"): (
        "a chain is a text"
    ),
    "validation: [" + "sort add3, " * 30_000 + "]": "is larger than 262144 bytes",
}


@pytest.mark.parametrize("text", UNTRUSTED, ids=lambda text: repr(text[:30]))
def test_a_file_of_lists_is_untrusted(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConfigError) as caught:
        explicit("mine.yaml", "split.rest=train")
    (line,) = str(caught.value).split("\n  ")[1:]
    assert line.startswith("split.file=mine.yaml: ")
    assert UNTRUSTED[text] in line
    assert len(line) < 400
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


def test_only_a_file_is_read_as_one(tmp_path):
    for path in (tmp_path, "/dev/zero", "/dev/null"):
        with pytest.raises(ConfigError, match="is no file; name a YAML file"):
            explicit(path)


def test_all_chains_of_the_largest_graph_fit_in_a_file(tmp_path):
    lists = write_lists(tmp_path / "mine.yaml", "deep")
    assert 30_000 < (tmp_path / "mine.yaml").stat().st_size < LARGEST_FILE / 2
    config = compose("graph=deep", "split=explicit", f"split.file={tmp_path}/mine.yaml")
    assert {part.name: len(part.chains) for part in config.splits} == {name: len(each) for name, each in lists.items()}


# Designs over chains


def test_folds_and_limits():
    folds = [compose("split.folds=5", f"split.fold={fold}") for fold in range(5)]
    held = [set(config.find("validation").chains) for config in folds]
    assert sorted(chain for chains in held for chain in chains) == list(range(432))
    assert len({json.dumps(config.identity()) for config in folds}) == 5
    few, more = (compose(f"split.limit.train={most}", "+split.sets.seen={of:train,n:5}") for most in (50, 100))
    assert set(few.find("train").chains) < set(more.find("train").chains) < set(compose().find("train").chains)
    assert few.find("validation") == more.find("validation")
    assert few.find("validation").chains == compose().find("validation").chains
    assert more.find("seen").chains == more.find("train").chains
    assert (few.find("train").share, few.find("validation").share) == (Fraction(50, 432), Fraction(86, 432))
    assert few.identity()["split"]["limit"] == {"train": 50}
    both = compose("split.folds=5", "split.fold=1", "split.limit.train=50", "+split.limit.validation=20")
    assert [len(part.chains) for part in both.splits] == [50, 20]
    assert set(both.find("validation").chains) < held[1]


def test_a_warning_names_the_places_that_train_never_shows():
    train_never = "split validation: train never shows "
    assert compose("split=length").warnings == (
        train_never + "multiply2, negate, rotate1, square at depth 3 (the first depth is 0)",
    )
    three = compose("split=length", "split.sets.train.chains=0.7", "+split.sets.test.chains=0.1").warnings
    assert [line.partition(":")[0] for line in three] == ["split validation", "split test"]
    assert compose("split=length", "+split.sets.seen={of:validation,n:9}").warnings == compose("split=length").warnings
    # a chain without a weight shows nothing
    tree = ["graph=deep", "split.cut=3", "split=length"]
    assert "at depth 4" in compose(*tree).warnings[0]
    (line,) = compose(*tree, "chain.weights=[0,1,1,0,0,0,0]").warnings
    assert line.endswith("swap_pairs at depth 3 (the first depth is 0)")
    (line,) = compose(*tree, "chain.weights=[1,0,1,0,0,0,0]").warnings
    assert "at depth 2; " in line


def test_the_classes_of_functional_are_those_of_the_lengths_of_splits_with_chains_of_their_own(monkeypatch):
    seen = []

    def classes(chains, k, lengths):
        seen.append((len(chains), k, lengths))
        return SimpleNamespace(number=range(len(chains)))

    monkeypatch.setattr("fastgen.splitting.classes_of", classes)
    compose("k=7")
    assert not seen
    compose("split=functional", "k=7", "split.sets.validation.length=9", "+split.sets.longer={of:train,n:5,length:50}")
    assert seen == [(432, 7, [Length(8, 8), Length(9, 9)])]


def test_functional_of_the_config_keeps_functions_apart():
    """By the references, on vectors of the config."""
    config = compose("split=functional", "graph=mixed", "k=7", "length=5")
    draw = python_random.Random(0)
    vectors = [[draw.randrange(7) for _ in range(5)] for _ in range(50)]

    def values(chain_id):
        for y in vectors:
            for transformation in config.chains[chain_id].transformations:
                y = transformation(list(y), 7, [])
            yield tuple(y)

    train, validation = ({tuple(values(i)) for i in part.chains} for part in config.splits)
    assert not train & validation
    train, validation = ({tuple(values(i)) for i in part.chains} for part in compose("graph=mixed").splits)
    assert train & validation


# Hydra, in this process


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("k=1", "a fault in the config\n  k=1: must be"),
        ("graph=foo", "(?s)Could not find 'graph/foo'.*mixed"),
        ("graph=null", "(?s)Config group override must be.*graph=mixed"),
        ("typo=1", "^typo: unknown key; known: n, k, length"),
        ("lenght=1", "^lenght: unknown key; the nearest is length"),
        ("graph.layer=1", "^graph.layer: unknown key; the nearest is layers; known: layers, width, vertices$"),
        ("split.sets.train.chain=1", "^split.sets.train.chain: unknown key; the nearest is chains"),
        ("split.sets.test.chains=0.1", r"\+split.sets.test.chains=0.1"),
        ("split.limit.test=5", r"\+split.limit.test=5"),
        ("split.part=2", "^split.part: unknown key; the nearest is parts; known: strategy, seed, sets, parts, cut, "),
        ("length.min=4", r"^length.min: a range is given whole: length=\{min:4,max:9\}"),
        ("split.sets.train.length.min=4", r"split.sets.train.length=\{min:4,max:9\}"),
        ("out=/data/a=b", "(?s)mismatched input '='.*'out=\"/data/a=b\"'"),
        ("graph.vertices.99=sort", r"graph.vertices.9=add5"),
        ("k=[1", "no viable alternative"),
        ("k=${oc.env:FASTGEN_NOT_SET}", "FASTGEN_NOT_SET"),
        ("k=${nothing}", "nothing"),
        ("k=???", "Missing mandatory value: k"),
        ("~n", "n: is missing"),
    ],
)
def test_what_hydra_refuses_is_a_config_error(override, message):
    with pytest.raises(ConfigError, match=message):
        compose(override)


def run_command(monkeypatch, job, *overrides, **extra):
    monkeypatch.setattr(sys, "argv", ["run", *overrides])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setenv("FASTGEN_SCRATCH", "")
    if extra:
        command("show", job, **extra)
    else:
        command("run", lambda config, **own: job(config), resume=str, overwrite=bool, extend=bool)


def test_command_gives_the_job_the_config_and_the_extra_keys(monkeypatch):
    seen = []
    extra = {"examples": whole(0, 10), "tokenizer": optional(str), "ceiling": yes_or_no}
    run_command(monkeypatch, lambda *given, **more: seen.append((given, more)), "k=7", **extra)
    assert seen == [((compose("k=7"),), {"examples": 3, "tokenizer": None, "ceiling": False})]


def test_faults_of_extra_keys_are_among_the_others(monkeypatch, capsys):
    extra = {"examples": whole(0, 10), "tokenizer": optional(str), "ceiling": yes_or_no}
    with pytest.raises(SystemExit) as caught:
        run_command(monkeypatch, lambda config, **more: None, "k=1", "examples=-1", **extra)
    assert caught.value.code == 2
    assert capsys.readouterr().err == (
        "fastgen: 2 faults in the config\n"
        "  examples=-1: must be a whole number from 0 to 10\n"
        "  k=1: must be a whole number from 2 to 65536\n"
    )


def test_an_error_of_the_job_passes_whatever_it_is(monkeypatch):
    for error in (ValueError("a bug"), OSError("disk"), SystemExit(7)):

        def job(config, error=error):
            raise error

        with pytest.raises(type(error)) as caught:
            run_command(monkeypatch, job)
        assert caught.value is error


def test_an_interrupt_is_one_line_and_130(monkeypatch, capsys):
    def job(config):
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as caught:
        run_command(monkeypatch, job)
    assert caught.value.code == 130
    assert capsys.readouterr().err.split("\n")[-2:] == ["fastgen: interrupted", ""]


def test_a_config_error_of_the_job_is_a_fault_of_the_config(monkeypatch, capsys):
    def job(config):
        raise ConfigError("out=out: holds another corpus")

    with pytest.raises(SystemExit) as caught:
        run_command(monkeypatch, job)
    assert caught.value.code == 2
    assert capsys.readouterr().err == "fastgen: out=out: holds another corpus\n"


def test_what_hydra_refuses_between_two_jobs_is_a_config_error(monkeypatch, capsys):
    seen = []
    monkeypatch.setenv("FASTGEN_SUBDIR_5", ".")
    subdir = 'hydra.sweep.subdir="${oc.env:FASTGEN_SUBDIR_${k}}"'
    with pytest.raises(SystemExit) as caught:
        run_command(monkeypatch, lambda config: seen.append(config.k), "-m", "k=5,7", subdir)
    assert caught.value.code == 2
    assert seen == [5]
    assert "FASTGEN_SUBDIR_7" in capsys.readouterr().err


# Workers


@pytest.mark.parametrize(("quotas", "expected"), [([], 8), ([1.5], 2), ([0.1], 1), ([6, 2.5], 3), ([20], 8)])
def test_cpus_are_the_fewest_that_affinity_and_quotas_allow(monkeypatch, quotas, expected):
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr("fastgen.cpus._quotas", lambda root: list(map(Fraction, quotas)))
    assert cpus() == expected


def test_quotas_of_control_groups(tmp_path):
    assert 1 <= compose().workers == cpus() <= 4096

    def machine(name, cgroup, **files):
        root = tmp_path / name
        for path, text in {"proc/self/cgroup": cgroup, **files}.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        return _quotas(root)

    mount = "sys/fs/cgroup"
    assert machine("none", "0::/a\n") == []
    assert machine(
        "v2", "0::/a/b\n", **{f"{mount}/a/b/cpu.max": "max 100000\n", f"{mount}/a/cpu.max": "150000 100000\n"}
    ) == [Fraction(3, 2)]
    assert machine("container", "0::/outside\n", **{f"{mount}/cpu.max": "50000 100000\n"}) == [Fraction(1, 2)]
    v1 = {f"{mount}/cpu/a/cpu.cfs_quota_us": "200000\n", f"{mount}/cpu/a/cpu.cfs_period_us": "100000\n"}
    assert machine("v1", "5:memory:/x\n4:cpu,cpuacct:/a\n", **v1) == [2]
    unlimited = {f"{mount}/cpu/cpu.cfs_quota_us": "-1\n", f"{mount}/cpu/cpu.cfs_period_us": "100000\n"}
    assert machine("v1_unlimited", "4:cpu:/\n", **unlimited) == []
    assert _quotas(tmp_path / "not_linux") == []


# The files of conf


def test_help_names_every_key_with_its_default():
    text = (CONF / "common.yaml").read_text().partition("template:")[2]
    sections = {key.partition(".")[0] for key in KEYS if "." in key}
    assert all(f"        {key}=" in text for key in KEYS if key not in sections)
    tree = values()
    for key, shown in re.findall(r"^        ([a-z._]+)=(\"[^\"]*\"|\S+)", text, re.MULTILINE):
        value = tree
        for part in key.split("."):
            value = value[part]
        if "..." not in shown:
            assert OmegaConf.create(f"value: {shown}").value == value, key
    assert all(name in text for name in (*SET_KEYS, *COLUMNS, *CODECS))


def test_comments_name_every_choice():
    text = (CONF / "common.yaml").read_text()
    assert all(
        name in text.partition("hydra:")[0]
        for name in (*GRAPHS, *SPLITS, *TEXTS, *TASKS, *SPELLINGS, *CODECS, *COLUMNS)
    )
    assert all(name in (CONF / "split/default.yaml").read_text() for name in STRATEGIES)
    figures = (CONF / "graph" / "default.yaml").read_text()
    assert all(figure in figures for figure in ("93 %", "52 %", "73 %"))
