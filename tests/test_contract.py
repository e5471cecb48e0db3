"""What stages write, as typed records and as JSON schemas."""

import json

import pytest

from stages.common.artefacts import save_json
from stages.common.errors import InputError
from stages.common.records import load_records, save_records
from stages.contract.__main__ import RECORDS, main
from stages.contract.cell import Cell
from tests import records
from tests.conftest import ROOT


@pytest.mark.parametrize("name", ["cells.json", "claims.json", "advice.json", "costs.json"])
def test_the_recorded_results_are_such_records_and_are_written_as_they_are(name, tmp_path):
    path = ROOT / "results" / name
    found = load_records(path, RECORDS[name])
    save_records(tmp_path / name, found)
    assert (tmp_path / name).read_bytes() == path.read_bytes()


def test_what_was_not_given_is_not_written(tmp_path):
    save_records(tmp_path / "cell.json", records.cell("a", 64))
    assert "name" not in json.loads((tmp_path / "cell.json").read_text())


def test_another_content_is_refused_with_its_place(tmp_path):
    content = records.cell("a", 64).model_dump() | {"status": "fine"}
    save_json(tmp_path / "cell.json", content)
    with pytest.raises(InputError, match=r"cell.json: status input should be 'ok'.*make it anew with `dvc repro`"):
        load_records(tmp_path / "cell.json", Cell)


def test_a_schema_of_each_is_exported(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["contract", "--out", str(tmp_path)])
    main()
    assert "10 schemas" in capsys.readouterr().out
    schema = json.loads((tmp_path / "cell.schema.json").read_text())
    assert {"learner", "n_train", "status", "settings"} <= set(schema["properties"])
    assert schema["properties"]["n_train"] == {"title": "N Train", "type": "integer"}
    assert json.loads((tmp_path / "claims.schema.json").read_text())["type"] == "array"
