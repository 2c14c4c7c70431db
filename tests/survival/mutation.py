"""Damage to files, drawn from a seed: the bytes that disks, networks, programs and people get wrong."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np

Random = np.random.Generator

# What programs write where something else was meant.
_WORDS = (b"\x00", b"\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x80\x00\x00\x00", b"\n")
_VALUES = (None, True, 0, -1, 1.5, 1e300, 2**70, "", "x", "\x1b[31m", "\u2028", [], {}, [[]], {"a": 1}, "NaN", -0.0)


def mutate(data: bytes, random: Random) -> tuple[bytes, str]:
    """Damage the contents of a file.

    Args:
      data: the whole file.
      random: what is done, and where, is drawn from it alone.

    Returns:
      The file's contents after one to three kinds of damage, never the same as before, and the kinds' names.
    """
    while True:
        damaged, names = data, []
        for _ in range(int(random.choice((1, 1, 1, 2, 3)))):
            kind = _KINDS[random.integers(len(_KINDS))]
            damaged = kind(damaged or b"\0", random)
            names.append(kind.__name__.strip("_"))
        if damaged != data:
            return damaged, " and ".join(names)


def mutate_json(text: bytes, random: Random) -> tuple[bytes, str]:
    """Damage a JSON file so that it stays one: a value is of another kind, or is not there.

    Args:
      text: the whole file; of JSON lines, one of them is damaged.
      random: see `mutate`.
    """
    lines = text.splitlines()
    try:
        json.loads(text)
        lines = [text]
    except ValueError:
        pass
    chosen = int(random.integers(len(lines)))
    value = json.loads(lines[chosen])
    if not isinstance(value, dict | list) or not value or random.integers(20) == 0:
        value = _any_value(random)
    else:
        _change(value, random)
    lines[chosen] = json.dumps(value).encode()
    return b"\n".join(lines) + b"\n", "a value of JSON"


def _change(value: Any, random: Random) -> None:
    """Go down a random path, and replace, remove or double what is at its end."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = keys[random.integers(len(keys))]
        inner = value[key]
        if not isinstance(inner, dict | list) or not inner or random.integers(3) == 0:
            break
        value = inner
    done = random.integers(4)
    if done == 0:
        del value[key]
    elif done == 1 and isinstance(value, list):
        value.append(inner)
    else:
        value[key] = _any_value(random)


def _any_value(random: Random) -> Any:
    return _VALUES[random.integers(len(_VALUES))]


def _bits_flipped(data: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    for place in random.integers(len(data), size=int(random.choice((1, 1, 2, 8, 32)))):
        changed[place] ^= 1 << random.integers(8)
    return bytes(changed)


def _cut_short(data: bytes, random: Random) -> bytes:
    return data[: random.integers(len(data))]


def _bytes_inserted(data: bytes, random: Random) -> bytes:
    place = random.integers(len(data) + 1)
    return data[:place] + random.bytes(int(random.integers(1, 64))) + data[place:]


def _bytes_removed(data: bytes, random: Random) -> bytes:
    start, length = _block(data, random)
    return data[:start] + data[start + length :]


def _block_zeroed(data: bytes, random: Random) -> bytes:
    start, length = _block(data, random)
    return data[:start] + bytes(length) + data[start + length :]


def _block_doubled(data: bytes, random: Random) -> bytes:
    start, length = _block(data, random)
    return data[: start + length] + data[start : start + length] + data[start + length :]


def _blocks_swapped(data: bytes, random: Random) -> bytes:
    start, length = _block(data, random)
    other = int(random.integers(len(data) - length + 1))
    first, second = sorted((start, other))
    if second < first + length:
        return data[::-1][:length] + data[length:]
    between = data[first + length : second]
    return (
        data[:first] + data[second : second + length] + between + data[first : first + length] + data[second + length :]
    )


def _header_changed(data: bytes, random: Random) -> bytes:
    word = _WORDS[random.integers(len(_WORDS))]
    place = int(random.integers(min(len(data), 128)))
    return data[:place] + word + data[place + len(word) :]


def _end_changed(data: bytes, random: Random) -> bytes:
    # Where archives keep their tables.
    word = _WORDS[random.integers(len(_WORDS))]
    place = len(data) - int(random.integers(1, min(len(data), 128) + 1))
    return data[:place] + word + data[place + len(word) :]


def _block(data: bytes, random: Random) -> tuple[int, int]:
    length = int(min(len(data), 2 ** random.integers(1, 12)))
    return int(random.integers(len(data) - length + 1)), length


_KINDS: tuple[Callable[[bytes, Random], bytes], ...] = (
    _bits_flipped,
    _bits_flipped,
    _cut_short,
    _bytes_inserted,
    _bytes_removed,
    _block_zeroed,
    _block_doubled,
    _blocks_swapped,
    _header_changed,
    _header_changed,
    _end_changed,
)
