"""The model server: one process a deployment, which loads one model and answers its score requests.

It stands where Azure runs the inference container, and is started with
``python -m azureml_local.serving --model DIR --port N``.
"""
