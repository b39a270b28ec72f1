"""Is every secret that a function reads declared, and read by somebody?"""

from __future__ import annotations

from shared.config.functions import FUNCTIONS
from shared.config.secrets import SECRETS


def test_a_secret_says_what_it_is_and_every_one_that_a_function_reads_is_declared() -> None:
    read = {variable for spec in FUNCTIONS for variable in spec.secrets}
    assert read == {spec.variable for spec in SECRETS}
    assert all(spec.holds and spec.made and spec.functions for spec in SECRETS)


def test_who_tells_people_of_incidents_has_both_and_nobody_else_pages() -> None:
    by_variable = {spec.variable: spec.functions for spec in SECRETS}
    assert by_variable["PAGERDUTY_ROUTING_KEY"] == ("self_heal",)
    assert "self_heal" in by_variable["SLACK_WEBHOOK_URL"]
