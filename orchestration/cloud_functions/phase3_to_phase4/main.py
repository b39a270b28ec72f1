"""Opens precompute for a run whose analytics have been reported."""

import functions_framework
from flask import Request

from orchestration.gates import gate
from shared.endpoint import Answer

endpoint = gate("phase3_to_phase4")


@functions_framework.http
def phase3_to_phase4(request: Request) -> Answer:
    return endpoint(request)
