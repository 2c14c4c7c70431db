"""What all sub-commands share: how an option that none has is answered."""

import errno
import io
import sys

import jax
import pytest

from dms_jax.cli import main
from dms_jax.commands.train import launch
from dms_jax.errors import InterruptionError


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (
            ["evaluate", "--workdir", "run", "--max-false-alrms=0.1"],
            "unrecognized arguments: --max-false-alrms=0.1; for --max-false-alrms, did you mean --max-false-alarms?",
        ),
        (["prepare", "--dataset", "mtdd", "--splti", "paper"], "--splti paper; for --splti, did you mean --split?"),
        # What is misspelt is missing.
        (["evaluate", "--workdr", "run"], "is required; for --workdr, did you mean --workdir?"),
        (["compare", "--datset=mtdd", "--meth", "LC"], "required: --dataset; for --datset, did you mean --dataset?\n"),
        (["evalute", "--workdir", "run"], "there is no command evalute: did you mean evaluate?\n"),
        # Nothing is close: nothing is guessed.
        (["quit"], "invalid choice: 'quit' (choose from "),
        (["prepare", "--dataset", "mtdd", "--zzz", "stray"], "prepare: error: unrecognized arguments: --zzz stray\n"),
    ],
)
def test_an_unknown_option_is_refused_with_the_one_that_was_meant(arguments, answer, capsys):
    assert main(arguments) == 2
    assert answer in capsys.readouterr().err


def test_what_is_printed_to_may_be_closed_before_what_prints(monkeypatch, tmp_path):
    """As where a logger keeps standard output to the end of the process, beyond that of a test or a notebook's cell."""
    kept = []
    stream = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr("dms_jax.commands.evaluate.run", lambda arguments: kept.append(sys.stdout))
    main(["evaluate", "--maps", str(tmp_path), "--masks", str(tmp_path)])
    stream.close()
    kept[0].close()
    assert kept[0].closed


@pytest.mark.parametrize("is_full", [True, False])
def test_a_full_device_is_a_sentence_and_any_other_failure_of_it_is_not(is_full, monkeypatch, capsys):
    said = f"{'RESOURCE_EXHAUSTED' if is_full else 'INTERNAL'}: 99 bytes.\nMore"

    def fails(arguments):
        raise jax.errors.JaxRuntimeError(said)

    monkeypatch.setattr("dms_jax.commands.evaluate.run", fails)
    command = ["evaluate", "--maps", "a", "--masks", "b"]
    if is_full:
        assert main(command) == 1
        sentence = (
            "the device has too little memory (RESOURCE_EXHAUSTED: 99 bytes. More): end what else is at work on it"
        )
        assert capsys.readouterr().err.startswith(f"dms-jax: {sentence}, or ")
    else:
        with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
            main(command)


class Unread(io.StringIO):
    """Standard error whose reader has gone, as a `tee` that Ctrl-C ended too."""

    def write(self, text):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


# ml_collections reads configuration files in a way that Python will drop one day.
@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
@pytest.mark.parametrize("program", ["evaluate", "train", "failed"])
def test_an_interruption_that_nobody_reads_of_has_its_exit_code(program, monkeypatch, tmp_path):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    def fail(*arguments):
        raise InterruptionError("interrupted after step 5, which is saved: run the same command to resume.", 143)

    monkeypatch.setattr(sys, "stderr", Unread())
    if program == "evaluate":
        monkeypatch.setattr("dms_jax.commands.evaluate.run", interrupt)
        assert main(["evaluate", "--maps", str(tmp_path), "--masks", str(tmp_path)]) == 130
    elif program == "train":
        monkeypatch.setattr("dms_jax.commands.train._train", interrupt)
        assert launch("", ["train.py"]) == 130
    else:
        monkeypatch.setattr("dms_jax.runs.loop.train", fail)
        assert launch("", ["train.py", "--config=quickstart", f"--workdir={tmp_path}"]) == 143
