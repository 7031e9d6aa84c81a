"""The fixtures of the serving tests that the tests of faults use."""

from tests.serving.conftest import make_wire

__all__ = ["make_wire"]
