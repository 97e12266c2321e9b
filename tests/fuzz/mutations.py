"""Damage with a seed: what a broken sender, a bad line or an attacker makes of good bytes."""

from __future__ import annotations

import random
import struct

EDGES = (0, 1, 2, 3, 5, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
WORST_TEXT = (
    b"../../../../etc/passwd",
    b"%s%n%x",
    b"\0" * 8,
    b"'; DROP TABLE instances; --",
    b"A" * 300,
    b"\xff\xfe" * 9,
)


def mutated(data: bytes, rng: random.Random, other: bytes = b"") -> bytes:
    """`data` after one to four kinds of damage; `other` is spliced in now and then."""
    result = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        _damage(result, rng, other)
    return bytes(result)


def _damage(data: bytearray, rng: random.Random, other: bytes) -> None:
    at = rng.randrange(len(data) + 1)
    match rng.randrange(9):
        case 0:  # single bits
            for _ in range(rng.randint(1, 8)):
                if data:
                    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        case 1:  # an edge where a length or a number may stand
            size, order = rng.choice((("B", ">"), ("H", ">"), ("H", "<"), ("I", ">"), ("I", "<")))
            packed = struct.pack(order + size, rng.choice(EDGES) & (2 ** (8 * struct.calcsize(size)) - 1))
            data[at : at + len(packed)] = packed
        case 2:
            del data[at:]
        case 3:
            del data[at : at + rng.randint(1, 64)]
        case 4:
            data[at:at] = rng.randbytes(rng.randint(1, 64))
        case 5:  # a piece again
            piece = data[at : at + rng.randint(1, 200)]
            data[at:at] = piece * rng.randint(1, 20)
        case 6:
            data[at:at] = rng.choice(WORST_TEXT)
        case 7:  # a piece of something else
            if other:
                begin = rng.randrange(len(other))
                data[at:at] = other[begin : begin + rng.randint(1, 200)]
        case _:  # two pieces change places
            end = min(len(data), at + rng.randint(1, 100))
            data[:] = data[at:end] + data[:at] + data[end:]
