import pytest
from hypothesis import settings

# A deadline measures the machine's load, not the code.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch, tmp_path_factory):
    """Keep the panel's files of a test away from the user's."""
    monkeypatch.setenv("GRAYSAM_CONFIG", str(tmp_path_factory.mktemp("config")))
