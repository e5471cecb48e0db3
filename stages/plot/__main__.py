"""Draw the figures and write the report from what `evaluate` measured."""

from stages.common import artefacts, params
from stages.common.artefacts import FIGURES, RESULTS
from stages.common.command import run
from stages.common.records import save_records
from stages.plot import pages
from stages.plot.figures.all import draw_all
from stages.plot.language import Words
from stages.plot.params import Plot
from stages.plot.story import measured
from stages.plot.story.report import report_of


def main() -> None:
    plot = params.load(Plot, "plot")
    words = Words(plot.language)
    of = measured.load(words)
    drawn = draw_all(of, words, plot)
    report = report_of(of, words, [figure.picture for figure in drawn.values()])
    for name, figure in drawn.items():
        artefacts.save_text(FIGURES / f"{name}.svg", figure.svgs["wide"])
        artefacts.save_bytes(FIGURES / f"{name}.png", figure.png)
    artefacts.save_text(RESULTS / "report.html", pages.html(report, words, drawn))
    artefacts.save_text(RESULTS / "report.md", pages.markdown(report, words))
    save_records(RESULTS / "report.json", report)
    artefacts.save_csv(RESULTS / "performance.csv", of.results.points(), ["learner", "labels", "value"])
    artefacts.save_text(RESULTS / "answer.txt", pages.terminal(of, report, words))


if __name__ == "__main__":
    run(main, has_arguments=False)
