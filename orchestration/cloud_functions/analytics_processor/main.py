"""Fills the analytics tables."""

import functions_framework
from flask import Request

from data_processors.nba.service import processors
from shared.endpoint import Answer

endpoint = processors("analytics_processor")


@functions_framework.http
def analytics_processor(request: Request) -> Answer:
    return endpoint(request)
