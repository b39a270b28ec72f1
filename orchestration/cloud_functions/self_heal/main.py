"""Ends a run whose exports have been reported, and, nudged every minute, takes up what stands still."""

import functions_framework
from flask import Request

from orchestration.gates import gate
from shared.endpoint import Answer

endpoint = gate("self_heal")


@functions_framework.http
def self_heal(request: Request) -> Answer:
    return endpoint(request)
