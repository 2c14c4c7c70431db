import json

import pytest

from dms_jax.errors import UserError
from dms_jax.training.results import load_results, results_table, save_results


def output(mae, max_f, accuracy, defective_mae=0.25, defective_max_f=0.5):
    return {
        "mae": mae,
        "max_f": max_f,
        "threshold": 3,
        "pictures": 11,
        "defective": {"mae": defective_mae, "max_f": defective_max_f, "threshold": 9, "pictures": 4},
        "accuracy": accuracy,
    }


@pytest.fixture
def results():
    outputs = [output(0.125, 0.75, 0.5), output(0.0625, 0.875, 0.90625)]
    return {
        "network": "sdms",
        "size": "full",
        "ablation": "",
        "dataset": "mtdd",
        "dataset_config": "tiles",
        "split": "test",
        "selected_on": "validation",
        "steps": 20,
        "best_step": 15,
        **outputs[-1],
        "outputs": outputs,
    }


class TestFile:
    def test_comes_back_as_it_was(self, results, tmp_path):
        save_results(results, tmp_path, "test")
        assert load_results(tmp_path, "test") == results
        assert [path.name for path in (tmp_path / "eval").iterdir()] == ["test.json"]
        assert json.loads((tmp_path / "eval" / "test.json").read_text()) == results

    def test_is_replaced(self, results, tmp_path):
        save_results(results, tmp_path, "test")
        save_results({**results, "mae": None}, tmp_path, "test")
        assert load_results(tmp_path, "test")["mae"] is None

    def test_splits_are_apart(self, results, tmp_path):
        save_results(results, tmp_path, "validation")
        assert load_results(tmp_path, "test") is None
        assert load_results(tmp_path, "validation") == results

    def test_none_where_there_is_nothing(self, tmp_path):
        assert load_results(tmp_path, "test") is None
        assert load_results(tmp_path / "absent", "test") is None

    @pytest.mark.parametrize("number", [float("nan"), float("inf")])
    def test_refuses_what_is_not_json_and_keeps_the_earlier(self, results, tmp_path, number):
        save_results(results, tmp_path, "test")
        with pytest.raises(ValueError, match="JSON"):
            save_results({**results, "mae": number}, tmp_path, "test")
        assert load_results(tmp_path, "test") == results

    @pytest.mark.parametrize("text", [b"", b'{"mae": 0.1', b"\xff\xfe", b"[1, 2]", b"null"])
    def test_damaged_file(self, tmp_path, text):
        (tmp_path / "eval").mkdir()
        (tmp_path / "eval" / "test.json").write_bytes(text)
        with pytest.raises(UserError, match=r"eval/test\.json is not valid.*remove it") as caught:
            load_results(tmp_path, "test")
        assert caught.value.exit_code == 1


class TestTable:
    def test_says_what_was_measured_on_what(self, results):
        title, *_ = results_table(results).splitlines()
        assert title == (
            "SDMS on mtdd (tiles), test: 11 pictures, 4 of them defective; step 15, selected on validation"
        )

    @pytest.mark.parametrize(
        ("size", "ablation", "name"),
        [("full", "", "BDMS"), ("lite", "", "BDMS lite"), ("full", "e", "BDMS (e)"), ("small", "c", "BDMS small (c)")],
    )
    def test_names_the_network(self, results, size, ablation, name):
        changed = {**results, "network": "bdms", "size": size, "ablation": ablation}
        assert results_table(changed).startswith(f"{name} on mtdd ")

    def test_rows(self, results):
        _, headers, rule, *rows = results_table(results).splitlines()
        assert headers.split() == ["output", "MAE", "maxF", "MAE,", "defective", "maxF,", "defective", "accuracy"]
        assert set(rule) == {"-", " "}
        assert rows[0].split() == ["0", "0.12500", "0.75000", "0.25000", "0.50000", "0.50000"]
        assert rows[1].split() == ["1", "(final)", "0.06250", "0.87500", "0.25000", "0.50000", "0.90625"]
        assert len(rows) == 2

    def test_figures_that_do_not_exist(self, results):
        results["outputs"] = [output(0.5, 0.25, None, None, None)]
        assert results_table(results).splitlines()[-1].split() == ["0", "(final)", "0.50000", "0.25000", *["n/a"] * 3]

    def test_is_the_same_from_the_file(self, results, tmp_path):
        save_results(results, tmp_path, "test")
        assert results_table(load_results(tmp_path, "test")) == results_table(results)
