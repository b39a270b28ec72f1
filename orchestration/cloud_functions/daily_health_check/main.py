"""Tells people each morning how the day before was, and whoever asks at GET /summary."""

import functions_framework
from flask import Request

from orchestration.daily import health_check
from shared.endpoint import Answer

endpoint = health_check("daily_health_check")


@functions_framework.http
def daily_health_check(request: Request) -> Answer:
    return endpoint(request)
