"""What all sub-commands share: how an option that none has is answered."""

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
        # Nothing is close: nothing is guessed.
        (["prepare", "--dataset", "mtdd", "--zzz", "stray"], "prepare: error: unrecognized arguments: --zzz stray\n"),
    ],
)
def test_an_unknown_option_is_refused_with_the_one_that_was_meant(arguments, answer, capsys):
    assert main(arguments) == 2
    assert answer in capsys.readouterr().err
