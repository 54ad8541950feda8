"""The driver of batch jobs: what of an input comes out, and what happens to mini batches that fail."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from azureml_local.batch import mlflow_script, options, worker
from azureml_local.batch.files import NoData
from azureml_local.batch.lane import RunFailed
from azureml_local.batch.run import BatchRun
from tests.docs.documents import named

Score = Callable[..., str]


@pytest.fixture
def score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Score:
    """Runs a script over files of these names with these options; returns the rows that were written."""
    wd, data = tmp_path / "wd", tmp_path / "data"
    for folder in (wd, data, tmp_path / "out"):
        folder.mkdir()
    monkeypatch.chdir(wd)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")

    def run(script: str, names: str = "a b c", *given: str) -> str:
        (wd / "score.py").write_text(script if "def init" in script else f"def init(): pass\n{script}")
        for name in names.split():
            (data / name).parent.mkdir(exist_ok=True)
            (data / name).write_text(name)
        line = ["--input", str(data), "--score", str(tmp_path / "out"), "--script", "score.py", *given]
        BatchRun(options.read(line, Path("none"))).run()
        rows = tmp_path / "out" / "predictions.csv"
        return rows.read_text() if rows.exists() else ""

    return run


NAMES = "import os\ndef run(mini_batch): return [os.path.basename(name) for name in mini_batch]\n"


def test_rows_come_in_the_order_of_the_files_whoever_scores_them(score: Score) -> None:
    given = ("--mini_batch_size", "2", "--process_count_per_node", "2", "--NodeCount", "2")
    assert score(NAMES, "e d c b a", *given) == "a\nb\nc\nd\ne\n"
    overview = Path("logs/job_progress_overview.txt").read_text()
    assert "3 mini batches of up to 2 files." in overview
    assert "5 files succeeded, 0 failed." in overview


def test_the_step_says_how_far_it_is_as_documented(score: Score, capfd: pytest.CaptureFixture[str]) -> None:
    score(NAMES.replace("]\n", " if not name.endswith('/d')]\n"), "a b c d e", "--mini_batch_size", "2")
    assert capfd.readouterr().out.strip() == named("batch-progress").text


def test_files_in_folders_below_are_left_out_and_counted(score: Score) -> None:
    assert score(NAMES, "a sub/b") == "a\n"
    assert (
        "1 files in folders below the input are left out."
        in Path("logs/job_progress_overview.txt").read_text()
    )


def test_a_table_is_written_without_header_between_blanks(score: Score) -> None:
    script = "import pandas\ndef run(files): return pandas.DataFrame({'x': [1, 2], 'y': ['a', 'b c']})\n"
    assert score(script, "a") == '1 a\n2 "b c"\n'


def test_a_script_that_writes_for_itself_has_no_file_of_rows(score: Score, tmp_path: Path) -> None:
    script = """
import os, sys
def run(files):
    print("said")
    with open(os.path.join(os.environ["AZUREML_BI_OUTPUT_PATH"], "own.txt"), "w") as file:
        file.write(" ".join(sys.argv[1:]))
    return files
"""
    assert score(script, "a", "--summary-only", "--logging_level", "DEBUG") == ""
    assert (tmp_path / "out" / "own.txt").read_text() == "--logging_level DEBUG"
    assert Path("logs/user/stdout/0/process000.stdout.txt").read_text() == "said\n"


def test_a_model_lies_in_a_folder_of_its_own_name(score: Score, tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_text("weights")
    script = "import os, glob\ndef run(files): return glob.glob(os.environ['AZUREML_MODEL_DIR'] + '/*')\n"
    rows = score(script, "a", "--model", str(tmp_path / "model.bin"), "--model-version", "m/3")
    assert rows == f"{tmp_path}/azureml-models/m/3/model.bin\n"


BAD = """
import os
def run(files):
    names = [os.path.basename(name) for name in files]
    if "b" in names:
        raise ValueError("no b")
    return names
"""


def test_a_mini_batch_that_fails_is_tried_again_and_then_left_out(score: Score) -> None:
    assert score(BAD, "a b c", "--mini_batch_size", "1", "--run_max_try", "2") == "a\nc\n"
    overview = Path("logs/job_progress_overview.txt").read_text()
    assert "2 files succeeded, 1 failed." in overview
    assert "mini batch 1: 1 files, 1 failed of b" in overview
    assert Path("logs/user/error.txt").read_text() == "mini batch 1: ValueError: no b\n" * 2


def test_more_failed_files_than_the_threshold_allows_end_the_job(score: Score) -> None:
    sizes = ("--mini_batch_size", "1", "--run_max_try", "1")
    with pytest.raises(RunFailed, match="1 files failed, and 0 may"):
        score(BAD, "a b c", *sizes, "--error_threshold", "0")
    # The rows of the failed job were not kept for the next one.
    assert score(BAD, "a b c", *sizes, "--error_threshold", "1") == "a\nc\n"


def test_a_result_with_too_few_elements_has_failed_files(score: Score) -> None:
    script = "def run(files): return files[:1]\n"
    with pytest.raises(RunFailed, match="2 files failed, and 1 may"):
        score(script, "a b c", "--error_threshold", "1")


def test_a_job_without_any_result_fails(score: Score) -> None:
    with pytest.raises(RunFailed, match="No succeeded mini batch item"):
        score("def run(files): return []\n")


def test_a_result_that_is_no_list_fails(score: Score) -> None:
    with pytest.raises(RunFailed, match="No succeeded mini batch item"):
        score("def run(files): return None\n", "a")
    assert "must return a pandas DataFrame or a list, not NoneType" in Path("logs/user/error.txt").read_text()


def test_a_try_that_takes_too_long_is_ended_and_fails_the_job_at_last(score: Score) -> None:
    script = "import time\ndef run(files): time.sleep(600)\n"
    with pytest.raises(RunFailed, match=r"No progress update in 0\.2 seconds"):
        score(script, "a", "--run_invocation_timeout", "0.2", "--run_max_try", "2")
    assert Path("logs/user/error.txt").read_text().count("within 0.2 seconds") == 2


def test_a_worker_that_dies_is_followed_by_another(score: Score) -> None:
    script = """
import os
from pathlib import Path
def run(files):
    if not Path("died").exists():
        Path("died").touch()
        os._exit(3)
    return files
"""
    assert score(script, "a").endswith("/a\n")
    assert "ended with status 3" in Path("logs/user/error.txt").read_text()


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("def init(): raise KeyError('weights')\ndef run(files): return files\n", "KeyError: 'weights'"),
        ("import sys\ndef init(): sys.exit(4)\ndef run(files): return files\n", "SystemExit: 4"),
        ("def init(): pass\n", r"score\.py must define run\(\)"),
    ],
)
def test_a_script_that_cannot_begin_fails_the_job(score: Score, script: str, why: str) -> None:
    with pytest.raises(RunFailed, match=why):
        score(script, "a")


def test_a_file_of_rows_that_is_there_already_stays_as_it_is(score: Score, tmp_path: Path) -> None:
    (tmp_path / "out" / "predictions.csv").write_text("earlier\n")
    assert score(NAMES) == "earlier\n"


def test_an_input_without_files_is_no_data(score: Score) -> None:
    with pytest.raises(NoData, match="doesn't contain any data"):
        score(NAMES, "")


def test_a_worker_is_run_by_pythons_that_have_nothing_of_this_package() -> None:
    for module in (worker, mlflow_script):
        tree = ast.parse(inspect.getsource(module), feature_version=(3, 8))
        statements = [each for each in ast.walk(tree) if isinstance(each, ast.Import | ast.ImportFrom)]
        imported = [ast.unparse(each) for each in statements]
        assert imported
        assert not [line for line in imported if "azureml_local" in line]
