"""Writing the examples of a split in a fixed, shuffled order, in little memory."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Self

import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter
from tensorflow_datasets.core.example_serializer import ExampleSerializer
from tensorflow_datasets.core.hashing import Hasher
from tensorflow_datasets.core.naming import ShardedFileTemplate
from tensorflow_datasets.core.utils.shard_utils import ShardConfig, get_shard_boundaries

from dms_jax.data.facts import ImageFacts, PixelFacts
from dms_jax.errors import first_words


class _Waiting(NamedTuple):
    """An example in the file of those that wait: its place in the order, where it is, and what is known of it."""

    order: int
    key: str
    start: int
    size: int
    facts: ImageFacts | None


class SplitWriter:
    """Writes examples to array_record files, ordered by a hash of their keys, as TFDS orders them.

    TFDS's own writer keeps up to 1 GB of a split in memory, and needs TensorFlow beyond. Here the examples wait in a
    file beside the split's, which is removed in the end: 10 000 images take as much memory as 1000.

    Attributes:
      facts: after `finish`, what is known of the examples, in their order; None where that of some is not.
      files: after `finish`, the sizes in bytes of the files written, by their names.
    """

    def __init__(self, features: tfds.features.FeaturesDict, template: ShardedFileTemplate, shards: ShardConfig):
        """Opens the file of the examples that wait.

        Args:
          features: those of the dataset.
          template: names the files, and the split.
          shards: says how many files there are to be.

        Raises:
          OSError: the file cannot be written.
        """
        self.facts: list[ImageFacts] | None = None
        self.files: dict[str, int] = {}
        self._features = features
        self._template = template
        self._shards = shards
        self._hasher = Hasher(template.split)
        self._serializer = ExampleSerializer(features.get_serialized_info())
        self._waiting: list[_Waiting] = []
        self._end = 0
        self._path = Path(template.data_dir) / f"waiting-{template.split}.tmp"
        self._file = self._path.open("w+b")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def add(self, key: str | int | bytes, example: dict[str, Any], pixels: PixelFacts | None = None) -> None:
        """Adds an example.

        Args:
          key: unique in the split.
          example: its features as TFDS takes them.
          pixels: what is known of its image and mask, for `facts`.

        Raises:
          OSError: the disk is full.
        """
        encoded = self._features.encode_example(example)
        facts = None if pixels is None else ImageFacts(str(example["name"]), int(encoded["label"]), pixels)
        record = self._serializer.serialize_example(encoded)
        self._file.write(record)
        self._waiting.append(_Waiting(self._hasher.hash_key(key), str(key), self._end, len(record), facts))
        self._end += len(record)

    def finish(self) -> tfds.core.SplitInfo:
        """Writes the split's files.

        Returns:
          Its description.

        Raises:
          ValueError: there are no examples, or two have the same key.
          OSError: the disk is full.
        """
        waiting = sorted(self._waiting, key=lambda example: example.order)
        if not waiting:
            raise ValueError(f"the split {self._template.split} has no examples")
        for example, following in pairwise(waiting):
            if example.order == following.order:
                raise ValueError(f"two examples of the split {self._template.split} have the key {example.key}")
        self._file.flush()
        records = self._records(waiting)
        count = self._shards.get_number_shards(self._end, len(waiting))
        boundaries = [0, *get_shard_boundaries(len(waiting), count)]
        lengths = [to - start for start, to in pairwise(boundaries)]
        for index, length in enumerate(lengths):
            path = Path(self._template.sharded_filepath(shard_index=index, num_shards=count))
            _write(path, records, length)
            self.files[path.name] = path.stat().st_size
        facts = [example.facts for example in waiting if example.facts is not None]
        self.facts = facts if len(facts) == len(waiting) else None
        return tfds.core.SplitInfo(
            name=self._template.split, shard_lengths=lengths, num_bytes=self._end, filename_template=self._template
        )

    def _records(self, waiting: list[_Waiting]) -> Iterator[bytes]:
        for example in waiting:
            self._file.seek(example.start)
            yield self._file.read(example.size)


def _write(path: Path, records: Iterator[bytes], count: int) -> None:
    """Write the next so many records to a file.

    Raises:
      OSError: the disk is full.
    """
    # The images in the records are compressed already: to try it again takes five times as long, a twentieth of
    # the preparation (benchmarks/README.md).
    writer = ArrayRecordWriter(str(path), "group_size:1,uncompressed")
    try:
        for _ in range(count):
            writer.write(next(records))
        writer.close()
    except RuntimeError as error:
        raise OSError(first_words(error)) from error
