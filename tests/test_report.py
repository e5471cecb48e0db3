"""What the report says of studies whose truth is planted: read off the page and compared with the truth."""

import csv
import itertools
import json
import re
import shlex
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

import stages
from stages.evaluate.__main__ import main as evaluate
from stages.plot.__main__ import main as plot
from stages.plot.language import STRINGS, Words, joined
from stages.plot.story import tables
from tests.planted import Planted, power, write

SIZES = (512, 1024, 2048, 4096, 8192, 16384)
NETWORKS = {"small_nn": 1_000, "medium_nn": 4_000, "large_nn": 16_000}
FLAT = [0.8] * 6


class Page(HTMLParser):
    """The text of elements by id or class, of tables by the id of their caption, of statements by their id."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, str] = {}
        self.verdicts: dict[str, str] = {}
        self.tables: dict[str, list[list[str]]] = {}
        self.table = ""
        self.feed(text)

    VOID = ("meta", "input", "br", "link")

    def handle_starttag(self, tag, attrs):
        said = {key: value or "" for key, value in attrs}
        if tag not in self.VOID:
            self.open.append((tag, said))
        if tag == "caption":
            self.table = said["id"]
            self.tables[self.table] = []
        if tag == "tr" and self.table:
            self.tables[self.table].append([])
        if tag in ("th", "td") and self.table:
            self.tables[self.table][-1].append("")
        if "data-statement" in said:
            self.verdicts[said["data-statement"]] = said["data-verdict"]

    def handle_endtag(self, tag):
        if tag == "table":
            self.table = ""
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        for tag, said in self.open:
            for name in (said.get("id"), *said.get("class", "").split(), said.get("data-statement")):
                if name:
                    self.texts[name] = self.texts.get(name, "") + data
            if tag in ("th", "td") and self.table:
                pass
        if self.table and self.open and any(tag in ("th", "td") for tag, _ in self.open):
            self.tables[self.table][-1][-1] += data


@pytest.fixture
def page_of(set_params, default_params) -> Callable[..., Page]:
    def made(of: Planted, language: str = "en", **advice: object) -> Page:
        set_params(**write(of, default_params, language, **advice))
        evaluate()
        plot()
        return Page(Path("results/report.html").read_text(encoding="utf-8"))

    return made


def number(text: str) -> float:
    return float(text.replace("\N{MINUS SIGN}", "-").replace(",", ""))


def gains(row: list[str]) -> tuple[float, float, float]:
    """Gain, low and high of a row of the ways to improve, over whom it says."""
    found = re.findall(r"[+\N{MINUS SIGN}]?\d+\.\d{4}", row[1])
    middle, low, high = map(number, found[:3])
    assert low <= middle <= high
    return middle, low, high


def networks(*curves: list[float]) -> dict[str, list[float]]:
    return dict(zip(NETWORKS, curves, strict=True))


RISING = power(SIZES, 0.05, 0.3, 0.4)
BY_SIZE = [power(SIZES, 0.02 + extra, 0.001, 0.4) for extra in (0.2, 0.1, 0.05)]
BOTH = [power(SIZES, 0.01 + extra, 0.2, 0.45) for extra in (0.16, 0.08, 0.04)]


def test_where_more_data_pays_and_a_bigger_network_does_not(page_of):
    page = page_of(Planted(SIZES, {"simple": FLAT, **networks(RISING, RISING, RISING)}, NETWORKS))
    assert page.texts["headline"] == "More labels will probably help. A bigger network probably will not."
    first = page.texts["sentence"]
    truth = power([SIZES[0], 2 * SIZES[-1]], 0.05, 0.3, 0.4)[1] - RISING[-1]
    ((told, low, high),) = [
        tuple(map(number, found))
        for found in re.findall(r"should bring a gain of (\S+) in Accuracy over .*goes from (\S+) to (\S+),", first)
    ]
    assert low <= truth <= high
    assert abs(told - truth) < 0.005
    assert "With 32,768 labels instead of 16,384" in first
    assert page.verdicts["plateau"] == "supported"
    assert page.verdicts["small_network"] == "supported"
    rows = {row[0].split(",")[0].split(":")[0]: row for row in page.tables["ways-table"][1:]}
    assert gains(rows["Twice the labels"])[0] > 0.0025
    assert rows["Twice the labels"][4] == "16,384"


def test_where_a_bigger_network_pays_and_more_data_does_not(page_of):
    page = page_of(Planted(SIZES, {"simple": FLAT, **networks(*BY_SIZE)}, NETWORKS))
    assert page.texts["headline"] == "A bigger network will probably help. More labels probably will not."
    assert page.verdicts["bigger_network"] == "supported"
    rows = page.tables["ways-table"][1:]
    assert [row[0] for row in rows if row[0].startswith("A network twice")]
    assert gains(next(row for row in rows if row[0].startswith("A network twice")))[0] > 0.0025
    assert abs(gains(next(row for row in rows if row[0].startswith("Twice the labels, for")))[0]) < 0.0025
    order = [gains(row)[0] for row in rows]
    assert order == sorted(order, reverse=True)


def test_where_both_pay(page_of):
    page = page_of(Planted(SIZES, {"simple": FLAT, **networks(*BOTH)}, NETWORKS))
    assert page.texts["headline"] == "More labels and a bigger network will both probably help."
    assert page.verdicts["both_scales"] == "supported"
    first, second = re.findall(r"should bring a gain of (\S+) in Accuracy", page.texts["sentence"])
    truth = power([SIZES[0], 2 * SIZES[-1]], 0.05, 0.2, 0.45)[1] - BOTH[-1][-1]
    assert abs(number(first) - truth) < 0.005
    assert number(second) > 0.0025
    rows = {row[0].split(",")[0].split(" (")[0]: gains(row) for row in page.tables["ways-table"][1:] if "twice" in
            row[0].lower()}  # fmt: skip
    both = rows["Twice the labels and twice the large network"]
    assert both[0] > max(rows["Twice the labels"][0], rows["A network twice as large as the large network"][0])
    assert "512 to 16,384 labels measured" in page.texts["holds"]
    step = re.findall(r"[+\N{MINUS SIGN}]\d\.\d{4}", page.texts["bigger_network"])
    assert list(map(number, step[:2])) == pytest.approx([BOTH[i + 1][-1] - BOTH[i][-1] for i in (0, 1)], abs=0.005)


def test_where_neither_pays(page_of):
    page = page_of(Planted(SIZES, {"simple": FLAT, **networks([0.9] * 6, [0.9] * 6, [0.9] * 6)}, NETWORKS))
    assert page.texts["headline"] == "Neither more labels nor a bigger network is likely to help."
    assert page.verdicts["bigger_network"] == "refuted"
    assert page.verdicts["small_network"] == "supported"
    for told in re.findall(r"should bring a gain of (\S+) in Accuracy", page.texts["sentence"]):
        assert abs(number(told)) < 0.0025
    chances = re.findall(r"is (less than )?(\d+)\N{NO-BREAK SPACE}%[;.]", page.texts["sentence"])
    assert len(chances) >= 2
    assert all(int(chance) <= 20 for _, chance in chances)
    small = re.findall(r"[+\N{MINUS SIGN}]\d\.\d{4}", page.texts["small_network"])
    assert number(small[0]) == pytest.approx(0.1, abs=0.005)


def test_where_it_cannot_be_told(page_of):
    wild = Planted(SIZES, {"simple": FLAT, **networks(RISING, RISING, RISING)}, NETWORKS, spread=0.03, n_test=300)
    page = page_of(wild)
    assert page.texts["headline"].endswith("Whether more labels do cannot be told yet.")
    (row,) = [row for row in page.tables["ways-table"][1:] if row[0].startswith("Twice the labels, for")]
    _, low, high = gains(row)
    assert low < 0.0025 < high
    chance, *_ = re.findall(r"the least worth having, is (\d+)\N{NO-BREAK SPACE}%", page.texts["sentence"])
    assert 20 <= int(chance) <= 80
    assert page.verdicts["both_scales"] == "inconclusive"


def test_where_the_simple_learner_is_enough(page_of):
    page = page_of(Planted(SIZES, {"simple": [0.9] * 6, **networks([0.88] * 6, [0.88] * 6, [0.88] * 6)}, NETWORKS))
    assert page.texts["headline"].startswith("Simple is enough. Neither")
    assert "that no learner" in page.texts["sentence"].lower()


def test_where_the_best_is_no_network(page_of):
    better = power(SIZES, 0.02, 0.3, 0.4)
    page = page_of(Planted(SIZES, {"simple": FLAT, "forest": better, **networks(RISING, RISING, RISING)}, NETWORKS))
    assert "today's best (forest, " in page.texts["sentence"]
    assert page.verdicts["both_scales"] == "refuted"
    rows = page.tables["ways-table"][1:]
    taken = next(row for row in rows if row[0].startswith("Another learner: forest"))
    _, low, high = gains(taken)
    assert low <= better[-1] - 0.8 <= high
    assert taken[2] == "Simple"


def test_one_learner(page_of):
    page = page_of(Planted(SIZES, {"simple": RISING}))
    assert page.texts["headline"] == "More labels will probably help. A bigger network was not studied."
    told = {name for name, verdict in page.verdicts.items() if verdict != "not tested"}
    assert told == {"plateau"}
    assert page.verdicts["plateau"] == "refuted"
    truth = power([SIZES[0], 2 * SIZES[-1]], 0.05, 0.3, 0.4)[1] - RISING[-1]
    (row,) = [row for row in page.tables["ways-table"][1:] if row[0].startswith("Twice the labels, for simple")]
    assert gains(row)[1] <= truth <= gains(row)[2]
    assert "network" not in page.texts["sentence"]


def test_one_size(page_of):
    page = page_of(Planted((512,), {"simple": [0.8], **networks([0.8], [0.85], [0.9])}, NETWORKS))
    told = "Whether a bigger network helps cannot be told yet. Too few sizes were run to tell of more labels."
    assert page.texts["headline"] == told
    assert page.verdicts["plateau"] == "not tested"
    assert page.verdicts["bigger_network"] == "supported"
    assert "512 labels" in page.texts["bigger_network"]
    assert not [row for row in page.tables.get("ways-table", [])[1:] if row[0].startswith("Twice the labels")]


def test_no_fit_at_all(page_of):
    curves = {"simple": FLAT, **networks(*BOTH)}
    page = page_of(Planted(SIZES, curves, NETWORKS, failed=frozenset(curves)))
    assert page.texts["headline"].startswith("This study cannot answer")
    assert "diverged" in page.texts["marked"]
    assert {cell for row in page.tables["table-1"][1:] for cell in row[1:]} == {"no usable fit"}
    assert set(page.verdicts.values()) == {"not tested"}


def test_new_groups(page_of):
    page = page_of(Planted(SIZES, {"simple": FLAT, **networks(RISING, RISING, RISING)}, NETWORKS, split="group"))
    assert "Groups of which nothing was learned" in page.texts["holds"]
    random = page_of(Planted(SIZES, {"simple": FLAT, **networks(RISING, RISING, RISING)}, NETWORKS))
    assert "drawn at random" in random.texts["holds"]


def test_a_million_labels(page_of):
    sizes = tuple(2**power for power in range(15, 21))
    curves = {"simple": FLAT, **networks(*BOTH)}
    page = page_of(Planted(sizes, curves, NETWORKS))
    assert page.verdicts["million"] == "supported"
    assert "1,048,576 labels" in page.texts["million"]


def test_prices_stand_beside_ways(page_of):
    curves = {"simple": FLAT, **networks(RISING, RISING, RISING)}
    page = page_of(Planted(SIZES, curves, NETWORKS), cost_per_label=0.5, cost_per_hour=36.0)
    row = next(row for row in page.tables["ways-table"][1:] if row[0].startswith("Twice the labels, for"))
    seconds = json.loads(Path("results/costs.json").read_text())["options"][0]["seconds"]
    assert number(row[6]) == pytest.approx(16384 * 0.5 + seconds / 100, abs=0.01)
    small = {row[0]: row[1] for row in page.tables["prices-table"][1:]}
    assert small["0.05 a label"] == "819"


@pytest.mark.parametrize("language", ["en", "ko"])
def test_every_number_of_the_tables_is_that_of_the_results(page_of, language):
    page = page_of(Planted(SIZES, {"simple": FLAT, **networks(*BOTH)}, NETWORKS), language)
    with Path("results/curves.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "accuracy"]
    shown = page.tables["table-1"][1:]
    names = dict.fromkeys(row["learner"] for row in rows)
    by_learner = {name: [row for row in rows if row["learner"] == name] for name in names}
    assert len(shown) == len(by_learner) == 4
    for cells, of_learner in zip(shown, by_learner.values(), strict=True):
        for cell, row in zip(cells[1:], of_learner, strict=True):
            expected = [round(float(row[key]), 4) for key in ("mean", "low", "high")]
            assert list(map(number, re.findall(r"\d\.\d{4}", cell))) == pytest.approx(expected, abs=1.01e-4)
    advice = json.loads(Path("results/advice.json").read_text())
    for way, row in zip(advice["ways"], page.tables["ways-table"][1:], strict=True):
        assert gains(row) == pytest.approx([way["gain"][key] for key in ("median", "low80", "high80")], abs=5.1e-5)
    claims = json.loads(Path("results/claims.json").read_text())
    assert page.verdicts == {claim["id"]: claim["verdict"] for claim in claims}
    for claim in claims:
        evidence = claim["evidence"]
        if evidence["effect"] is not None and claim["id"] != "small_data":
            text = page.texts[claim["id"]]
            shown_number = re.findall(r"[+\N{MINUS SIGN}]?\d\.\d{4}", text)[-3:]
            assert list(map(number, shown_number)) == pytest.approx(
                [evidence[key] for key in ("effect", "low", "high")], abs=5.1e-5
            )


@pytest.mark.parametrize("language", ["en", "ko"])
def test_every_number_of_the_other_tables_and_of_the_cards_is_that_of_the_results(page_of, language):
    page = page_of(Planted(SIZES, {"simple": FLAT, **networks(*BOTH)}, NETWORKS), language)
    shapes, costs = (json.loads(Path(f"results/{name}.json").read_text()) for name in ("shapes", "costs"))
    overtakes = page.tables["table-2"][1:]
    assert len(overtakes) == len(shapes["overtakes"]) > 0
    for row, item in zip(overtakes, shapes["overtakes"], strict=True):
        ends = [item[key] or item["largest"] for key in ("low", "high")]
        middle = [] if item["n_labels"] == item["smallest"] else [item["n_labels"] or item["largest"]]
        assert numbers(row[2]) == [*middle, *ends]
    equal = page.tables["equal-table-1"][1:]
    assert len(equal) == len(shapes["equal_quality"]) > 0
    for row, item in zip(equal, shapes["equal_quality"], strict=True):
        of_n, of_value = numbers(row[1])
        assert (of_n, of_value) == (item["of_n_train"], pytest.approx(item["value"], abs=5.1e-5))
        needed = [item[key] if item[key] is not None else item["largest"] for key in ("n_labels", "low", "high")]
        assert numbers(row[2]) == (needed if len(set(numbers(row[2]))) > 1 else needed[:1])
        worth = [item[key] for key in ("times", "times_low", "times_high") if item[key]]
        assert len(numbers(row[3])) in {len(worth), min(1, len(worth))}
        for told, expected in zip(numbers(row[3]), worth, strict=False):
            assert told == pytest.approx(expected, abs=0.051 if expected < 10 else 0.51)
    seconds = {(cell["learner"], cell["n_train"]): cell["fit_seconds"] for cell in costs["cells"]}
    shown = [number(cell) for row in page.tables["equal-table-2"][1:] for cell in row[1:]]
    in_order = [seconds[learner, n] for learner in ("simple", *NETWORKS) for n in SIZES]
    assert shown == pytest.approx(in_order, abs=0.51)
    with Path("results/forecast.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "forecast" and row["metric"] == "accuracy"]
    by_learner = itertools.groupby(rows, key=lambda row: row["learner"])
    for row, (_, points) in zip(page.tables["forecast-table-1"][1:], by_learner, strict=True):
        expected = [float(point[key]) for point in points for key in ("predicted", "low80", "high80")]
        assert [x for cell in row[1:] for x in numbers(cell)] == pytest.approx(expected, abs=5.1e-5)
    record = [table for name, table in page.tables.items() if name.startswith("forecast-table")][-1][1:]
    for row, grade in zip(record, shapes["backtests"], strict=True):
        errors = [grade["mean_log_error"], grade["last_value_log_error"]]
        assert [number(cell) for cell in row[1:3]] == pytest.approx(errors, abs=5.1e-5)
        assert sorted(numbers(row[3])) == sorted([grade["covered80"], grade["n_forecasts"]])
    claims = {claim["id"]: claim["evidence"] for claim in json.loads(Path("results/claims.json").read_text())}
    steps = [test["gain"] for test in claims["bigger_network"]["tests"]]
    told_steps = re.findall(r"[+\N{MINUS SIGN}]\d\.\d{4}", page.texts["bigger_network"])[: len(steps)]
    assert list(map(number, told_steps)) == pytest.approx(steps, abs=5.1e-5)
    learners = {cell["learner"]: cell for cell in json.loads(Path("results/cells.json").read_text())}
    assert {number(row[1]) for row in page.tables["cells-table"][1:]} == set(SIZES)
    assert len(page.tables["cells-table"]) == 1 + len(SIZES) * len(learners)


def numbers(text: str) -> list[float]:
    return [number(found) for found in re.findall(r"\d[\d,]*\.?\d*", text)]


def test_the_study_can_be_made_again_as_the_page_says(page_of):
    page_of(Planted(SIZES, {"simple": FLAT, **networks(*BOTH)}, NETWORKS))
    told = json.loads(Path("results/report.json").read_text())["commands"]
    composing = next(shlex.split(line) for line in told if "stages.compose" in line)
    assert composing == ["python", "-m", "stages.compose", "--reset", "dataset.target=it's"]
    assert all(line in Path("results/report.md").read_text() for line in told)


def test_of_many_classes_the_page_tells_the_first(page_of, monkeypatch):
    monkeypatch.setattr(tables, "MOST_CLASSES", 1)
    page = page_of(Planted(SIZES, {"simple": FLAT, **networks(*BOTH)}, NETWORKS))
    with Path("results/classes.csv").open() as file:
        names = list(dict.fromkeys(row["class"] for row in csv.DictReader(file)))
    assert len(names) == 2
    assert {row[0] for row in page.tables["classes-table"][1:]} == {names[0]}
    assert "the first 1 of 2 classes" in page.texts["classes-table"]


def test_every_sentence_stands_in_both_languages_with_the_same_numbers_put_in():
    contents = {path.stem: dict(flat(yaml.safe_load(path.read_text(encoding="utf-8")))) for path in STRINGS.iterdir()}
    assert set(contents) == {"en", "ko"}
    assert contents["en"].keys() == contents["ko"].keys()
    for name, text in contents["en"].items():
        fields = [set(re.findall(r"\{(\w+)\}", said.lower())) for said in (text, contents["ko"][name])]
        assert fields[0] == fields[1] or name.startswith("statements.million"), name


def flat(content: dict, before: str = ""):
    for key, value in content.items():
        if isinstance(value, dict):
            yield from flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def test_what_earlier_stages_tell_of_cells_is_told_in_korean(page_of):
    """Test rows of few groups, and a learner without a usable fit: marks as evaluate writes them."""
    truth = Planted(SIZES, {"simple": FLAT, **networks(*BOTH)}, NETWORKS, failed=frozenset({"simple"}), spread=0.01)
    texts = page_of(truth, "ko").texts
    cells = json.loads(Path("results/cells.json").read_text())
    marks = {mark for cell in cells for mark in cell["marks"]}
    assert len(marks) > 2
    assert not [mark for mark in marks if mark in texts["marked"]]
    assert "발산: no number" in texts["marked"]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("2 replicates say next to nothing about their spread", "반복 2개는"),
        ("any two replicates share about 64% of their rows; how much draws vary is not known", "64%"),
        ("the column 'a' is read as numbers: 'x' in 3 rows counts as missing; '<5' in 2 rows counts as its number",
         "열 'a'를 숫자로 읽었다: 3개 행의 'x'는 결측으로 센다; 2개 행의 '<5'는"),
        ("unconverged: held-out log loss 0.7000, no better than the constant predictor's 0.6931", "0.6931보다"),
    ],
)  # fmt: skip
def test_a_sentence_of_an_earlier_stage_in_korean(told, expected):
    assert expected in Words("ko").told(told)
    assert Words("en").told(told) == told


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("로그 손실은(는) 정확도을(를)", "로그 손실은 정확도를"), ("그래디언트 부스팅(으)로", "그래디언트 부스팅으로"),
        ("0.0033을(를) 0.0025을(를)", "0.0033을 0.0025를"), ("로지스틱 회귀(으)로", "로지스틱 회귀로"),
        ("1k과(와) svm이(가)", "1k와 svm이"), ("0.7(으)로 95 %(으)로", "0.7로 95 %로"), ("'a'은(는)", "'a'는"),
    ],
)  # fmt: skip
def test_korean_particles_take_the_form_that_the_last_sound_asks_for(given, expected):
    assert joined(given) == expected


def test_what_is_no_such_sentence_stays_as_it_is():
    assert Words("ko").told("somebody's own words; and {more}") == "somebody's own words; and {more}"


def test_every_sentence_of_earlier_stages_is_one_that_they_write():
    """Nearly all neighbouring words of a sentence stand beside each other in the code of a stage too."""
    code = "".join(path.read_text() for path in Path(stages.__file__).parent.rglob("*.py"))
    code = re.sub(r'"\s*\n\s*f?"', "", code).replace('\\"', '"')
    for name, sentence in Words("en").section("told").items():
        words = [piece.split() for piece in re.split(r"\{\w+\}|[;:(]", sentence)]
        pairs = [f"{one} {two}" for piece in words for one, two in itertools.pairwise(piece)]
        assert sum(pair not in code for pair in pairs) <= max(1, 0.1 * len(pairs)), name
