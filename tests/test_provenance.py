"""What is known of the machine."""

import pytest

from stages.common import provenance


@pytest.mark.parametrize(
    ("groups", "limits", "expected"),
    [
        ("0::/app/job\n", {"memory.max": "max", "app/memory.max": "7000", "app/job/memory.max": "9000"}, 7000),
        ("5:cpu:/\n4:memory:/docker/a\n", {"memory/docker/a/memory.limit_in_bytes": "5000"}, 5000),
        ("0::/\n", {"memory.max": "max"}, None),
        (None, {}, None),
    ],
)
def test_the_memory_is_the_containers_where_that_is_less(tmp_path, groups, limits, expected):
    if groups is not None:
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/cgroup").write_text(groups)
    for name, limit in limits.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{limit}\n")
    found = provenance.memory(tmp_path)
    assert found == expected if expected else found > 100e6
