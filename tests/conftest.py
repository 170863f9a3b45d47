import pytest
from hypothesis import settings

# A deadline measures the machine's load, not the code.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture(scope="module")
def one_thread():
    """Let torch round as it does on one thread, whatever the machine has."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=[1, 2])
def threads(request):
    """Let torch round as it does on one thread, and as it does on more."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch, tmp_path_factory):
    """Keep the panel's files of a test away from the user's."""
    monkeypatch.setenv("GRAYSAM_CONFIG", str(tmp_path_factory.mktemp("config")))
