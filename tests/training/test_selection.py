"""What the best checkpoint is chosen by."""

from dms_jax.training.selection import selection_score


def test_selection_prefers_the_f_measure_on_defective_pictures() -> None:
    some = {"mae": 0.1, "max_f": 0.9, "defective": {"max_f": 0.5}}
    none = {"mae": 0.1, "max_f": 0.9, "defective": {"max_f": None}}
    assert selection_score(some) == 0.5
    assert selection_score(none) == -0.1


def test_selection_without_any_mask_goes_by_the_labels() -> None:
    unknown = {"mae": None, "max_f": None}
    assert selection_score({**unknown, "defective": unknown, "accuracy": 0.75}) == 0.75
    assert selection_score({**unknown, "defective": unknown, "accuracy": None}) == 0.0
