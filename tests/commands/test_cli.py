"""What all sub-commands share: how an option that none has is answered."""

import io
import sys

import pytest

from dms_jax.cli import main


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
