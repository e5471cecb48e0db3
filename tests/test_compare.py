"""What is different between two commits' studies is told, in its parts."""

import pytest

from tests.clones import Clone

pytestmark = [pytest.mark.pipeline, pytest.mark.slow]


def told(clone: Clone, *revisions: str) -> dict[str, list[str]]:
    """Lines by part."""
    parts = clone("python", "-m", "stages.compare", *revisions).split("\n\n")[1:]
    return {lines[0].split(" (")[0]: [line.strip() for line in lines[1:]] for lines in (p.splitlines() for p in parts)}


def test_another_seed_and_a_changed_network(copy):
    before = copy("git", "rev-parse", "HEAD").strip()
    assert all(lines == ["the same"] for lines in told(copy, before).values())
    copy.compose("learners.small_nn.units=16", "evaluate.claims.settled_tau=-0.9")
    copy.repro()
    found = told(copy, before)
    assert "learners.small_nn.units: 8 -> 16" in found["params"]
    assert "evaluate.claims.settled_tau: 0.8 -> -0.9" in found["params"]
    assert found["data"] == found["environment"] == ["the same"]
    assert found["cells"] == ["2 of 6 that both have hold other predictions, such as small_nn-64"]
    assert len(found["curves"]) == 2, found["curves"]
    assert all(line.startswith("small_nn-") and " noise (" in line for line in found["curves"]), found["curves"]
    copy.commit("sixteen units")
    assert told(copy, before, "HEAD") == found
    assert "is no commit here" in copy("python", "-m", "stages.compare", "nothing", fails=True)
