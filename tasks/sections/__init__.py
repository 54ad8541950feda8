"""The sections of the configuration, as far as they are not the data's own: values, and no services.

Nothing here imports Prefect or an SDK, so that a wrong recipe is refused before either is started.
"""
