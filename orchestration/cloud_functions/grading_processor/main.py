"""Grades what was predicted."""

import functions_framework
from flask import Request

from data_processors.nba.service import processors
from shared.endpoint import Answer

endpoint = processors("grading_processor")


@functions_framework.http
def grading_processor(request: Request) -> Answer:
    return endpoint(request)
