"""Opens export for a run whose predictions, or grades, have been reported."""

import functions_framework
from flask import Request

from orchestration.gates import gate
from shared.endpoint import Answer

endpoint = gate("phase5_to_phase6")


@functions_framework.http
def phase5_to_phase6(request: Request) -> Answer:
    return endpoint(request)
