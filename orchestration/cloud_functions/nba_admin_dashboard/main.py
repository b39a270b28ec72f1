"""Shows people the runs of a day, and takes their word on them."""

import functions_framework
from flask import Request

from orchestration.dashboard.service import dashboard
from shared.endpoint import Answer

endpoint = dashboard("nba_admin_dashboard")


@functions_framework.http
def nba_admin_dashboard(request: Request) -> Answer:
    return endpoint(request)
