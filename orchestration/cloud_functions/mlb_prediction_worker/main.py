"""Predicts the units of one chunk."""

import functions_framework
from flask import Request

from predictions.worker.service import worker
from shared.endpoint import Answer

endpoint = worker("mlb_prediction_worker")


@functions_framework.http
def mlb_prediction_worker(request: Request) -> Answer:
    return endpoint(request)
