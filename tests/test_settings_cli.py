"""Configs through the command line, in fresh processes: every fault once, Hydra's habits, and nothing left behind."""

import os
import subprocess
import sys

import pytest
from helpers import command

from fastgen.doors import CONF


@pytest.fixture
def fastgen(python):
    """`fastgen("run", *overrides)`: `python -m fastgen.run ...` in tmp_path."""
    return lambda command, *overrides: python("-m", f"fastgen.{command}", *overrides)


def refused(done, folder, *messages):
    """Exit code 2, every message on standard error, no traceback, nothing written."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("fastgen: ")
    for message in messages:
        assert message in done.stderr
    assert [path.name for path in folder.iterdir() if path.name != "given"] == []


FAULTS = {
    "values": {
        "k=1": "k=1: must be a whole number from 2 to 65536",
        "n=0": "n=0: must be a whole number from 1 to",
        "length=0": "length=0: must be a whole number from 1 to 65536, or a range of them such as {min:4,max:9}",
        "seed=-1": "seed=-1: must be a whole number from 0 to 18446744073709551615",
        "out=given": "out=given: is a file; name a folder",
        "+typo=1": "typo=1: unknown key; known: n, k, length",
        "+graph.with=4": "graph.with=4: unknown key; the nearest is width; known: layers, width, vertices",
        "graph.vertices.9=sorted": "graph.vertices[9]=sorted: unknown transformation; the nearest is sort; known: ",
        "graph.vertices.1=add": "graph.vertices[1]=add: add needs an argument",
        "graph.vertices.2=sort3": "graph.vertices[2]=sort3: sort takes no argument; write sort",
        "graph.vertices.3=add-3": "graph.vertices[3]=add-3: add needs an argument, a whole number of 0 or more",
        "chain.min=0": "chain.min=0: must be a whole number from 1 to 4, the number of layers; or null",
        "columns=[x,z]": "columns=[x,z]: z is an unknown column; known: index, x, y, ",
        "workers=none": "workers=none: must be a whole number from 1 to 1024, or auto",
        "shard=0": "shard=0: must be a whole number from 1 to",
        "parquet.codec=zip": "parquet.codec=zip: unknown codec; the nearest is gzip; known: zstd",
        "parquet.row_group=0": "parquet.row_group=0: must be",
        "split.strategy=rand": "split.strategy=rand: unknown strategy; the nearest is random; known: random",
        "split.seed=-1": "split.seed=-1: must be",
        "+split.sets.Test.chains=0.1": "split.sets.Test: a split's name is lower-case letters, digits and _",
        "+split.sets.seen={of:trian,n:5}": "split.sets.seen.of=trian: unknown split; the nearest is train",
        "+split.sets.self={of:self,n:5}": "split.sets.self.of=self: is the split itself; name another: train, ",
        "+split.sets.less={of:train}": "split.sets.less.n=null: a split that is `of` another has no share of the rows",
    },
    "beyond the limits": {
        "k=65537": "k=65537: must be",
        "length=65537": "length=65537: must be",
        "seed=18446744073709551616": "seed=18446744073709551616: must be",
        "graph.layers=5": "graph.layers=5, graph.width=4: 5 layers x 4 vertices = 20, at most 16; lower one of them",
        "chain.max=6": "chain.max=6: must be a whole number from 1 to 5, the number of layers",
        "parquet.level=23": "parquet.level=23: must be a whole number from 1 to 22",
        "n=1.5": "n=1.5: must be a whole number",
    },
    "labels beyond the graph, min above max, shares": {
        "graph.layers=3": "graph.vertices: label 12, 13, 14, 15 does not exist; labels are 0..11, remove it",
        "chain.min=3": "chain.min=3: is above chain.max=2; lower it, or raise chain.max",
        "chain.max=2": "chain.max=2",
        "split.sets.train.chains=0.7": "(train 0.7, validation 0.2) sum to 0.9; make them sum to 1",
    },
    "labels without a transformation, weights": {
        "graph.vertices=[sort,add3]": "graph.vertices: no transformation for label 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12",
        "chain.weights=[1,2]": "chain.weights=[1,2]: must give a weight to each length from 2 to 4, such as [1,1,1]",
        "~shard": "shard: is missing; --cfg job shows a whole config",
    },
    "rows and chains for every split": {
        "n=2": "n=2: is too few for every split to have a row; the smallest n is 5001",
        "split.sets.train.chains=0.9999": "",
        "split.sets.validation.chains=0.0001": "split.sets.validation.chains=0.0001: would get none of the 432 chains",
    },
    "own rows beyond the total": {
        "n=1_000": "n=1000: the splits' own n (validation 2000) leave too few for every split to have a row",
        "split.sets.validation.n=2_000": "the smallest n is 2001",
        "chain.weights=[0,0,0]": "chain.weights=[0,0,0]: one weight must be above 0",
        "length={min:9,max:4}": "length={min:9,max:4}: min is above max; exchange them",
    },
    "a rotation that not every length has": {
        "length={min:4,max:9}": "",
        "graph.vertices.12=rotate9": "graph.vertices[12]=rotate9: lengths differ, so the argument must be below the",
    },
}


@pytest.mark.parametrize("batch", FAULTS)
def test_every_fault_is_reported_and_nothing_is_written(fastgen, tmp_path, batch):
    (tmp_path / "given").write_text("a file")
    done = fastgen("run", *FAULTS[batch])
    refused(done, tmp_path, *FAULTS[batch].values())
    assert len(done.stderr.splitlines()) >= 1 + sum(1 for message in FAULTS[batch].values() if ": " in message)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            "split=functional graph={layers:1,width:2,vertices:[add0,rotate0]}",
            "functional: has too few functions: the 2 chains are 1 of them, and there are 2 splits; take a graph with",
        ),
        ("split=parts graph=small split.parts=3", "parts: no chain has 3 transformations; lower split.parts, or raise"),
        (
            "split=order",
            "order: no two transformations come in both orders; take a graph that has some, such as repeat",
        ),
        ("split=length graph=wide", "length: split.cut=3 has no chain on one side, as they have 2 transformations; "),
        ("split=new_context", "new_context: no chain is a single transformation; chain.min=1"),
        ("split=hash graph=small split.seed=4", "hash: gives validation none of the 4 chains; another split.seed, or"),
        ("split=explicit", "explicit: needs split.file, a YAML file of lists of chains by split; split.file=mine.yaml"),
        ("split=parts split.folds=5 split.fold=0", "parts: has no folds, as a chain could be held out in several; "),
    ],
)
def test_what_a_graph_cannot_give_is_refused_with_the_reason(fastgen, tmp_path, overrides, message):
    (tmp_path / "given").touch()
    done = fastgen("show", "examples=0", *overrides.split())
    refused(done, tmp_path, f"fastgen: a fault in the config\n  split.strategy={message}")


def test_lists_of_chains_and_their_faults(fastgen, tmp_path):
    (tmp_path / "given").write_text("validation: [sort add3]\nvalidation: [sort cumsum]")
    refused(
        fastgen("run", "split=explicit", "split.file=given", "k=1", "split.cut=3"),
        tmp_path,
        "3 faults in the config",
        "\n  k=1: ",
        "\n  split.cut=3: is a key of strategy length, and split.strategy=explicit; split.cut=null, or",
        "\n  split.file=given: names a split twice; name each once",
    )


@pytest.mark.parametrize(
    ("override", "messages"),
    [
        ("graph=foo", ["Could not find 'graph/foo'", "default", "mixed"]),
        ("graph=null", ["graph=mixed"]),
        ("k=[1", ["k=[1"]),
        ("length.min=4", ["length={min:4,max:9}"]),
        ("out=/data/a=b", ["'out=\"/data/a=b\"'"]),
        ("lenght=4", ["lenght: unknown key; the nearest is length"]),
        ("k=${oc.env:FASTGEN_NOT_SET}", ["FASTGEN_NOT_SET", "full_key: k"]),
        ("hydra.run.dir=${oc.env:FASTGEN_NOT_SET}", ["FASTGEN_NOT_SET"]),
        ("--config-dir=missing", ["missing' not found"]),
    ],
)
def test_what_hydra_refuses_is_short_too(fastgen, tmp_path, override, messages):
    done = fastgen("run", override)
    refused(done, tmp_path, *messages)
    assert len(done.stderr.splitlines()) <= 10


def test_an_unknown_flag(fastgen, tmp_path):
    done = fastgen("run", "--foo")
    assert done.returncode == 2
    assert "unrecognized arguments: --foo" in done.stderr
    assert not list(tmp_path.iterdir())


def test_extra_keys_of_show_are_checked_with_the_others(fastgen, tmp_path):
    refused(
        fastgen("show", "examples=-1", "k=1"), tmp_path, "examples=-1: must be a whole number from 0", "k=1: must be"
    )


@pytest.mark.parametrize("command", ["run", "show"])
def test_help_is_ours_and_imports_no_numba(fastgen, python, tmp_path, command):
    done = fastgen(command, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"python -m fastgen.{command}: ")
    for text in (
        "  n=1_000_000 ",
        "graph: deep, default, mixed, repeated, small, wide",
        "split: controls, default, explicit, functional, hash, length, new_context, order, parts",
        "text: full, names, result",
        "task: direct, execute, infer, plan",
        "spelling: letters, numbers",
        "out=data/k${k}'",
    ):
        assert text in done.stdout
    assert ("  examples=3 " in done.stdout) == (command == "show")
    imports_no_numba(python, command)
    assert not list(tmp_path.iterdir())


def test_help_of_a_command_that_reads_a_corpus(fastgen, python, tmp_path):
    done = fastgen("audit", "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("python -m fastgen.audit: ")
    for text in (
        "  data=out ",
        "  out=null ",
        "  memory=",
        "  max.pairs=null ",
        "  max.functional=null ",
        "  max.contained=",
    ):
        assert text in done.stdout
    assert "graph" not in done.stdout
    imports_no_numba(python, "audit")
    assert not list(tmp_path.iterdir())


def test_help_of_a_command_that_reads_a_corpus_or_a_config(fastgen, python, tmp_path):
    done = fastgen("evaluate", "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("python -m fastgen.evaluate: ")
    for text in (
        *("  predictions=null ", "  data=null ", "  out=report ", "  text_column=null ", "  expect=null "),
        *("  chat=false ", "graph: deep, default, mixed", "'out=report/${predictions}'"),
    ):
        assert text in done.stdout
    imports_no_numba(python, "evaluate")
    assert not list(tmp_path.iterdir())


def imports_no_numba(python, command):
    script = f"""if True:
        import runpy, sys
        sys.argv = ["run", "--help"]
        try:
            runpy.run_module("fastgen.{command}", run_name="__main__")
        except SystemExit:
            pass
        sys.exit(any(name in sys.modules for name in ("numba", "pyarrow")))
    """
    assert python("-c", script).returncode == 0


JOB = """
import os
import subprocess
import sys
from fastgen.doors import command
def job(config, **own):
    print(config.k, config.graph.vertices[0].head, config.out)
    if config.k == 13:
        raise RuntimeError("a bug")
if __name__ == "__main__":
    command("run", job, resume=str, overwrite=bool, extend=bool)
"""


@pytest.fixture
def job(python, tmp_path):
    """A command of our own, `job(*overrides)`, that prints its config and fails at k=13."""
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "job.py").write_text(JOB)
    return lambda *overrides: python("given/job.py", *overrides)


def left(folder):
    return [path.name for path in folder.iterdir() if path.name != "given"]


def test_overrides_of_every_kind(job, tmp_path):
    done = job(
        *("n=1e8", "k=7", "graph=mixed", "graph.vertices.0=add5", 'out="a=b"', "length={min:4,max:9}"),
        *("split.sets.validation.n=20_000", "split.sets.train.chains=0.7", "+split.sets.test.chains=0.1"),
        *("+split.sets.seen={of:train,n:20_000}", "+split.sets.longer={of:train,n:20_000,length:{min:9,max:16}}"),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "7 add5 a=b\n", "")
    assert left(tmp_path) == []


def test_a_sweep_runs_every_job_and_leaves_nothing_behind(job, tmp_path):
    done = job("-m", "k=5,7", "graph=mixed,small", "out=data/k${k}")
    assert (done.returncode, done.stderr) == (0, "")
    jobs = [line for line in done.stdout.splitlines() if "HYDRA" not in line]
    assert jobs == ["5 add3 data/k5", "5 sort data/k5", "7 add3 data/k7", "7 sort data/k7"]
    assert left(tmp_path) == []


def test_a_sweep_stops_at_a_bad_config(job, tmp_path):
    done = job("-m", "k=5,1,7")
    assert done.returncode == 2
    assert done.stderr == "fastgen: a fault in the config\n  k=1: must be a whole number from 2 to 65536\n"
    assert [line for line in done.stdout.splitlines() if "HYDRA" not in line] == ["5 sort out"]
    refused(job("-m", "graph=small,foo"), tmp_path, "Could not find 'graph/foo'")
    assert left(tmp_path) == []


def test_a_bug_in_a_job_keeps_its_traceback(job, tmp_path):
    for overrides in (["k=13"], ["-m", "k=5,13"]):
        done = job(*overrides)
        assert done.returncode == 1
        assert "Traceback" in done.stderr
        assert 'raise RuntimeError("a bug")' in done.stderr
    assert left(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGPIPE; a closed pipe is another error there")
@pytest.mark.parametrize("overrides", [["examples=1000"], ["--help"], ["examples=0"]])
def test_who_reads_may_go(tmp_path, overrides):
    arguments, options = command("show", *overrides, cwd=tmp_path)
    running = subprocess.Popen(arguments, **options, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    running.stdout.close()
    assert running.stderr.read() == ""
    running.stderr.close()
    assert running.wait(timeout=100) == 141


def test_groups_of_ones_own(job, tmp_path):
    (tmp_path / "given" / "graph").mkdir()
    mapping = "layers: 2\nwidth: 2\nvertices: {3: sort, 2: add14, 1: negate, 0: rank}\n"
    (tmp_path / "given" / "graph" / "mine.yaml").write_text(mapping)
    done = job("--config-dir", "given", "graph=mine")
    assert (done.returncode, done.stdout) == (0, "11 rank out\n"), done.stderr
    (tmp_path / "given" / "graph" / "mine.yaml").write_text("layers: [1\n")
    refused(job("--config-dir", "given", "graph=mine"), tmp_path)


def test_cfg_job_shows_the_config(job, tmp_path):
    done = job("--cfg", "job", "k=7", "graph=small")
    assert done.returncode == 0
    assert "k: 7\n" in done.stdout
    assert "- cumsum\n" in done.stdout
    assert "hydra" not in done.stdout
    assert left(tmp_path) == []


def test_shell_completion(job, tmp_path):
    done = job("-sc", "install=bash")
    assert done.returncode == 0
    assert "complete" in done.stdout
    assert left(tmp_path) == []


def test_the_folder_of_configs_is_beside_or_inside_the_package():
    assert CONF.name == "conf"
    assert {path.name for path in CONF.glob("*.yaml")} == {
        "bare.yaml",
        "common.yaml",
        "run.yaml",
        "search.yaml",
        "show.yaml",
        "audit.yaml",
        "check.yaml",
        "evaluate.yaml",
        "recipe.yaml",
    }
    assert sys.modules["fastgen.doors"].PACKAGE in (CONF.parent, CONF.parent / "fastgen")
