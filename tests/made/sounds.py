"""A language of three words, each a tone, for transcribers that learn it within seconds."""

import numpy as np
import soundfile

RATE = 8000
TONES = dict(lo=(400, 400), hi=(1600, 1600), up=(500, 1500))  # Hz, where a word begins and ends
SMALL = dict(units=24, layers=1, bands=16, dropout=0.0, augment=0.0, mask=0.0, batch=600, lr=1e-2, precision="32",
             progress=False)  # fmt: skip
QUICK = dict(SMALL, units=6, batch=400, steps=3, hold=0)


def say(text, rng):
    """Words as tones, with a little noise and short pauses."""
    parts = [np.zeros(int(RATE * rng.uniform(0.02, 0.08)))]
    for word in text.split():
        low, high = TONES[word]
        t = np.arange(int(RATE * rng.uniform(0.18, 0.26)))
        t = t / len(t)
        hertz = low + (high - low) * t
        loud = np.minimum(1, 10 * np.minimum(t, 1 - t))
        parts += [
            0.4 * np.sin(2 * np.pi * np.cumsum(hertz) / RATE) * loud,
            0 * t[: int(RATE * rng.uniform(0.02, 0.08))],
        ]
    x = np.concatenate(parts)
    return (x + 0.003 * rng.standard_normal(len(x))).astype(np.float32)


def record(folder, count, seed=0):
    """WAV files of one to three words, with their texts; two speak."""
    rng, rows = np.random.default_rng(seed), []
    folder.mkdir(exist_ok=True)
    for k in range(count):
        text = " ".join(rng.choice(list(TONES), rng.integers(1, 4)))
        soundfile.write(folder / f"{k:02}.wav", say(text, rng), RATE)
        rows.append(dict(path=str(folder / f"{k:02}.wav"), text=text, speaker="ab"[k % 2]))
    return rows
