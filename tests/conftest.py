from hypothesis import settings

# A deadline measures the machine's load, not the code.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
