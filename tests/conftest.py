"""What every folder of tests shares: the emulators, and that no example is judged by the clock on the wall."""

from hypothesis import settings

from tests.emulators import bigquery_emulator, firestore_emulator, pubsub_emulator

__all__ = ["bigquery_emulator", "firestore_emulator", "pubsub_emulator"]

settings.register_profile("tipoff", deadline=None)
settings.load_profile("tipoff")
