"""Opens analytics for a run whose raw tables have been reported."""

import functions_framework
from flask import Request

from orchestration.gates import gate
from shared.endpoint import Answer

endpoint = gate("phase2_to_phase3")


@functions_framework.http
def phase2_to_phase3(request: Request) -> Answer:
    return endpoint(request)
