"""The command line, and `fastgen.config`, which takes the same overrides: the only module that knows Hydra."""

from __future__ import annotations

import gc
import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fastgen.settings import KEYS, Config, resolve, resolve_with
from fastgen.splitting import SET_KEYS
from fastgen.values import ConfigError, folder, optional, raise_faults, read_all, unknown

PACKAGE = Path(__file__).parent
CONF = next(path for path in (PACKAGE / "conf", PACKAGE.parent / "conf") if path.is_dir())
"""The folder of YAML files: inside the package in a wheel, beside it in a checkout."""


def compose(*overrides: str) -> Config:
    """The config of `python -m fastgen.run` with these overrides: `compose("k=7", "graph=mixed")`.

    Raises ConfigError.
    """
    try:
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            values = hydra.compose("common", overrides=list(overrides))
    except Exception as error:  # Hydra refuses values with errors of many kinds
        raise ConfigError(_explain(error, KEYS)) from error
    return resolve(_container(values))


def command(root: str, job: Callable[..., None], **extra: Callable[[Any], Any]) -> None:
    """The command line of a module: `job(config, **extra)` for the config composed from `conf/<root>.yaml`.

    Prints the config's warnings first. `extra` are the keys that this root has besides those of `run`, each with the
    function that reads its value (such as `whole(0, 100)`). A fault of the config, found here, by Hydra or by the job
    (ConfigError), is one message and exit code 2; an interrupt is exit code 130. Every other error of the job passes.
    """

    def with_config(values: dict[str, Any]) -> None:
        config, more = resolve_with(values, extra)
        for warning in config.warnings:
            print(f"fastgen: warning: {warning}", file=sys.stderr)
        job(config, **more)

    _main(root, with_config, (*KEYS, *extra))


def corpus_command(root: str, job: Callable[..., None], readers: Mapping[str, Any]) -> None:
    """The command line of a module that reads a written corpus, so that its keys are no config's: `job(**values)`.

    `readers` are the keys of `conf/<root>.yaml`, each with the function that reads its value; a section is a mapping
    of such, and the job gets a mapping. Faults, exit codes and errors are as in `command`.
    """

    def with_values(values: dict[str, Any]) -> None:
        faults: list[str] = []
        read = read_all(faults, "", values, readers)
        raise_faults(faults)
        job(**read)

    sections = {key: value for key, value in readers.items() if isinstance(value, Mapping)}
    _main(root, with_values, (*readers, *(f"{key}.{name}" for key, section in sections.items() for name in section)))


def either_command(root: str, job: Callable[..., None], **extra: Callable[[Any], Any]) -> None:
    """`command` of a module that takes a written corpus or else the keys of a config: `job(config, data, **extra)`.

    `data` is the folder of the corpus, which the job opens; then `config` says nothing but `out`. It is None where the
    keys say the config. Both and neither are faults.
    """

    def data(value: Any) -> str | None:
        given = [override for override in HydraConfig.get().overrides.task if _key(override) in KEYS]
        given = [override for override in given if _key(override) != "out"]
        if value is None and not given:
            raise ValueError(
                "nothing says which config made the prompts; name its corpus, data=out, or keys, n=1e6 k=11"
            )
        if value is not None and given:
            raise ValueError(
                f"the corpus has a config, and {' '.join(given)} asks for another; leave out one of the two"
            )
        path: str | None = optional(folder)(value)
        return path

    command(root, job, data=data, **extra)


def _key(override: str) -> str:
    """The first word of an override: +split.sets.test.chains=0.1 -> split."""
    return re.split("[.=@]", override.lstrip("+~"), maxsplit=1)[0]


def _main(root: str, job: Callable[[dict[str, Any]], None], known: Sequence[str]) -> None:
    """Compose `conf/<root>.yaml` with the command line, and give its values to the job; errors as in `command`.

    `known` are the keys that there are, for the nearest to an unknown one.
    """
    gc.set_threshold(1_000_000)  # at the usual 700, collections take a tenth of the start-up, and find nothing
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its errors instead of printing them
    inside = False

    @hydra.main(config_path=str(CONF), config_name=root, version_base="1.3")
    def main(values: Any) -> None:
        nonlocal inside
        inside = True
        try:
            job(_container(values))
            sys.stdout.flush()
        except ConfigError as error:
            _refuse(error)
        except BrokenPipeError:
            _hang_up()
        inside = False

    with tempfile.TemporaryDirectory(prefix="fastgen-") as scratch:
        os.environ["FASTGEN_SCRATCH"] = scratch  # hydra.sweep.dir, for the multirun.yaml that a sweep always writes
        try:
            main()
            sys.stdout.flush()
        except BrokenPipeError:
            _hang_up()
        except Exception as error:
            if inside:
                raise
            _refuse(_explain(error, known))
        except KeyboardInterrupt:
            print("\nfastgen: interrupted", file=sys.stderr)
            sys.exit(130)
        finally:
            gc.freeze()  # the process ends: its last collection would take 0.2 s, for memory that goes with it


def _refuse(message: object) -> None:
    print(f"fastgen: {message}", file=sys.stderr)
    sys.exit(2)


def _hang_up() -> None:
    """End quietly: who read what is printed has gone, as `| head` does, and what is left can't be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(141)  # 128 + SIGPIPE, the signal that ends other programs then


def _container(values: Any) -> dict[str, Any]:
    """The composed config as plain values, with interpolations resolved."""
    try:
        return dict(OmegaConf.to_container(values, resolve=True, throw_on_missing=True))  # type: ignore[arg-type]
    except OmegaConfBaseException as error:
        raise ConfigError(_explain(error, KEYS)) from error


def _explain(error: Exception, known: Sequence[str]) -> str:
    """What Hydra refuses, in a few lines, with the form that works where Hydra does not say it."""
    text = re.split(r"\n+(?:Config search path|See https|    object_type)", str(error) or type(error).__name__)[0]
    if match := re.match(r"Could not override '(.+?)'", text):
        key = match[1]
        parent, _, name = key.rpartition(".")
        if parent.rpartition(".")[2] == "length":
            return f"{key}: a range is given whole: {parent}={{min:4,max:9}}"
        in_set = re.fullmatch(r"split\.sets\.\w+", parent)
        if (
            name not in SET_KEYS if in_set else parent not in ("split.sets", "split.limit")
        ):  # a split needs a +, as Hydra's text says
            siblings = [other.rpartition(".")[2] for other in known if other.rpartition(".")[0] == parent]
            return f"{key}: {unknown('key', name, SET_KEYS if in_set else siblings or known)}"
    if isinstance(error, OverrideParseException):
        text += f"\nin {error.override}"
        text += "\na value that holds any of = , : [ ] { } needs quotes of its own: 'out=\"/data/a=b\"'"
    elif "Config group override must be" in text:
        text += "\na group takes the name of one of its files: graph=mixed, split=controls"
    elif text.startswith("Error merging override graph.vertices"):
        text += "\nlabels are the places in a list: graph.vertices.9=add5, or all of it, graph.vertices=[sort,add3,...]"
    elif isinstance(error.__cause__, OmegaConfBaseException):
        text += "\n" + str(error.__cause__).partition("\n")[0]
    return text


# Values
