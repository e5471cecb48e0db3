"""conf/ and params.yaml: one truth, recorded overrides, and bad input refused in one line."""

import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from stages.common import artefacts
from stages.common.errors import InputError
from stages.compose import __main__ as composer
from stages.compose import checking, composing
from tests.conftest import ROOT


def read() -> dict:
    return yaml.safe_load(Path("params.yaml").read_text())


def run_compose(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["compose", *arguments])
    composer.main()


def test_params_yaml_is_what_conf_and_its_recorded_overrides_give(monkeypatch):
    monkeypatch.chdir(ROOT)
    checking.check()


def test_params_yaml_has_the_bytes_that_dvc_would_compose(workspace):
    from dvc.utils.hydra import compose_and_dump

    compose_and_dump(
        workspace / "dvc.yaml", str(workspace / "conf"), None, "config", str(workspace), ["dataset=digits"]
    )
    ours = composing.composed(["dataset=digits"]).replace("overrides:\n  - dataset=digits\n", "overrides: []\n")
    ours = re.sub(r"^  sha256: x\w+$", "  sha256: null", ours, count=1, flags=re.MULTILINE)
    assert ours == (workspace / "dvc.yaml").read_text()


def test_overrides_are_recorded_kept_replaced_and_dropped(workspace, monkeypatch):
    run_compose(monkeypatch, "--reset", "dataset=digits", "train.seed=1")
    assert read()["compose"]["overrides"] == ["dataset=digits", "train.seed=1"]
    run_compose(monkeypatch)
    assert read()["dataset"]["name"] == "digits"
    run_compose(monkeypatch, "train.seed=2", "scale=smoke")
    assert read()["compose"]["overrides"] == ["dataset=digits", "train.seed=2", "scale=smoke"]
    assert read()["train"]["seed"] == 2
    checking.check()
    run_compose(monkeypatch, "--reset")
    assert read()["compose"]["overrides"] == []
    assert read()["dataset"]["name"] == "flights"


def test_a_new_scale_is_all_of_it(workspace, monkeypatch, capsys):
    run_compose(monkeypatch, "scale.sizes=[64,128]", "train.seed=3")
    run_compose(monkeypatch, "scale=full")
    assert read()["compose"]["overrides"] == ["train.seed=3", "scale=full"]
    assert read()["grid"]["sizes"][-1] == 262144
    assert "compose: scale=full drops the recorded scale.sizes=[64,128]" in capsys.readouterr().out


def test_check_takes_no_overrides(workspace, monkeypatch):
    with pytest.raises(SystemExit) as stopped:
        run_compose(monkeypatch, "--check", "scale=full")
    assert stopped.value.code == 2


def test_digits_have_no_days(workspace):
    with pytest.raises(InputError, match=r"dataset.split='day': the rows of digits have no days; use"):
        composing.composed(["dataset=digits", "dataset.split=day"])


def test_composing_removes_predictions_that_the_grid_no_longer_names(workspace, monkeypatch):
    kept, stale = (artefacts.cell_path("small_nn", n) for n in (1024, 2048))
    for folder in (kept, stale, artefacts.cell_path("gone", 1024)):
        artefacts.save_text(folder / "cell.json", "{}")
    run_compose(monkeypatch, "scale.sizes=[1024]")
    assert [str(path) for path in artefacts.PREDICTIONS.glob("*/*")] == [str(kept)]
    assert [path.name for path in artefacts.PREDICTIONS.iterdir()] == ["small_nn"]


def test_scale_picks_the_sizes_of_the_data_set(workspace):
    for dataset, scale in [("flights", "smoke"), ("flights", "quick"), ("flights", "full"), ("digits", "quick")]:
        params = yaml.safe_load(composing.composed([f"dataset={dataset}", f"scale={scale}"]))
        sizes = params["dataset"]["sizes"][scale]
        assert params["scale"]["sizes"] == params["grid"]["sizes"] == sizes
        assert all(b == 2 * a for a, b in pairwise(sizes))
    smoke = yaml.safe_load(composing.composed(["scale=smoke"]))["grid"]
    assert (len(smoke["learners"]), len(smoke["sizes"])) == (3, 2)
    quick = yaml.safe_load(composing.composed([]))["grid"]
    assert (quick["sizes"][0], quick["sizes"][-1]) == (1024, 65536)
    assert yaml.safe_load(composing.composed(["scale=full"]))["grid"]["sizes"][-1] == 262144


def test_the_networks_differ_in_units_and_layers_alone(workspace):
    learners = read()["learners"]
    recipes = [{k: v for k, v in learners[name].items() if k not in ("units", "layers")}
               for name in ("small_nn", "medium_nn", "large_nn")]  # fmt: skip
    assert recipes[0] == recipes[1] == recipes[2]


def test_an_edit_in_conf_is_noticed_and_the_command_named(workspace):
    checking.check()
    file = workspace / "conf/learners/small_nn.yaml"
    file.write_text(file.read_text().replace("units: 8", "units: 9"))
    with pytest.raises(InputError, match=r"learners.small_nn.units.*run `python -m stages.compose`"):
        checking.check()


def test_a_comment_in_conf_changes_nothing(workspace):
    with (workspace / "conf/config.yaml").open("a") as file:
        file.write("# a thought\n")
    checking.check()


def test_an_edit_of_params_yaml_is_noticed(workspace):
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("threads: 1", "threads: 4"))
    with pytest.raises(
        InputError, match=r"\(train.threads\), nor as it was composed; `git checkout params.yaml` drops"
    ):
        checking.check()


def committed(*overrides: str) -> str:
    """params.yaml of these overrides, committed; the commit."""
    Path("params.yaml").write_text(composing.composed(list(overrides)))
    identity = ["-c", "user.name=T", "-c", "user.email=t@t"]
    for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "x"]):
        subprocess.run(["git", *command], check=True)
    return subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()


def test_an_experiment_of_dvc_passes_with_params_of_its_own_but_is_validated(workspace, monkeypatch):
    commit = committed()
    monkeypatch.setenv("DVC_EXP_NAME", "some-name")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", commit)
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("threads: 1", "threads: 4"))
    checking.check()
    Path("params.yaml").write_text(text.replace("threads: 1", "threads: 0"))
    with pytest.raises(InputError, match=r"train\.threads=0"):
        checking.check()
    # A name that a shell still holds is no experiment.
    Path("params.yaml").write_text(text.replace("threads: 1", "threads: 4"))
    monkeypatch.delenv("DVC_EXP_BASELINE_REV")
    with pytest.raises(InputError, match=r"params.yaml is not what conf/ gives"):
        checking.check()


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ([], r"without the dataset=digits scale=smoke that the study records; give them|give it with -S too"),
        (["dataset=digits"], r"without the scale=smoke that the study records"),
        (["dataset=digits", "scale=smoke"], None),
        (["dataset=words", "scale=smoke"], None),
        (["dataset=digits", "scale=full"], None),
    ],
)
def test_an_experiment_that_forgets_the_composed_study_is_told(own, message, workspace, monkeypatch):
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", committed("dataset=digits", "scale=smoke"))
    monkeypatch.setenv("DVC_EXP_NAME", "some-name")
    text = composing.composed(own)  # as DVC composes: of its own -S, without a record
    Path("params.yaml").write_text(re.sub(r"^compose:\n(  .*\n)+", "compose: {overrides: []}\n", text, flags=re.M))
    if message is None:
        checking.check()
    else:
        with pytest.raises(InputError, match=message):
            checking.check()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("threads: 1", "threads: 2", None),
        (
            "  sizes:\n  - 64\n  - 128\n  epochs",
            "  sizes:\n  - 64\n  epochs",
            r"grid is derived from learners and scale\.sizes",
        ),
        (
            "  min_steps: 500\n  split",
            "  min_steps: 400\n  split",
            r"learners\.small_nn\.min_steps follows from what -S",
        ),
        ("  seed: 0\n  threads", "  seed: 5\n  threads", None),
    ],
)
def test_a_key_changed_without_hydra_must_have_no_followers(old, new, message, workspace, monkeypatch):
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", committed("dataset=digits", "scale=smoke"))
    monkeypatch.setenv("DVC_EXP_NAME", "some-name")
    text = Path("params.yaml").read_text()
    assert text.count(old) == 1
    Path("params.yaml").write_text(text.replace(old, new))
    if message is None:
        checking.check()
    else:
        with pytest.raises(InputError, match=message):
            checking.check()


def test_what_params_yaml_does_not_record_is_not_overwritten(workspace, monkeypatch, capsys):
    run_compose(monkeypatch, "dataset=digits", "scale=smoke")
    edited = Path("params.yaml").read_text().replace("threads: 1", "threads: 2")
    Path("params.yaml").write_text(edited)
    for arguments in ([], ["train.seed=3"], ["train.threads=4"]):
        with pytest.raises(
            InputError,
            match=r"holds train\.threads=2, not recorded .*`python -m stages\.compose train\.threads=2` takes",
        ):
            run_compose(monkeypatch, *arguments)
        assert Path("params.yaml").read_text() == edited
    run_compose(monkeypatch, "train.threads=2", "train.seed=3")
    assert (read()["train"]["threads"], read()["train"]["seed"]) == (2, 3)
    assert read()["compose"]["overrides"] == ["dataset=digits", "scale=smoke", "train.threads=2", "train.seed=3"]
    checking.check()
    Path("params.yaml").write_text(edited)
    run_compose(monkeypatch, "--reset")
    assert read()["dataset"]["name"] == "flights"


def test_what_an_experiment_chose_is_told_as_files(workspace, monkeypatch):
    text = composing.composed(["dataset=digits", "scale=smoke", "learners=[logistic_regression]", "train.seed=4",
                             "evaluate.claims.networks=[]"])  # fmt: skip
    Path("params.yaml").write_text(re.sub(r"^compose:\n(  .*\n)+", "compose: {overrides: []}\n", text, flags=re.M))
    with pytest.raises(
        InputError, match=r"holds dataset=digits, scale=smoke, learners=\[logistic_regression\] and"
    ) as told:
        run_compose(monkeypatch)
    kept = "dataset=digits scale=smoke learners=[logistic_regression] train.seed=4 evaluate.claims.networks=[]"
    assert f"`python -m stages.compose {kept}` takes it up" in str(told.value)
    run_compose(monkeypatch, *kept.split())
    assert read()["train"]["seed"] == 4


def test_both_sides_of_a_merge_are_named(workspace, monkeypatch):
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(f"<<<<<<< ours\n{text}=======\n{text}>>>>>>> theirs\n")
    with pytest.raises(
        InputError, match=r"holds both sides of a merge; take one side \(`git checkout --ours params.yaml"
    ):
        run_compose(monkeypatch)


def test_composing_waits_for_a_run(workspace, monkeypatch):
    (workspace / ".dvc" / "tmp").mkdir(parents=True)
    lock = {"write": {"data/x": {"pid": os.getpid(), "cmd": "/usr/bin/dvc repro"}}, "read": {}}
    (workspace / ".dvc/tmp/rwlock").write_text(json.dumps(lock))
    before = Path("params.yaml").read_bytes()
    with pytest.raises(InputError, match=rf"`dvc repro` \(process {os.getpid()}\) is running here"):
        run_compose(monkeypatch, "dataset=digits")
    assert Path("params.yaml").read_bytes() == before
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    lock["write"]["data/x"]["pid"] = done.pid
    (workspace / ".dvc/tmp/rwlock").write_text(json.dumps(lock))
    with pytest.raises(
        InputError, match=r"this folder is no Git repository with a commit.*run `git init && git add --all"
    ):
        run_compose(monkeypatch, "dataset=digits")
    committed()
    run_compose(monkeypatch, "dataset=digits")


BAD = [
    (
        "dataset=flihgts",
        r"unknown dataset=flihgts; did you mean 'flights'\? \(allowed: covertype, digits,",
    ),
    ("scale=huge", r"unknown scale=huge.*\(allowed: full, quick, smoke\)"),
    ("learners=[logistic_regresion]", r"unknown learners=logistic_regresion; did you mean 'logistic_regression'\?"),
    ("train.thread=1", r"unknown key train.thread; did you mean 'train.threads'\?"),
    (
        "+train.thread=1",
        r"unknown key train.thread; did you mean 'threads'\? \(allowed here: precision, seed, threads,",
    ),
    ("+trian.seed=1", r"unknown key trian; did you mean 'train'\?"),
    ("learners.small_nn.unit=3", r"unknown key learners.small_nn.unit; did you mean 'learners.small_nn.units'\?"),
    (
        "+learners.small_nn.width=3",
        r"unknown key learners.small_nn.width.*allowed here: batch_size, dimensions, epochs",
    ),
    ("learners.small_nn.units=wide", r"learners.small_nn.units='wide': input should be a valid integer"),
    ("learners.small_nn.units=0", r"learners.small_nn.units=0: input should be greater than or equal to 1"),
    ("learners.small_nn.units=8.5", r"learners.small_nn.units=8.5: input should be a valid integer"),
    ("learners.small_nn.kind=forest", r"learners.small_nn.kind='forest' is not known; allowed:.*'network'"),
    ("dataset.split=week", r"dataset.split='week': input should be 'random', 'day', 'group' or 'time'"),
    ("dataset.metric=auc", r"dataset.metric='auc': 'auc' is none of roc_auc, accuracy, error, log_loss, brier"),
    ("scale.replicates.least=2", r"scale.replicates.least=2: input should be greater than or equal to 3"),
    ("scale.replicates.least=13", r"scale.replicates.*most=6 is below least=13"),
    ("scale.n_settings=9", r"scale.n_settings=9 exceeds the 3 of learners.logistic_regression.settings"),
    ("scale.sizes=[1024,512]", r"scale.sizes=\[1024, 512\]: sizes must ascend without repeats from 32 or more"),
    ("scale.sizes=[]", r"scale.sizes=\[\]: .*at least 1 item"),
    ("scale.sizes=[1024,524288]", r"scale.sizes: 524288 exceeds the pool, at most 277346 rows.*lower scale.sizes"),
    ("evaluate.confidence=95", r"evaluate.confidence=95: input should be less than 1"),
    ("+plot.colors.small_nn=blue", r"plot.colors.small_nn='blue': .*pattern"),
    ("train.seed=-1", r"train.seed=-1: input should be greater than or equal to 0"),
    ("train.seed=true", r"train.seed=True: input should be a valid integer"),
    ("~train.seed", r"train.seed is missing"),
    ("train.seed=[1", r"train.seed=\[1"),
    ("grid.sizes=[64]", r"grid is derived from learners and scale.sizes; override those"),
    ("grid.learners=[typo]", r"grid is derived from learners and scale.sizes"),
    ("compose=1", r"compose"),
    ("plot.language=de", r"plot.language='de': input should be 'en' or 'ko'"),
    ("dataset.n_test=1", r"dataset.n_test=1: input should be greater than or equal to 16"),
    ("nonsense", r"nonsense"),
    ("advice.certainty=0.3", r"advice.certainty=0.3: input should be greater than 0.5"),
    (
        "evaluate.claims.simple=logistic_regresion",
        r"evaluate.claims.simple names 'logistic_regresion', which is no learner; did you mean 'logistic_regression'",
    ),
    (
        "evaluate.claims.networks=[small_nn,medium_nn,large_nn,larger_nn]",
        r"evaluate.claims.networks names 'larger_nn', which is no learner; did you mean 'large_nn'",
    ),
    (
        "evaluate.claims.engineered=[[engineered_logistics,logistic_regression]]",
        r"evaluate.claims.engineered names 'engineered_logistics', .*; did you mean 'engineered_logistic'",
    ),
    ("evaluate.claims.engineered=[[a]]", r"evaluate.claims.engineered.0=\['a'\]: .*at least 2 items"),
]


@pytest.mark.parametrize(("override", "message"), BAD, ids=[override for override, _ in BAD])
def test_bad_input_is_one_line_and_leaves_params_yaml_alone(workspace, monkeypatch, override, message):
    before = Path("params.yaml").read_bytes()
    with pytest.raises(InputError, match=message) as caught:
        run_compose(monkeypatch, override)
    assert "\n" not in str(caught.value).strip()
    assert Path("params.yaml").read_bytes() == before
    assert not list(workspace.glob(".params*"))


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (
            "learners/small_nn.yaml",
            "small: {units: 3}\n",
            "small_nn.yaml: the one key besides defaults must be small_nn",
        ),
        ("learners/Big-NN.yaml", "other: {}\n", "Big-NN.yaml: the one key besides defaults must be Big-NN"),
        ("config.yaml", "a: [1,\n", "conf/"),
        ("learners/small_nn.yaml", "- 1\n- 2\n", "conf/"),
        ("learners/unused.yaml", "- 1\n- {a: 2}\n", r"unused.yaml: the one key besides defaults must be unused"),
        ("learners/unused.yaml", "a: [1,\n", r"conf/learners/unused.yaml is no valid YAML"),
    ],
)
def test_a_broken_file_in_conf_is_named_in_one_line(workspace, monkeypatch, file, content, message):
    (workspace / "conf" / file).write_text(content)
    with pytest.raises(InputError, match=message):
        run_compose(monkeypatch)


def test_a_learner_name_that_cannot_name_a_stage_is_refused(workspace, monkeypatch):
    text = (workspace / "conf/learners/logistic_regression.yaml").read_text()
    (workspace / "conf/learners/a-1.yaml").write_text(text.replace("logistic_regression:\n", "a-1:\n", 1))
    with pytest.raises(InputError, match="the learner name 'a-1' may hold only a-z, 0-9 and _"):
        run_compose(monkeypatch, "learners=[a-1]")


def test_a_params_yaml_that_is_not_ours_is_refused_with_the_remedy(workspace, monkeypatch):
    for content in ("", "dataset: {name: flights}\n", "a: [1,\n", "- 1\n", "compose: {overrides: 3}\n"):
        Path("params.yaml").write_text(content)
        for arguments in ([], ["--check"]):
            with pytest.raises(
                InputError, match=r"write it anew with `python -m stages.compose --reset`|no valid YAML"
            ):
                run_compose(monkeypatch, *arguments)
        run_compose(monkeypatch, "--reset")
        checking.check()


def test_the_command_prints_one_line_and_exits_with_1(workspace):
    command = [sys.executable, "-m", "stages.compose", "dataset=flihgts"]
    done = subprocess.run(command, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: unknown dataset=flihgts")
    assert done.stdout == ""


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml")))
def test_a_named_study_composes_and_an_experiment_that_leaves_it_out_is_told(workspace, name):
    default, of_study = (yaml.safe_load(composing.composed(of)) for of in ([], [f"experiment={name}"]))
    assert of_study["dataset"] != default["dataset"]
    assert checking.not_taken_up(default, [f"experiment={name}"]) == [f"experiment={name}"]
    assert checking.not_taken_up(of_study, [f"experiment={name}"]) == []
