"""What an audit of the study that lies here takes, over its fits, and whether a replay gives equal bits.

python -m benchmarks.audit --out FILE [--rounds 2] [--replay 2]
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from stages.common import artefacts
from stages.common.artefacts import RESULTS, Json


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--replay", type=int, default=2, help="cells trained anew in each round, drawn by lot")
    arguments = parser.parse_args()
    costs = artefacts.load_json(RESULTS / "costs.json")
    of_fits = sum(of["fit_seconds"] for part in ("cells", "tuning") for of in costs[part])
    rounds = [one_round(arguments.replay) for _ in range(arguments.rounds)]
    seconds = median(of["seconds"] for of in rounds)
    found: Json = {
        "seconds": seconds,
        "over_seconds_of_fits": round(seconds / of_fits, 3),
        "replayed": {name: told for of in rounds for name, told in of["replayed"].items()},
        "rounds": rounds,
    }
    artefacts.save_json(arguments.out, found)
    print(json.dumps(found, indent=1))


def one_round(n_cells: int) -> Json:
    """Without a replay, and with one."""
    started = time.perf_counter()
    plain = audited()
    seconds = time.perf_counter() - started
    started = time.perf_counter()
    again = audited("--replay", str(n_cells))
    checks = [check for check in again["checks"] if check["name"].startswith("replay of ")]
    return {
        "seconds": round(seconds, 1),
        "seconds_with_replay": round(time.perf_counter() - started, 1),
        "verdicts": [plain["verdict"], again["verdict"]],
        "replayed": {check["name"].removeprefix("replay of "): check["observed"] for check in checks},
    }


def audited(*arguments: str) -> Json:
    command = [sys.executable, "-m", "stages.audit", "--json", *arguments]
    found: Json = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
    return found


if __name__ == "__main__":
    main()
