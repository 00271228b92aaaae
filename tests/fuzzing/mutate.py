"""Damage to files: what disks, networks and attackers do to bytes."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable

import numpy as np

Damage = Callable[[np.random.Generator, bytearray, bytes], bytearray]

NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40,
           (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
"""Where sizes, counts and offsets of 1, 2, 4 and 8 bytes break."""
TOKENS = (b"nan", b"-1", b"1e999", b"null", b"[[[[", b"{}", b'"', b"999999999999", b"../../x",
          b"\x00", b"c__builtin__\neval\n", b"cos\nsystem\n", b"\x80\x05", b"\xff\xd8\xff")


def _place(random: np.random.Generator, data: bytearray) -> int:
    """Return a place, in one case of two near the beginning, where headers are."""
    end = len(data) if random.random() < 0.5 else min(len(data), 512)
    return int(random.integers(0, max(1, end)))


def flip_bit(random: np.random.Generator, data: bytearray, other: bytes) -> bytearray:
    data[_place(random, data)] ^= 1 << int(random.integers(8))
    return data


def set_byte(random: np.random.Generator, data: bytearray, other: bytes) -> bytearray:
    data[_place(random, data)] = int(random.integers(256))
    return data


def set_number(random: np.random.Generator, data: bytearray, other: bytes) -> bytearray:
    size = int(random.choice((1, 2, 4, 8)))
    number = NUMBERS[random.integers(len(NUMBERS))] % (1 << (8 * size))
    at = _place(random, data)
    data[at:at + size] = number.to_bytes(size, "little" if random.random() < 0.5 else "big")
    return data


def cut_off(random: np.random.Generator, data: bytearray, other: bytes) -> bytearray:
    return data[:_place(random, data)]


def take_out(random: np.random.Generator, data: bytearray, other: bytes) -> bytearray:
    at = _place(random, data)
    del data[at:at + int(random.integers(1, 65))]
    return data


def put_in(random: np.random.Generator, data: bytearray, other: bytes) -> bytearray:
    at = _place(random, data)
    data[at:at] = random.bytes(int(random.integers(1, 65)))
    return data


def put_token(random: np.random.Generator, data: bytearray, other: bytes) -> bytearray:
    at = _place(random, data)
    data[at:at + int(random.integers(8))] = TOKENS[random.integers(len(TOKENS))]
    return data


def repeat(random: np.random.Generator, data: bytearray, other: bytes) -> bytearray:
    at, length = _place(random, data), int(random.integers(1, 65))
    data[at:at] = data[at:at + length] * int(random.integers(1, 200))
    return data


def splice(random: np.random.Generator, data: bytearray, other: bytes) -> bytearray:
    """Go on with the bytes of another file."""
    at = _place(random, data)
    return data[:at] + bytearray(other[at:])


DAMAGES: tuple[Damage, ...] = (flip_bit, set_byte, set_number, cut_off, take_out, put_in, put_token,
                               repeat, splice)


def mutated(random: np.random.Generator, content: bytes, other: bytes) -> bytes:
    """Return a file's content with one to four damages; inside a zip or gzip in half of cases."""
    if random.random() < 0.5:
        if content[:4] == b"PK\x03\x04":
            return _in_zip(random, content, other)
        if content[:2] == b"\x1f\x8b":
            return _in_gzip(random, content)
    data = bytearray(content)
    for _ in range(int(random.integers(1, 5))):
        if data:
            data = DAMAGES[random.integers(len(DAMAGES))](random, data, other)
    return bytes(data)


def _in_gzip(random: np.random.Generator, content: bytes) -> bytes:
    plain = zlib.decompress(content, 31)
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return packer.compress(mutated(random, plain, plain)) + packer.flush()


def _in_zip(random: np.random.Generator, content: bytes, other: bytes) -> bytes:
    """Damage one member, so that the zip around it is whole."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(target, "w") as made:
        names = source.namelist()
        chosen = names[random.integers(len(names))]
        for name in names:
            member = source.read(name)
            made.writestr(name, mutated(random, member, member) if name == chosen and member
                          else member)
    return target.getvalue()
