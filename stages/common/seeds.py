"""Seeds derived from names, so that no two purposes share a stream and none depends on the order of others."""

import hashlib


def seed_from(*names: str | int) -> int:
    """A seed in [0, 2**63) that depends on all the names and on nothing else."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
