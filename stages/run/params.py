"""What `run` reads of `train`."""

from pydantic import Field

from stages.common.params import Section


class TimeLimit(Section):
    timeout_seconds: int = Field(default=3600, ge=1)
