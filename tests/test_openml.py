"""OpenML: fetched by scikit-learn from a server on this machine that speaks OpenML's protocol."""

import hashlib
import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets._openml as protocol
import yaml

from stages.common.errors import InputError
from stages.compose import composing
from stages.prepare.sources import openml
from tests.conftest import asked_of, source_of

N = 300
COLUMNS = [("length", "numeric"), ("colour", "nominal"), ("kind", "nominal")]


def arff() -> bytes:
    random = np.random.default_rng(0)
    kinds = random.integers(2, size=N)
    rows = [
        f"{x:.3f},{random.choice(['red', 'blue'])},{'ab'[k]}" for x, k in zip(random.normal(kinds), kinds, strict=True)
    ]
    rows[7] = "?,red,a"
    head = [
        "@RELATION toy",
        "@ATTRIBUTE length NUMERIC",
        "@ATTRIBUTE colour {red,blue}",
        "@ATTRIBUTE kind {a,b}",
        "@DATA",
    ]
    return "\n".join(head + rows + [""]).encode()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        features = [
            {"index": str(i), "name": name, "data_type": of, "is_target": str(name == "kind").lower(),
             "is_ignore": "false", "is_row_identifier": "false", "number_of_missing_values": "0"}
            for i, (name, of) in enumerate(COLUMNS)
        ]  # fmt: skip
        address = f"http://127.0.0.1:{self.connection.getsockname()[1]}"
        description = {
            "id": "77", "name": "toy", "version": "3", "format": "ARFF", "status": "active", "description": "a toy",
            "licence": "CC0", "url": f"{address}/toy.arff", "md5_checksum": hashlib.md5(arff()).hexdigest(),
        }  # fmt: skip
        answers = {
            "/api/v1/json/data/77": json.dumps({"data_set_description": description}).encode(),
            "/api/v1/json/data/features/77": json.dumps({"data_features": {"feature": features}}).encode(),
            "/api/v1/json/data/qualities/77": json.dumps(
                {"data_qualities": {"quality": [{"name": "NumberOfInstances", "value": str(float(N))}]}}
            ).encode(),
            "/toy.arff": arff(),
        }
        found = answers.get(self.path)
        self.send_response(200 if found else 412)
        self.end_headers()
        self.wfile.write(found or b'{"error": {"code": "111", "message": "Unknown dataset"}}')

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch):
    """scikit-learn's addresses of OpenML lead to this server until it is shut down."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        for name in ("_DATA_INFO", "_DATA_FEATURES", "_DATA_QUALITIES"):
            address = getattr(protocol, name).replace(
                "https://www.openml.org", f"http://127.0.0.1:{running.server_port}"
            )
            monkeypatch.setattr(protocol, name, address)
        yield running
        running.shutdown()


def test_a_fetched_data_set_is_a_table_with_its_origin(workspace, server):
    found = openml.measure(asked_of("openml", id=77))
    assert found["n_rows"] == N
    assert found["target"] == "kind"
    table = openml.load(source_of("openml", id=77, **{k: found[k] for k in ("target", "n_rows", "n_test", "split")}))
    assert (table.title, table.licence, table.classes) == ("toy, version 3", "CC0", ["a", "b"])
    assert "openml.org/d/77" in table.source
    assert {card.name: card.kind for card in table.columns} == {"length": "numeric", "colour": "categorical"}
    assert table.columns[0].missing == 1


def test_compose_fetches_once_and_records_the_rest(workspace, server):
    text = composing.composed(["dataset=openml", "dataset.id=77"])
    assert openml.load(source_of("openml", id=77, target="kind", n_rows=N, n_test=75, split="random")).n_read == N
    server.shutdown()
    assert composing.composed(["dataset=openml", "dataset.id=77"]) == text


def test_a_teammate_without_the_raw_file_and_without_a_network_composes_what_is_recorded(workspace, server):
    text = composing.composed(["dataset=openml", "dataset.id=77"])
    Path("params.yaml").write_text(text)
    shutil.rmtree("data/raw")
    server.shutdown()
    server.server_close()
    wider = composing.composed(["dataset=openml", "dataset.id=77", "plot.language=ko"])
    assert yaml.safe_load(wider)["dataset"] == yaml.safe_load(text)["dataset"]
    with pytest.raises(InputError, match=r"data set 78 cannot be fetched"):
        composing.composed(["dataset=openml", "dataset.id=78"])
    with pytest.raises(InputError, match=r"data set 77 cannot be fetched"):  # another test set, another pool
        composing.composed(["dataset=openml", "dataset.id=77", "dataset.n_test=100"])


def test_an_unknown_number_and_no_network_are_one_line_and_leave_nothing(workspace, server):
    with pytest.raises(InputError, match=r"data set 78 cannot be fetched"):
        openml.fetched(78)
    server.shutdown()
    server.server_close()
    with pytest.raises(InputError, match=r"data set 77 cannot be fetched \(.*\); is there a network\?"):
        openml.fetched(77)
    assert not (workspace / "data" / "raw").exists()


def test_a_number_is_needed(workspace):
    with pytest.raises(InputError, match=r"dataset\.id is missing"):
        composing.composed(["dataset=openml"])


def test_covertype_and_higgs_are_openml_s(workspace, server):
    for name, number in (("covertype", 1596), ("higgs", 42769)):
        with pytest.raises(InputError, match=f"OpenML's data set {number} cannot be fetched"):
            composing.composed([f"dataset={name}"])
