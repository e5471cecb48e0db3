"""Train one cell: `python -m stages.train LEARNER N_TRAIN`; or tune once for all large sizes: `--tune LEARNER`.

This process imports nothing that takes time: it starts another one that fits, warm where a server is there, and stops
it where it takes longer than train.timeout_seconds.
"""

import sys

from stages.train.parent import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
