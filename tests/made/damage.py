"""Damage by chance: to bytes, to the text of a program, to a tensor."""

import math
import re

import torch

NUMBERS = b"1e999 -1 0 99999999999999999999 nan inf 1e-400 0x10 1,5 1.234.567 007 -0 1e308 24:00 9999-99-99 NaT".split()
WORDS = [b'"', b"\n", b"\r", b"\0", b"\xff", b"\xef\xbb\xbf", "\u202e\u0000\ud7ff".encode(), b"\x1b[2J", b"a" * 5000,
         b"," * 300, b"\t" * 300, b"{" * 200, b"[" * 3000, b"<", b"&", b"\\", b"<!DOCTYPE x [<!ENTITY a 'b'>]>", b"{0}",
         "\ufdd0".encode(), b"'", b"\xf0\x9f\x92\xa9", b"%s", b"..", b"/dev/zero"]  # fmt: skip
VALUES = [None, True, -1, 0, 1, 3, 10**6, 10**9, 2**62, -(2**63), 0.5, -0.5, 1e308, 5e-324, "", "x", "x" * 3000,
          "\x1b[2J\nError: forged", "\ud800", "../x", [], {}, [[]], [0], ["x"], {"a": 1}, [1e308] * 3,
          "lstm"]  # fmt: skip


def mutate(data, draw):
    """The bytes with one to four changes."""
    data = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        a, b = sorted((draw.randrange(len(data) + 1), draw.randrange(len(data) + 1)))
        b = min(b, a + draw.choice((1, 4, 60, 4000)))
        way = draw.randrange(9)
        if way == 0 and data:
            data[a - 1] = draw.randrange(256)
        elif way == 1:
            data[a:a] = draw.choice(WORDS)
        elif way == 2:
            del data[a:b]
        elif way == 3:
            data[a:a] = data[a:b] * draw.choice((1, 2, 50))
        elif way == 4:
            del data[a:]
        elif way == 5 and data:
            data[a - 1] ^= 1 << draw.randrange(8)
        elif way in (6, 7):
            numbers = list(re.finditer(rb"\d[\d.,:-]*", data))
            if numbers:
                one = draw.choice(numbers)
                data[one.start() : one.end()] = draw.choice(NUMBERS)
        else:
            lines = data.split(b"\n")
            one = lines.pop(draw.randrange(len(lines)))
            lines.insert(draw.randrange(len(lines) + 1), one)
            data = bytearray(b"\n".join(lines))
    return bytes(data)


def damage_text(text, draw):
    """A program with tokens changed, lines moved or bytes of chance."""
    for _ in range(draw.choice((1, 1, 2, 4))):
        tokens = re.split(r"(\W)", text)
        if not text:
            return text
        a, b = draw.randrange(len(tokens)), draw.randrange(len(tokens))
        way = draw.randrange(6)
        if way == 0:
            tokens[a] = tokens[b]
        elif way == 1:
            del tokens[a]
        elif way == 2:
            tokens[a], tokens[b] = tokens[b], tokens[a]
        elif way == 3:
            tokens[a] = draw.choice(
                ("-1", "0", "99999999999", "1e400", "nan", "h", "x", "W", "σ", "", "\n", "(" * 500, "matmul")
            )
        elif way == 4:
            lines = text.split("\n")
            lines.insert(draw.randrange(len(lines)), draw.choice(lines))
            del lines[draw.randrange(len(lines))]
            tokens = ["\n".join(lines)]
        else:
            tokens = [mutate(text.encode(), draw).decode("utf-8", "replace")]
        text = "".join(tokens)
    return text


def damage_tensor(tensor, draw):
    way = draw.randrange(8)
    if way == 0:
        return tensor.double()
    if way == 1:
        return torch.zeros([*tensor.shape[:-1], 0])
    if way == 2:
        return tensor[..., :1]
    if way == 3:
        return tensor.transpose(0, -1)
    if way == 4:
        return tensor[..., None].expand(*tensor.shape, 2)[..., 0]
    if way == 5:
        return torch.zeros([draw.randrange(4) for _ in range(draw.randrange(5))])
    if way == 6:
        return torch.full_like(tensor, draw.choice((math.nan, math.inf, 1e38)))
    return tensor.long() if draw.random() < 0.3 else torch.cat([tensor, tensor], -1)
