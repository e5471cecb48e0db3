"""Which learners the statements are about, where the config leaves it open."""

from stages.evaluate.params import ClaimsAsked
from stages.evaluate.roles import engineered_of, networks_of, resolved
from tests.records import cell

CELLS = [
    cell("logistic", 64, kind="logistic_regression", estimator="logistic_regression", recipe=None),
    cell(
        "splined", 64, kind="logistic_regression", estimator="logistic_regression", recipe=None, features="engineered"
    ),
    cell("forest", 64, kind="estimator", estimator="sklearn.ensemble.RandomForestClassifier", recipe=None),
    cell("wide", 64, n_parameters=[900, 900, 910]),
    cell("narrow", 64, n_parameters=[70, 70, 71]),
    cell("narrow", 128, n_parameters=[80, 80, 81]),
    cell("other", 64, recipe="another", n_parameters=[5, 5, 5]),
    cell("failed", 64, n_parameters=None),
]  # fmt: skip
ASKED = ClaimsAsked(alpha=0.05, simple="logistic", networks=None, settled_tau=0.8, engineered=None)


def test_networks_are_those_of_the_recipe_that_most_follow_from_small_to_large():
    assert networks_of(CELLS) == ["narrow", "wide", "failed"]
    assert networks_of(CELLS[:3]) == []


def test_engineered_pairs_differ_in_their_features_alone():
    assert engineered_of(CELLS) == [["splined", "logistic"]]


def test_what_is_said_stands():
    said = ASKED.model_copy(update={"networks": ["other"], "engineered": []})
    assert resolved(said, CELLS).networks == ["other"]
    assert resolved(said, CELLS).engineered == []
    assert resolved(ASKED, CELLS).networks == ["narrow", "wide", "failed"]
    assert resolved(ASKED, CELLS).left_out == ["other"]
    assert resolved(said, CELLS).left_out == ["wide", "narrow", "failed"]
