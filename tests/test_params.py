"""Loading of params and artefacts, seeds, and the error a user sees."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import Field

from stages.common import artefacts, params
from stages.common.command import run
from stages.common.errors import InputError
from stages.common.params import Section
from stages.common.seeds import seed_from


class Example(Section):
    count: int = Field(ge=1)


def test_a_stage_loads_its_keys_and_leaves_others_unread(set_params):
    set_params(example={"count": 3, "other": "ignored"})
    assert params.load(Example, "example").count == 3


def test_what_params_yaml_lacks_is_named(set_params, workspace: Path):
    set_params(exampel={"count": 3})
    with pytest.raises(
        InputError, match=r"params.yaml has no example; did you mean 'exampel'\?; run `python -m stages"
    ):
        params.load(Example, "example")
    set_params(example={})
    with pytest.raises(InputError, match=r"example.count is missing"):
        params.load(Example, "example")
    set_params(example=3)
    with pytest.raises(InputError, match=r"example=3 is no mapping"):
        params.load(Example, "example")
    (workspace / "params.yaml").write_text("a: [1,")
    with pytest.raises(InputError, match=r"params.yaml is no valid YAML"):
        params.load(Example, "example")
    (workspace / "params.yaml").unlink()
    with pytest.raises(InputError, match=r"params.yaml is missing; write it with"):
        params.load(Example, "example")


def test_seeds_depend_on_every_name_and_nothing_else():
    seeds = {
        seed_from("draw", 0, 1),
        seed_from("draw", 1, 0),
        seed_from("initialisation", 0, 1),
        seed_from("draw", 0, 11),
    }
    assert len(seeds) == 4
    assert seed_from("draw", 0, 1) == seed_from("draw", 0, 1)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_an_input_error_is_one_line_and_exit_status_1(capsys):
    def fail() -> None:
        raise InputError("n=5 exceeds\n 4; lower n")

    with pytest.raises(SystemExit) as stopped:
        run(fail)
    assert stopped.value.code == 1
    assert capsys.readouterr().err == "error: n=5 exceeds 4; lower n\n"


@pytest.mark.parametrize(("key", "message"), [
    ("seed", "error: params.yaml: train.seed changed while this ran; its result does not count; run `dvc repro` again"),
    ("threads", None),
])  # fmt: skip
def test_a_command_fails_where_what_it_read_of_params_yaml_changed_while_it_ran(key, message, set_params, capsys):
    class Seed(Section):
        seed: int

    def changes_a_key() -> None:
        params.load(Seed, "train")
        set_params(train={"seed": 0, "threads": 1} | {key: 2})

    set_params(train={"seed": 0, "threads": 1})
    if message is None:
        run(changes_a_key)
        return
    with pytest.raises(SystemExit) as stopped:
        run(changes_a_key)
    assert stopped.value.code == 1
    assert capsys.readouterr().err == f"{message}\n"


def test_a_command_fails_where_its_code_changed_while_it_ran(workspace: Path, capsys, monkeypatch):
    (workspace / "stages" / "mine").mkdir(parents=True)
    for name in ("__main__", "other"):
        (workspace / "stages" / "mine" / f"{name}.py").write_text("x = 1\n")
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(workspace / "stages/mine/__main__.py"), raising=False)
    run(lambda: None)

    def edits() -> None:
        (workspace / "stages/mine/other.py").write_text("x = 2\n")

    with pytest.raises(SystemExit) as stopped:
        run(edits)
    assert stopped.value.code == 1
    assert "stages/mine/other.py changed while this ran; its result does not count" in capsys.readouterr().err


def test_a_failed_save_leaves_the_old_file(workspace: Path):
    artefacts.save_json(Path("a.json"), {"x": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        artefacts.save_json(Path("a.json"), {"x": float("nan")})
    assert json.loads(Path("a.json").read_text()) == {"x": 1}


def test_predictions_have_the_same_bytes_whenever_they_are_saved(workspace: Path, monkeypatch):
    values = np.random.default_rng(0).random((3, 5, 2)).astype(np.float32)
    artefacts.save_predictions(Path("first"), values)
    monkeypatch.setattr("time.time", lambda: 2e9)
    artefacts.save_predictions(Path("second"), values)
    assert Path("first/predictions.npz").read_bytes() == Path("second/predictions.npz").read_bytes()
    np.testing.assert_array_equal(artefacts.load_predictions(Path("first")), values)


def test_a_missing_artefact_names_the_command_that_makes_it(workspace: Path):
    with pytest.raises(InputError, match=r"results/curves.csv is missing; make it with `dvc repro`"):
        artefacts.load_csv(artefacts.RESULTS / "curves.csv")
