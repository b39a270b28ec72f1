"""Publishes the documents of a run."""

import functions_framework
from flask import Request

from data_processors.nba.service import processors
from shared.endpoint import Answer

endpoint = processors("export_processor")


@functions_framework.http
def export_processor(request: Request) -> Answer:
    return endpoint(request)
