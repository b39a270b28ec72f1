"""Ends a run whose exports have been reported, and, nudged every minute, takes up what stands still."""

import functions_framework
from flask import Request

from orchestration.healing import healer
from shared.endpoint import Answer

endpoint = healer("self_heal")


@functions_framework.http
def self_heal(request: Request) -> Answer:
    return endpoint(request)
