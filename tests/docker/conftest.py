"""The synthetic patient of the flow tests, for the parts as they are deployed."""

from tests.flow.conftest import study as study
