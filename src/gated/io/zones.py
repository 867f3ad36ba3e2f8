"""Zones of time: what their names mean, which zone has the offsets of a column, and the instants of local times."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Iterable
from typing import Any

import numpy as np

from gated._check import optional, refuse, want

pd: Any = optional("pandas", "forecast")

NAMES: dict[str, tuple[int, str]] = {  # minutes from UTC, and a zone that uses the name
    "UTC": (0, ""), "GMT": (0, ""), "UT": (0, ""), "Z": (0, ""), "WET": (0, "Europe/Lisbon"),
    "WEST": (60, "Europe/Lisbon"),
    "BST": (60, "Europe/London"), "CET": (60, "Europe/Berlin"), "CEST": (120, "Europe/Berlin"),
    "MEZ": (60, "Europe/Berlin"), "MESZ": (120, "Europe/Berlin"), "EET": (120, "Europe/Helsinki"),
    "EEST": (180, "Europe/Helsinki"), "MSK": (180, "Europe/Moscow"), "EST": (-300, "America/New_York"),
    "EDT": (-240, "America/New_York"), "CST": (-360, "America/Chicago"), "CDT": (-300, "America/Chicago"),
    "MST": (-420, "America/Denver"), "MDT": (-360, "America/Denver"), "PST": (-480, "America/Los_Angeles"),
    "PDT": (-420, "America/Los_Angeles"), "AKST": (-540, "America/Anchorage"), "AKDT": (-480, "America/Anchorage"),
    "HST": (-600, "Pacific/Honolulu"), "JST": (540, "Asia/Tokyo"),
    "KST": (540, "Asia/Seoul"), "SGT": (480, "Asia/Singapore"),
    "HKT": (480, "Asia/Hong_Kong"), "AEST": (600, "Australia/Sydney"), "AEDT": (660, "Australia/Sydney"),
    "NZST": (720, "Pacific/Auckland"), "NZDT": (780, "Pacific/Auckland"),
}  # fmt: skip
USUAL = (  # of zones with the same offsets the one that most people mean
    "Europe/Berlin", "Europe/London", "America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles",
    "Europe/Helsinki", "Australia/Sydney", "America/Sao_Paulo", "Pacific/Auckland",
)  # fmt: skip
EDGES = 200  # most changes of offset that a zone is sought for


def check(zone: str | None, where: str = "--zone") -> None:
    """Refuse what is neither a zone of the IANA database nor an offset."""
    if zone is not None:
        want(is_zone(zone), where, "a zone such as Europe/Berlin, America/New_York or UTC", repr(zone))


def is_zone(zone: str) -> bool:
    """Whether a name is a zone of the IANA database or an offset; others that pandas takes could read any file."""
    if not re.fullmatch(r"(?!dateutil)[A-Za-z][\w+/-]{0,60}|(?:UTC)?[+-]\d\d:\d\d", zone):
        return False
    try:
        pd.Timestamp(0, tz=zone)
    except (KeyError, ValueError, TypeError, AttributeError, OSError):  # by what a name may trip zoneinfo and pytz
        return False
    return True


def to_local(instants: np.ndarray, zone: str | None) -> np.ndarray:
    """Local times of instants, both datetime64[ns]; UTC where there is no zone."""
    if zone is None:
        return instants
    return pd.DatetimeIndex(instants, tz="UTC").tz_convert(zone).tz_localize(None).to_numpy()


def find(local: np.ndarray, minutes: np.ndarray, hints: Iterable[str] = ()) -> str | None:
    """The zone of local times with these offsets: a fixed one, or one of the IANA database that agrees in every row.

    hints: zones to try first. None where the offsets change and no zone agrees.
    """
    instants = local - (60 * 10**9 * minutes.astype(np.int64)).astype("timedelta64[ns]")
    order = np.argsort(instants, kind="stable")
    sorted_minutes = minutes[order]
    changes = np.flatnonzero(np.diff(sorted_minutes)) + 1
    fixed = len(changes) == 0
    if len(changes) <= EDGES:
        edges = order[np.unique(np.r_[0, changes - 1, changes, len(order) - 1])]
        others = (
            () if fixed else (*USUAL, *sorted(z for z in zoneinfo.available_timezones() if "/" in z and z[:3] != "Etc"))
        )
        for zone in (*hints, *others):
            if (to_local(instants[edges], zone) == local[edges]).all() and (to_local(instants, zone) == local).all():
                return zone
    if not fixed:
        return None
    offset = int(minutes[0])
    return "UTC" if offset == 0 else f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02d}:{abs(offset) % 60:02d}"


def to_instants(local: np.ndarray, zone: str, codes: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Instants of local times, and a mask of those that the zone's clocks skip in spring.

    A time that comes twice in autumn is summer time first and then winter time, in each series (codes); in a series
    that runs backwards it is the other way round.
    """
    index = pd.DatetimeIndex(local)
    flags = np.ones(len(index), bool)
    first = index.tz_localize(zone, ambiguous=flags, nonexistent="NaT")
    second = index.tz_localize(zone, ambiguous=~flags, nonexistent="NaT")
    skipped, twice = np.asarray(first.isna()), np.asarray(first != second) & ~np.asarray(first.isna())
    out = first.tz_convert("UTC").tz_localize(None).to_numpy()
    rows = np.flatnonzero(twice)
    if len(rows):
        series = np.zeros(len(local), np.int64) if codes is None else codes
        steps = pd.Series(np.diff(local.astype(np.int64), prepend=local[:1].astype(np.int64)))
        steps[np.r_[True, series[1:] != series[:-1]]] = 0
        backwards = np.sign(steps).groupby(series).sum() < 0
        keys = pd.DataFrame({"series": series[rows], "time": local[rows]}).groupby(["series", "time"])
        count, size = keys.cumcount().to_numpy(), keys["time"].transform("size").to_numpy()
        rank = np.where(backwards.reindex(series[rows]).to_numpy(), size - 1 - count, count)
        later = second.tz_convert("UTC").tz_localize(None).to_numpy()
        out[rows] = np.where((rank > 0) & (size > 1), later[rows], out[rows])
    return out, skipped


def read_names(names: np.ndarray, where: str) -> tuple[np.ndarray, list[str]]:
    """Minutes from UTC of the names of zones, and the zones that use them. Errors: an unknown name."""
    unique = sorted(set(names))
    unknown = [name for name in unique if name.upper() not in NAMES]
    if unknown:
        todo = "Name the zone with --zone, and how the times are written without it with --time-format."
        refuse(where, "zones such as UTC, CET, EST or Europe/Berlin", ", ".join(map(repr, unknown[:5])), todo)
    minutes = pd.Series(names).map({name: NAMES[name.upper()][0] for name in unique}).to_numpy(np.float64)
    return minutes, [zone for name in unique if (zone := NAMES[name.upper()][1])]
