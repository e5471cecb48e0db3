"""Which learners the statements are about, where the config leaves it open."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from stages.contract.cell import Cell
from stages.evaluate.params import Claims, ClaimsAsked


def resolved(asked: ClaimsAsked, cells: Sequence[Cell]) -> Claims:
    """What was asked, with networks and engineered pairs found in the cells where they are None."""
    found = {"networks": networks_of(cells), "engineered": engineered_of(cells)}
    said = {key: value for key, value in asked.model_dump().items() if value is not None}
    claims = Claims.model_validate(found | said)
    networks = dict.fromkeys(cell.learner for cell in cells if cell.kind == "network")
    return claims.model_copy(update={"left_out": [name for name in networks if name not in claims.networks]})


def networks_of(cells: Sequence[Cell]) -> list[str]:
    """Networks of one recipe, from small to large by their parameters as trained; of several recipes the one of most
    networks."""
    networks = [cell for cell in cells if cell.kind == "network"]
    recipes = Counter(recipe for _, recipe in dict.fromkeys((cell.learner, cell.recipe) for cell in networks))
    if not recipes:
        return []
    chosen = max(recipes, key=lambda recipe: recipes[recipe])
    of_recipe = dict.fromkeys(cell.learner for cell in networks if cell.recipe == chosen)
    return sorted(of_recipe, key=lambda name: _n_parameters(name, networks))


def _n_parameters(learner: str, cells: Sequence[Cell]) -> float:
    """At the largest size where it has a fit; infinite where it has none."""
    fitted = [cell for cell in cells if cell.learner == learner and cell.n_parameters]
    return float(np.mean(max(fitted, key=lambda cell: cell.n_train).n_parameters or [])) if fitted else np.inf


def engineered_of(cells: Sequence[Cell]) -> list[list[str]]:
    """Pairs of learners of one kind and one estimator: with engineered features, and with raw ones."""
    learners = {cell.learner: cell for cell in cells}.values()
    return [
        [refined.learner, raw.learner]
        for refined in learners
        for raw in learners
        if (refined.features, raw.features) == ("engineered", "raw")
        and (refined.kind, refined.estimator) == (raw.kind, raw.estimator)
    ]
