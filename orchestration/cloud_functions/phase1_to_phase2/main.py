"""Opens raw for a run whose scrapers have reported."""

import functions_framework
from flask import Request

from orchestration.gates import gate
from shared.endpoint import Answer

endpoint = gate("phase1_to_phase2")


@functions_framework.http
def phase1_to_phase2(request: Request) -> Answer:
    return endpoint(request)
