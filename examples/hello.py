from azure.ai.ml import MLClient, command
from azure.identity import DefaultAzureCredential

client = MLClient.from_config(DefaultAzureCredential())
job = client.jobs.create_or_update(
    command(
        command='python -c \'import mlflow; mlflow.log_metric("loss", 0.5); print("trained")\'',
        environment="azureml://registries/azureml/environments/any/versions/1",
        experiment_name="hello",
    )
)
client.jobs.stream(job.name)
print(client.jobs.get(job.name).status)
