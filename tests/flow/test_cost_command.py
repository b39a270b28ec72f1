"""`tipoff cost` as docs/cli.md promises it: its table, its JSON, its options."""

from __future__ import annotations

import json

from shared.core.cost import ASSUMPTIONS
from tests.flow.cli import documented, form, tipoff, tipoff_json


def test_the_table_has_both_bills_with_their_totals_and_says_what_is_assumed() -> None:
    told = tipoff("cost")
    assert told.returncode == 0, told.stderr
    assert told.stderr == ""
    lines = told.stdout.splitlines()
    assert sum(line.startswith("total") for line in lines) == 2
    assert any(line.startswith("nba at rest") for line in lines)
    assert any("overnight, same_day, tomorrow on 30 of 30 days, 450 units" in line for line in lines)
    for assumption in ASSUMPTIONS:
        assert f"- {assumption}" in lines


def test_numbers_end_below_each_other() -> None:
    lines = tipoff("cost", "nba").stdout.split("\n\n")[1].splitlines()[1:]
    assert len({len(line) for line in lines}) == 1, "the last column is aligned to the right"
    assert lines[0].endswith("with free tiers")


def test_without_free_tiers_their_column_is_gone() -> None:
    told = tipoff("cost", "nba", "--no-free-tier")
    assert told.returncode == 0
    assert "with free tiers" not in told.stdout
    [bills] = json.loads(tipoff("cost", "nba", "--no-free-tier", "--json").stdout)["pipelines"]
    assert bills["running"]["usd_a_month_with_free_tiers"] is None
    assert {line["usd_a_month_with_free_tiers"] for line in bills["running"]["lines"]} == {None}


def test_the_json_has_the_documented_form_and_adds_up() -> None:
    told, promised = tipoff_json("cost"), documented("tipoff cost")
    dates, promised_dates = told.pop("prices_as_of"), promised.pop("prices_as_of")
    assert dates.items() >= promised_dates.items()
    told["warnings"] = told["warnings"] or promised["warnings"]  # none, where the prices are of this year
    assert form(told) == form(promised)
    for name in ("at_rest", "running"):
        one = told["pipelines"][0][name]
        for key in ("usd_a_day", "usd_a_month", "usd_a_month_with_free_tiers"):
            assert abs(sum(line[key] for line in one["lines"]) - one[key]) < 1e-4


def test_days_are_those_of_a_month_on_which_it_runs() -> None:
    [ten], [thirty] = (tipoff_json("cost", "nba", "--days", days)["pipelines"] for days in (10, 30))
    assert ten["days"] == 10
    assert ten["at_rest"] == thirty["at_rest"]
    assert ten["at_rest"]["usd_a_month"] < ten["running"]["usd_a_month"] < thirty["running"]["usd_a_month"]
    assert tipoff("cost", "--days", "31").returncode == 2


def test_an_unknown_pipeline_is_named_with_those_that_are_known() -> None:
    told = tipoff("cost", "nfl")
    assert told.returncode == 2
    assert "'nfl' is not declared" in told.stderr


def test_help_shows_examples_that_a_person_can_type() -> None:
    helped = tipoff("cost", "--help")
    assert helped.returncode == 0
    assert "example:\n  tipoff cost\n  tipoff cost nba --days 20 --no-free-tier\n" in helped.stdout
