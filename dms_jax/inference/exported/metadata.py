"""What an exported file says of itself."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, Self

from dms_jax.inference.description import ModelDescription

Outputs = Literal["final", "all"]
# Under which a file keeps its `ModelDescription`.
DESCRIPTION_KEY = "dms_jax"


@dataclass(frozen=True)
class ExportMetadata:
    """What an exported file says of itself, beside its program.

    Attributes:
      description: what the network's predictions mean.
      outputs: which of the network's outputs the file gives: the "final" one, or "all" of them, coarse to final.
      written: the day on which it was written, as YYYY-MM-DD.
      form: what the program is written in, such as "ONNX, opset 17".
      note: what else who uses the file should know; a sentence.
    """

    description: ModelDescription
    outputs: Outputs
    written: str
    form: str
    note: str = ""

    @classmethod
    def today(cls, description: ModelDescription, outputs: Outputs, form: str, note: str = "") -> Self:
        """The metadata of a file that is written today."""
        return cls(description, outputs, date.today().isoformat(), form, note)

    def to_json(self) -> dict[str, Any]:
        """As a dict for JSON, the description under `dms_jax`; `from_json` reads it."""
        own = {"outputs": self.outputs, "written": self.written, "form": self.form, "note": self.note}
        return {DESCRIPTION_KEY: self.description.to_json(), **own}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Read what `to_json` made.

        Raises:
          KeyError, TypeError, ValueError: it did not make this.
        """
        description = ModelDescription.from_json(fields[DESCRIPTION_KEY])
        return cls(description, *(fields[name] for name in ("outputs", "written", "form", "note")))

    def to_texts(self) -> dict[str, str]:
        """As names and texts, which is what an ONNX file keeps; the description is JSON."""
        return {name: value if isinstance(value, str) else json.dumps(value) for name, value in self.to_json().items()}

    @classmethod
    def from_texts(cls, texts: Mapping[str, str]) -> Self:
        """Read what `to_texts` made.

        Raises:
          KeyError, TypeError, ValueError: it did not make this.
        """
        return cls.from_json({**texts, DESCRIPTION_KEY: json.loads(texts[DESCRIPTION_KEY])})
