"""How learners look: traditional ones dashed, each its own colour and dash; networks solid, darker and thicker with
size. Light colours, and the dark twin of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

INK, SOFT, GRID, PAPER, ACCENT = "#1f2328", "#57606a", "#d8dee4", "#ffffff", "#0a5f8f"
TRADITIONAL = ("#636363", "#ac3f08", "#7a3fa0", "#1f7044", "#98205a", "#6e5c00")
NETWORKS = ("#2672b5", "#155089", "#0b2f5e", "#04122b")
DASHES: tuple[tuple[float, ...], ...] = (
    (4.0, 1.6),
    (1.2, 1.2),
    (6.0, 1.6, 1.2, 1.6),
    (8.0, 2.0),
    (3.0, 1.0, 1.0, 1.0, 1.0, 1.0),
    (2.4, 2.4),
)
MARKERS = ("o", "s", "D", "^", "v", "P")
DARK: Mapping[str, str] = {
    INK: "#e8eaed", SOFT: "#b1b8c0", GRID: "#3a424c", PAPER: "#15181d", ACCENT: "#7cc4ee",
    **dict(zip(TRADITIONAL, ("#b9b9b9", "#f2a277", "#cda8ee", "#7fd3a6", "#f19abd", "#dccb62"), strict=True)),
    **dict(zip(NETWORKS, ("#6fa9e3", "#97c4f2", "#c3defb", "#f0f7ff"), strict=True)),
}  # fmt: skip


@dataclass(frozen=True)
class Look:
    """dashes: lengths of strokes and gaps in widths of the line, none for a solid one."""

    label: str
    color: str
    width: float
    dashes: tuple[float, ...]
    marker: str

    @property
    def linestyle(self) -> object:
        return (0, self.dashes) if self.dashes else "solid"


def looks_of(labels: Mapping[str, str], networks: Sequence[str], colors: Mapping[str, str]) -> dict[str, Look]:
    """labels: of every learner, in their order; networks: from small to large; colors: as configured, by learner."""
    found: dict[str, Look] = {}
    n_others = 0
    for name, label in labels.items():
        if name in networks:
            place = min(networks.index(name), len(NETWORKS) - 1)
            look = Look(label, NETWORKS[place], 1.4 + 0.6 * place, (), "o")
        else:
            i = n_others % len(TRADITIONAL)
            look = Look(label, TRADITIONAL[i], 1.8, DASHES[i], MARKERS[i])
            n_others += 1
        found[name] = replace(look, color=colors.get(name, look.color))
    return found


def css(theme: str) -> str:
    """The variables that inline figures name their colours by."""
    pairs = ((light, dark if theme == "dark" else light) for light, dark in DARK.items())
    return "".join(f"{variable(light)}:{shown};" for light, shown in pairs)


def variable(light: str) -> str:
    return f"--x{light[1:]}"
