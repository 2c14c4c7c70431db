"""What a run's work directory says of the run besides its configuration, so that it can be used from anywhere."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from dms_jax.data.framing import Framing
from dms_jax.data.prepared import PreparedDataset
from dms_jax.errors import UserError
from dms_jax.evaluation.result_files import write_results
from dms_jax.evaluation.thresholds import OperatingThreshold
from dms_jax.inference.description import UNTESTED, ModelDescription, OperatingPoint, operating_point
from dms_jax.version import __version__

DESCRIPTION_NAME = "run.json"


@dataclass(frozen=True)
class RunDescription:
    """What predictions of a run's network mean.

    Attributes:
      class_names: names of the classes, in the order of their numbers.
      free_class: the defect-free class; None where every image has a defect.
      framing: how an image becomes the crops that the network sees.
      dataset: where the prepared dataset lies, an absolute path.
      plain: where a pixel of a map is called defective, chosen on validation.
      gated: the same for gated maps; None until the run is tested, or where there is no defect-free class.
      max_false_alarms: the share of normal validation images that may fire, as `dms-jax evaluate` was told, until it is
        told otherwise or the run trains on; None for the configuration's.
      value_range: see `ModelDescription`.
      version: of dms_jax that the run was made by.
      images: for each split, a hash of its images, see `dms_jax.runs.dataset.digests`; empty in earlier versions' runs.
    """

    class_names: tuple[str, ...]
    free_class: str | None
    framing: Framing
    dataset: str
    plain: OperatingPoint = UNTESTED
    gated: OperatingPoint | None = None
    max_false_alarms: float | None = None
    value_range: tuple[float, float] | None = None
    version: str = __version__
    images: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        dataset: PreparedDataset,
        framing: Framing,
        images: Mapping[str, str] = MappingProxyType({}),
        *,
        value_range: tuple[float, float] | None = None,
    ) -> Self:
        """The description of a run that has not been tested yet."""
        free = dataset.free_class
        return cls(
            class_names=tuple(dataset.class_names),
            free_class=None if free is None else dataset.class_names[free],
            framing=framing,
            dataset=str(Path(dataset.directory).absolute()),
            images=dict(images),
            value_range=value_range,
        )

    @property
    def model(self) -> ModelDescription:
        """What does not depend on where the run lies: it goes with the network into an exported file."""
        return ModelDescription(
            self.class_names, self.free_class, self.framing, self.plain, self.gated, self.value_range, self.version
        )

    def with_threshold(self, threshold: OperatingThreshold) -> Self:
        """The description of a run that has been tested."""
        return replace(self, plain=threshold.plain, gated=threshold.gated)

    def limiting(self, max_false_alarms: float) -> Self:
        """The description of a run whose threshold is to be chosen so from now on."""
        return replace(self, max_false_alarms=max_false_alarms)

    def save(self, workdir: Path) -> None:
        """Write it to a work directory."""
        write_results(asdict(self), workdir / DESCRIPTION_NAME)

    @classmethod
    def load(cls, workdir: Path) -> Self | None:
        """Read it from a work directory, or None where there is none.

        Raises:
          UserError: the file is damaged.
        """
        path = workdir / DESCRIPTION_NAME
        if not path.exists():
            return None
        try:
            fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            fields["framing"] = Framing(**fields["framing"])
            fields["class_names"] = tuple(fields["class_names"])
            if "threshold" in fields:  # of an earlier version, which kept no more
                fields["plain"] = asdict(OperatingPoint(fields.pop("threshold"), "chosen by an earlier version"))
            fields["plain"] = operating_point(fields["plain"])
            fields["gated"] = operating_point(fields["gated"]) if fields.get("gated") else None
            if fields.get("value_range"):
                fields["value_range"] = tuple(fields["value_range"])
            description = cls(**fields)
            # Which refuses what no model can be.
            assert description.model.class_names == description.class_names
            if not isinstance(description.dataset, str) or not isinstance(description.images, dict):
                raise TypeError("dataset must be a path, and images a hash of each split")
            if description.max_false_alarms is not None and not 0 <= description.max_false_alarms <= 1:
                raise ValueError(f"max_false_alarms={description.max_false_alarms} must be in 0..1")
            return description
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path} is damaged: bring back a copy, or train anew.") from error
