"""Opens predictions, or by night grading, for a run whose features have been reported."""

import functions_framework
from flask import Request

from orchestration.gates import gate
from shared.endpoint import Answer

endpoint = gate("phase4_to_phase5")


@functions_framework.http
def phase4_to_phase5(request: Request) -> Answer:
    return endpoint(request)
