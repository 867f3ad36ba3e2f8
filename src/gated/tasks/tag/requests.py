"""Requests to an assistant with slots and intents, from a small grammar: the data of the demo.

Names of people, places and songs are made of syllables, so that those of the test were never seen in training; alone
they may be any of the three, and what they are may stand far before them. Some requests are in lower case, some have
fillers, and some words are misspelt.
"""

from __future__ import annotations

import random
import re

Request = tuple[list[tuple[str, str]], str]  # words with tags (iob2), and the intent

TEMPLATES = {
    "alarm": ("wake me up at {time}", "set an alarm for {time} {date}", "I need to get up at {time} {date}",
              "please make sure I am awake {date} at {time}", "cancel the alarm at {time}"),
    "book": ("book a table for {number} at {place}", "find us a restaurant in {place} for {number} people {date}",
             "a table for {number} at {time} please", "is there room for {number} at {place} {date}",
             "reserve dinner in {place} at {time} for {number}"),
    "message": ("tell {person} I will be late", "send a message to {person}",
                "write to {person} that we meet in {place}",
                "let {person} know that I arrive {date} at {time}", "ask {person} to call me at {time}"),
    "play": ("play {song} by {person}", "put on {song}", "I want to hear {song} from {person}",
             "play something by {person}", "add {song} to my list", "play {song}",
             "I want to hear something by {person}"),
    "travel": ("how do I get from {from} to {to}", "a ticket to {to} {date}", "when does the train from {from} leave",
               "I have to be in {to} at {time} {date}", "book the train from {from} to {to} at {time}"),
    "weather": ("what will the weather be like in {place}", "will it rain in {place} {date}",
                "do I need a coat {date}", "how warm is it in {place}", "is there snow in {place} {date}"),
}  # fmt: skip
ASIDES = ("if you can", "if it is not too much trouble", "when you have a moment", "as I said before", "for my sister",
          "as soon as you can", "I mean")  # fmt: skip
FILLERS = ("please", "well", "so", "hey", "could you", "thanks")
SYLLABLES = ("ba", "dor", "el", "fin", "gar", "hol", "ima", "jen", "kar", "lu", "mar", "nor", "ola", "per", "quin",
             "ros", "sten", "tor", "ul", "vik", "wes", "ya", "zel")  # fmt: skip
ENDS = ("burg", "ford", "sund", "ville", "stad", "mouth", "dale", "haven")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("January", "March", "April", "June", "August", "October", "November")
NUMBERS = ("two", "three", "four", "five", "six", "eight", "ten")
THINGS = ("summer", "river", "night", "heart", "morning", "window", "road", "winter", "mirror", "harbour", "garden")
KINDS = {"from": "place.from", "to": "place.to"}


def make(count: int, seed: int) -> list[Request]:
    """Requests; a seed draws the same."""
    draw = random.Random(seed)
    return [_request(draw) for _ in range(count)]


def _request(draw: random.Random) -> Request:
    intent = draw.choice(list(TEMPLATES))
    words: list[tuple[str, str]] = []
    if draw.random() < 0.2:
        words += [(word, "O") for word in draw.choice(FILLERS).split()]
    for part in re.findall(r"\{\w+\}|[^{}\s]+", draw.choice(TEMPLATES[intent])):
        if not part.startswith("{"):
            words.append((part, "O"))
            continue
        kind = part[1:-1]
        if words and draw.random() < 0.3:
            words += [(word, "O") for word in draw.choice(ASIDES).split()]
        for k, word in enumerate(_value(kind, draw)):
            words.append((word, f"{'I' if k else 'B'}-{KINDS.get(kind, kind)}"))
    if draw.random() < 0.1:
        words.append((draw.choice(FILLERS[:1]), "O"))
    if draw.random() < 0.3:
        words = [(word.lower(), tag) for word, tag in words]
    return [(_misspell(word, draw), tag) for word, tag in words], intent


def _value(kind: str, draw: random.Random) -> list[str]:
    """The words of a slot."""
    if kind == "time":
        hour = draw.randrange(1, 13)
        return draw.choice(([f"{hour}:{draw.randrange(60):02}"], [str(hour), draw.choice(("am", "pm"))],
                            ["half", "past", draw.choice(NUMBERS)], ["noon"]))  # fmt: skip
    if kind == "date":
        return draw.choice((["tomorrow"], ["on", draw.choice(DAYS)], ["next", draw.choice(DAYS)],
                            ["on", str(draw.randrange(1, 29)), draw.choice(MONTHS)]))  # fmt: skip
    if kind == "number":
        return [draw.choice(NUMBERS)]
    if kind == "song" and draw.random() < 0.4:
        return draw.choice((["The", draw.choice(THINGS).title()],
                            [draw.choice(THINGS).title(), "of", draw.choice(THINGS).title()]))  # fmt: skip
    names = [_name(draw) for _ in range(draw.choice((1, 2)))]
    if kind not in ("song", "person") and draw.random() < 0.3:
        names[-1] += draw.choice(ENDS)
    return names


def _name(draw: random.Random) -> str:
    return "".join(draw.choice(SYLLABLES) for _ in range(draw.choice((2, 2, 3)))).title()


def _misspell(word: str, draw: random.Random) -> str:
    """A long word with two letters in each other's place, one time in thirty."""
    if len(word) < 5 or draw.random() > 1 / 30:
        return word
    k = draw.randrange(1, len(word) - 2)
    return word[:k] + word[k + 1] + word[k] + word[k + 2 :]
