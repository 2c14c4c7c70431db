"""What is said of files that can't be used."""

import pytest

from dms_jax.data.datasets.bad_files import refusal


def test_what_to_do_is_said_once_of_files_behind_one_another() -> None:
    first, *lines = refusal(
        [
            "a.png has no pixel above 1: save it with 255.",
            "D: b.png has no pixel above 1: save it with 255.",
            "c.png is empty: remove it.",
            "d.png has no pixel above 1: save it with 255.",
        ]
    ).splitlines()
    assert first.startswith("4 files cannot be used: ")
    assert lines == [
        "a.png has no pixel above 1: save it with 255.",
        "D: b.png has no pixel above 1.",
        "c.png is empty: remove it.",
        "d.png has no pixel above 1: save it with 255.",
    ]


@pytest.mark.parametrize("sentence", ["a.png is empty.", ": remove it."])
def test_sentences_that_do_not_say_what_to_do_are_whole(sentence: str) -> None:
    assert refusal([sentence, sentence]).splitlines()[1:] == [sentence, sentence]
