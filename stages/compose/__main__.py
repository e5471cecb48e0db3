"""conf/ and overrides become params.yaml.

python -m stages.compose                  compose again, keeping the overrides that params.yaml records
python -m stages.compose scale=full ...   add or replace overrides, and record them
python -m stages.compose --table my.csv --target y   a table of one's own; names are taken as they stand
python -m stages.compose --reset [...]    drop the recorded overrides first
python -m stages.compose --check          does params.yaml still say what conf/ and its overrides say?
"""

import argparse

from stages.common import artefacts
from stages.common.command import run
from stages.common.params import PARAMS, Grid, load
from stages.compose.checking import check, keep_edits
from stages.compose.composing import COMMAND, composed
from stages.compose.overrides import flagged, inside, merged
from stages.compose.record import recorded_overrides
from stages.compose.surroundings import refuse_while_a_run_is_on, refuse_without_git

FLAGS = {
    "table": "a CSV or Parquet file",
    "target": "the column to predict",
    "group": "a column of what belongs together",
    "time": "a column to order rows by",
}


def main() -> None:
    parser = argparse.ArgumentParser(prog=COMMAND, description="Compose conf/ and overrides into params.yaml.")
    parser.add_argument("--check", action="store_true", help="only compare params.yaml with conf/")
    parser.add_argument("--reset", action="store_true", help="drop the recorded overrides")
    for flag, what in FLAGS.items():
        parser.add_argument(f"--{flag}", help=f"{what}, taken as it stands")
    parser.add_argument("overrides", nargs="*", help="Hydra overrides, such as dataset=digits or train.seed=1")
    arguments = parser.parse_args()
    new = flagged({flag: getattr(arguments, flag) for flag in FLAGS}) + arguments.overrides
    if arguments.check:
        if new or arguments.reset:
            parser.error("--check compares with the recorded overrides; give it alone")
        check()
        return
    refuse_while_a_run_is_on()
    refuse_without_git()
    overrides = [inside(o) for o in merged([] if arguments.reset else recorded_overrides(), new)]
    text = composed(overrides)
    before = PARAMS.read_text(encoding="utf-8") if PARAMS.is_file() else None
    if before is not None and not arguments.reset:
        keep_edits(before, text)
    if text != before:
        artefacts.save_text(PARAMS, text)
    made_with = f" with {' '.join(overrides)}" if overrides else ""
    print(f"compose: params.yaml {'unchanged' if text == before else 'written'}{made_with}")
    grid = load(Grid, "grid")
    artefacts.prune(grid.learners, grid.sizes)


if __name__ == "__main__":
    run(main)
