"""Fetches the league's schedule and box scores."""

import functions_framework
from flask import Request

from data_processors.nba.service import processors
from shared.endpoint import Answer

endpoint = processors("scraper_processor")


@functions_framework.http
def scraper_processor(request: Request) -> Answer:
    return endpoint(request)
