"""Fans a start of predictions out into chunks and ends the batch."""

import functions_framework
from flask import Request

from predictions.coordinator.service import coordinator
from shared.endpoint import Answer

endpoint = coordinator("prediction_coordinator")


@functions_framework.http
def prediction_coordinator(request: Request) -> Answer:
    return endpoint(request)
