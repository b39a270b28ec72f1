"""Every planted bug."""

from __future__ import annotations

from tests.simulation.batch_mutants import BATCH_MUTANTS
from tests.simulation.delivery_mutants import DELIVERY_MUTANTS
from tests.simulation.mutants import MUTANTS

PLANTED = (*MUTANTS, *DELIVERY_MUTANTS, *BATCH_MUTANTS)
