"""An invented season in the league's own three files, for demonstrations and tests without the real data.

Players have stable skills, so that their past says something about their next game. Every identity that holds in the
real data holds here.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from random import Random

MARKER = "SYNTHETIC"  # the feed labels a folder that has this file
TEAM_NAMES = (
    "Amberfall Aglow Brineholt Bricks Cinderwick Comets Dovemarsh Dynamos Elmspire Echoes Fernhollow Foxes "
    "Gloamport Gulls Harrowby Hares Inkwell Ibises Juniper Jesters Kestrelton Kites Lanternby Lynxes "
    "Mossgate Meteors Nettlebay Newts Oxbow Owls Pinecross Puffins Quillfort Quartz Ravenmere Rovers "
    "Saltmere Swifts Thistledown Tides Umbervale Urchins Vesperton Voles Willowrun Wasps Xanthe Xylophones "
    "Yarrowford Yaks Zephyrhill Zebras Applecrag Adders Birchwater Badgers Coppermoor Cranes Dustholm Dragonflies"
)
FIRST_NAMES = (
    "Abro Bexil Corvan Dallo Emrik Fenwo Garrix Hollin Ivano Jorvik Kellan Lutho Marzo Nilvo Orrin Pelko Quent Rusko "
    "Selvo Tarn Uldo Varro Wexel Xavo Yorin Zelko"
)
LAST_NAMES = (
    "Amberly Brackwater Copperdale Dunmarrow Eastlock Farrowmere Greystile Hobblethorn Inkersol Jackdaw Kettlewick "
    "Longfeather Mistlethwaite Nightingarth Oakenpost Pebblebrook Quickstep Rainwater Stonecup Tumbleford Underbough "
    "Violetmoor Windlestraw Yellowbank"
)
ROSTER = 13
PLAY = 10  # of the roster in a game
TEAM_MINUTES = 240
MINUTES_MAX = 42
GAMES_MAX = 10  # on a date
EMPTY_SHARE = 0.1  # of the dates
TIPOFFS = ("19:00", "19:30", "20:00", "22:00")

COUNTS = (
    *("minutes", "pts", "reb", "ast", "stl", "blk", "tov", "pf"),
    *("fgm", "fga", "fg3m", "fg3a", "ftm", "fta", "oreb", "dreb"),
)
SHARES = {"fg_pct": ("fgm", "fga"), "fg3_pct": ("fg3m", "fg3a"), "ft_pct": ("ftm", "fta")}

Row = dict[str, object]
Line = dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Player:
    """Who he is, and what he does in a minute."""

    player_id: int
    name: str
    role: float  # weight of his minutes
    shots: float
    threes: float  # share of his shots
    accuracy: float  # of two-pointers
    accuracy_3: float
    free_throws: float
    accuracy_ft: float
    per_minute: Mapping[str, float]  # of everything else


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    team_id: int
    code: str
    name: str
    players: tuple[Player, ...]


def write_sample_season(folder: Path, seed: int = 7, days: int = 45, first: date = date(2031, 10, 21)) -> None:
    """Write games.csv, player_box.csv, team_box.csv and SYNTHETIC. Equal arguments, equal bytes."""
    random = Random(seed)
    teams = _teams(random)
    season = f"{first.year}-{(first.year + 1) % 100:02d}"
    games: list[Row] = []
    players: list[Row] = []
    sides: list[Row] = []
    for number in range(days):
        for home, away in _meetings(teams, random, empty=0 < number < days - 1 and random.random() < EMPTY_SHARE):
            game: Row = {
                "season": season,
                "season_type": "Invented Season",
                "game_id": f"99{first.year % 100:02d}{len(games) + 1:06d}",
                "game_date": first + timedelta(days=number),
                "tipoff_et": random.choice(TIPOFFS),
            }
            _play(game, home, away, random, players, sides)
            games.append(game)
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("games", games), ("player_box", players), ("team_box", sides)):
        _write(folder / f"{name}.csv", rows)
    (folder / MARKER).write_text(f"An invented season: no team, player or game of it is real (seed {seed}).\n")


def _teams(random: Random) -> list[Team]:
    names = [f"{first} {last}" for first in FIRST_NAMES.split() for last in LAST_NAMES.split()]
    random.shuffle(names)
    teams = []
    words = TEAM_NAMES.split()
    for number, (town, animal) in enumerate(zip(words[::2], words[1::2], strict=True)):
        roster = tuple(_player(9_900_000 + number * 100 + seat, names.pop(), seat, random) for seat in range(ROSTER))
        # X and the third letter: no league has such a code
        code = f"{town[0]}X{town[2].upper()}"
        teams.append(Team(team_id=99_000 + number, code=code, name=f"{town} {animal}", players=roster))
    assert len({team.code for team in teams}) == len(teams)
    return teams


def _player(player_id: int, name: str, seat: int, random: Random) -> Player:
    return Player(
        player_id=player_id,
        name=name,
        role=max(0.25, random.gauss(1.6 - 0.1 * seat, 0.12)),
        shots=min(0.62, max(0.2, random.gauss(0.42 - 0.012 * seat, 0.06))),
        threes=min(0.7, max(0.02, random.gauss(0.38, 0.16))),
        accuracy=random.uniform(0.48, 0.6),
        accuracy_3=random.uniform(0.31, 0.41),
        free_throws=random.uniform(0.04, 0.17),
        accuracy_ft=random.uniform(0.65, 0.9),
        per_minute={
            "oreb": random.uniform(0.01, 0.08),
            "dreb": random.uniform(0.08, 0.22),
            "ast": random.uniform(0.04, 0.22),
            "stl": random.uniform(0.02, 0.05),
            "blk": random.uniform(0.005, 0.05),
            "tov": random.uniform(0.03, 0.08),
            "pf": random.uniform(0.06, 0.11),
        },
    )


def _meetings(teams: Sequence[Team], random: Random, *, empty: bool) -> list[tuple[Team, Team]]:
    """Who meets whom on a date, each team at most once."""
    if empty:
        return []
    drawn = random.sample(teams, 2 * random.randint(1, GAMES_MAX))
    return list(zip(drawn[::2], drawn[1::2], strict=True))


def _play(game: Row, home: Team, away: Team, random: Random, players: list[Row], sides: list[Row]) -> None:
    """Complete the game's row and append its lines."""
    boxes = {
        team.code: [(player, _line(player, minutes, random)) for player, minutes in _minutes(team, random)]
        for team in (home, away)
    }
    totals = {code: {name: sum(line[name] for _, line in box) for name in COUNTS} for code, box in boxes.items()}
    if totals[home.code]["pts"] == totals[away.code]["pts"]:  # the last free throw decides
        for line in (boxes[home.code][0][1], totals[home.code]):
            for name in ("pts", "fta", "ftm"):
                line[name] += 1
    home_pts, away_pts = totals[home.code]["pts"], totals[away.code]["pts"]
    for side, team in (("home", home), ("away", away)):
        game |= {f"{side}_team_id": team.team_id, f"{side}_team": team.code, f"{side}_name": team.name}
    game |= {
        "home_pts": home_pts,
        "away_pts": away_pts,
        "winner": home.code if home_pts > away_pts else away.code,
        "arena": f"{home.name.split()[0]} Hall",
        "attendance": random.randint(9_000, 19_000),
        "player_rows": sum(map(len, boxes.values())),
    }
    for team, other in ((home, away), (away, home)):
        margin = totals[team.code]["pts"] - totals[other.code]["pts"]
        shared: Row = {
            **{name: game[name] for name in ("season", "game_id", "game_date")},
            "team_id": team.team_id,
            "team": team.code,
            "opponent": other.code,
            "is_home": team is home,
            "wl": "W" if margin > 0 else "L",
        }
        sides.append({**shared, "team_name": team.name, "players_used": PLAY, **_counted(totals[team.code])})
        for player, line in boxes[team.code]:
            plus_minus = round(margin * line["minutes"] / 48 + random.gauss(0, 4))
            identity = {"player_id": player.player_id, "player_name": player.name}
            players.append({**shared, **identity, **_counted(line), "plus_minus": plus_minus})


def _minutes(team: Team, random: Random) -> list[tuple[Player, int]]:
    """Ten of the roster, mostly the same, and whole minutes that sum to the team's."""
    dressed = sorted(team.players, key=lambda player: -player.role + (2 if random.random() < 0.08 else 0))[:PLAY]
    weights = [player.role * random.uniform(0.8, 1.2) for player in dressed]
    minutes = [min(MINUTES_MAX, int(TEAM_MINUTES * weight / sum(weights))) for weight in weights]
    for _ in range(TEAM_MINUTES - sum(minutes)):
        free = [seat for seat in range(PLAY) if minutes[seat] < MINUTES_MAX]
        minutes[min(free, key=lambda seat: minutes[seat] / weights[seat])] += 1
    return list(zip(dressed, minutes, strict=True))


def _line(player: Player, minutes: int, random: Random) -> Line:
    def tries(mean: float) -> int:
        return max(0, round(random.gauss(mean, mean**0.5)))

    def made(attempts: int, accuracy: float) -> int:
        return sum(random.random() < accuracy for _ in range(attempts))

    fga = tries(player.shots * minutes)
    fg3a = made(fga, player.threes)
    fg3m = made(fg3a, player.accuracy_3)
    fgm = fg3m + made(fga - fg3a, player.accuracy)
    fta = tries(player.free_throws * minutes)
    ftm = made(fta, player.accuracy_ft)
    rest = {name: tries(rate * minutes) for name, rate in player.per_minute.items()}
    rest["pf"] = min(6, rest["pf"])
    shots = {"fgm": fgm, "fga": fga, "fg3m": fg3m, "fg3a": fg3a, "ftm": ftm, "fta": fta}
    points = 2 * (fgm - fg3m) + 3 * fg3m + ftm
    return {"minutes": minutes, "pts": points, "reb": rest["oreb"] + rest["dreb"], **rest, **shots}


def _counted(line: Line) -> Row:
    shares = {
        name: round(line[made] / line[tried], 3) if line[tried] else None for name, (made, tried) in SHARES.items()
    }
    return {**{name: line[name] for name in COUNTS}, **shares}


def _write(path: Path, rows: Sequence[Row]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(
            {name: str(value).lower() if isinstance(value, bool) else value for name, value in row.items()}
            for row in rows
        )
