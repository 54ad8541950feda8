"""What runs on a batch job's node: the files of its input in mini batches, scored by workers side by side.

`python -m azureml_local.batch` is the driver, in the server's Python. worker.py and mlflow_script.py are run
by that of the deployment's environment, which has nothing of this package, and import nothing of it.
"""
