"""Fills the tables that predictions are made from."""

import functions_framework
from flask import Request

from data_processors.nba.service import processors
from shared.endpoint import Answer

endpoint = processors("precompute_processor")


@functions_framework.http
def precompute_processor(request: Request) -> Answer:
    return endpoint(request)
