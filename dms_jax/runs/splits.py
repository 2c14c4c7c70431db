"""What a run learns from, chooses its best checkpoint by, and is tested on."""

from dataclasses import dataclass

import numpy as np
from ml_collections import ConfigDict

from dms_jax.data.examples import ExampleSource, defective_share, one_of_each_class
from dms_jax.data.prepared import PreparedDataset


@dataclass(frozen=True)
class Splits:
    """The images of a run.

    Attributes:
      train: sources to learn from, together.
      selection: to choose the best checkpoint by; None to keep the last.
      test: to measure that checkpoint on.
      test_name: what `test` is.
      selected_on: what `selection` is, for the results to say.
      threshold: to choose the operating threshold on; None where there are no such images.
      threshold_name: what `threshold` is, for the results to say; or why there is none.
    """

    train: tuple[ExampleSource, ...]
    selection: ExampleSource | None
    test: ExampleSource
    test_name: str
    selected_on: str
    threshold: ExampleSource | None
    threshold_name: str

    def defective_share(self) -> float:
        """The share of defective pixels in a training image, averaged over the images whose mask is known.

        0.5 where none is.
        """
        shares = [defective_share(source) for source in self.train]
        known = [np.count_nonzero(source.has_masks()) for source in self.train]
        return float(np.average(shares, weights=known)) if any(known) else 0.5


def choose_splits(dataset: PreparedDataset, config: ConfigDict) -> Splits:
    """The splits of a dataset as the configuration would have them.

    `data.select_on` is "validation" (a tenth of the training groups is kept back for it), "test" (all of train is
    learnt from, and the best on test is reported, as the paper seems to have done) or "none" (all of train is learnt
    from, and the last step is reported). `data.overfit` learns from a few training images and tests on them.
    """
    train, validation, test = (dataset.source(name) for name in ("train", "validation", "test"))
    if config.data.overfit:
        few = train.subset(one_of_each_class(train.labels(), config.data.overfit))
        none = "config.data.overfit leaves no images to choose one on"
        return Splits((few,), few, few, "train", "train", threshold=None, threshold_name=none)
    if config.data.select_on == "validation":
        return Splits((train,), validation, test, "test", "validation", validation, "validation")
    return Splits(
        train=(train, validation),
        selection=test if config.data.select_on == "test" else None,
        test=test,
        test_name="test",
        selected_on=config.data.select_on,
        # Never on test: rather on images that were learnt from, and so look better than others.
        threshold=validation,
        threshold_name="validation (learnt from)",
    )
