"""`python -m stages.prune`: see stages.compose.prune."""

from stages.common.command import run
from stages.compose.prune import main

if __name__ == "__main__":
    run(main, has_arguments=False)
