"""A chat model from the registry, fine-tuned, reviewed, registered, served and asked, statement by statement.

This is what somebody writes who knows Azure ML and has never heard of the local workspace: nothing in it
names that, and on Azure it would run as it stands. Called with the registry's component and model to use;
works in the current directory, where config.json is, and leaves what it saw there in seen.json.
"""

import ast
import json
import sys
import time
from typing import Any

import mlflow
import requests
from azure.ai.ml import Input, MLClient
from azure.ai.ml.constants import AssetTypes
from azure.ai.ml.dsl import pipeline
from azure.ai.ml.entities import (
    AmlCompute,
    ManagedOnlineDeployment,
    ManagedOnlineEndpoint,
    Model,
    OnlineRequestSettings,
    ProbeSettings,
)
from azure.core.exceptions import ResourceNotFoundError
from azure.identity import DefaultAzureCredential

component_name, model_name = sys.argv[1:]
seen: dict[str, Any] = {}

# Sign in: the workspace of config.json, named a second time in full, and the registry.
credential = DefaultAzureCredential()
seen["token"] = bool(credential.get_token("https://management.azure.com/.default").token)
workspace = MLClient.from_config(credential=credential)
workspace = MLClient(
    credential,
    subscription_id=workspace.subscription_id,
    resource_group_name=workspace.resource_group_name,
    workspace_name=workspace.workspace_name,
)
registry = MLClient(credential, registry_name="azureml")
experiment = "chat_completion_tutorial"
version = str(int(time.time()))

# The base model, and the machines that it may be fine-tuned on.
base = registry.models.get(model_name, label="latest")
seen["base"] = base.id
allowed = ast.literal_eval(base.tags.get("finetune_compute_allow_list", "[]"))
size = allowed[0]

# A cluster: the one that is there, else a new one.
try:
    cluster = workspace.compute.get("gpu-cluster")
    seen["cluster was there"] = True
except ResourceNotFoundError:
    seen["cluster was there"] = False
    wanted = AmlCompute(name="gpu-cluster", size=size, max_instances=2, idle_time_before_scale_down=180)
    workspace.compute.begin_create_or_update(wanted).wait()
    cluster = workspace.compute.get("gpu-cluster")
seen["cluster"] = [cluster.provisioning_state, cluster.size]
gpus = {each.name.lower(): each.gpus for each in workspace.compute.list_sizes()}[cluster.size.lower()]

# Conversations, as files beside the script.
for name, count in (("train", 24), ("test", 6)):
    with open(f"{name}.jsonl", "w") as file:
        for number in range(count):
            turns = [("user", f"What is {number} times nothing?"), ("assistant", "Nothing at all.")]
            row = {"prompt": turns[0][1], "messages": [{"role": r, "content": c} for r, c in turns]}
            file.write(json.dumps(row) + "\n")

# The parameters: ours, and what the model itself asks for where the component knows it.
component = registry.components.get(component_name, label="latest")
parameters = {"num_train_epochs": 1, "max_steps": 2, "per_device_train_batch_size": 1, "learning_rate": 5e-6}
for name, value in ast.literal_eval(base.tags.get("model_specific_defaults", "{}")).items():
    if name in component.inputs and name not in parameters and name != "apply_deepspeed":
        parameters[name] = value


@pipeline(name="tutorial")
def fine_tuning():  # type: ignore[no-untyped-def]
    trained = component(
        mlflow_model_path=base.id,
        compute_model_import=cluster.name,
        compute_preprocess=cluster.name,
        compute_finetune=cluster.name,
        train_file_path=Input(type="uri_file", path="./train.jsonl"),
        test_file_path=Input(type="uri_file", path="./test.jsonl"),
        number_of_gpu_to_use_finetuning=gpus,
        **parameters,
    )
    return {"trained_model": trained.outputs.mlflow_model_folder}


job = fine_tuning()
job.settings.force_rerun = True
job.settings.continue_on_step_failure = False
job = workspace.jobs.create_or_update(job, experiment_name=experiment)
workspace.jobs.stream(job.name)
job = workspace.jobs.get(job.name)
seen["job"] = [job.status, job.display_name, job.experiment_name]
workspace.jobs.download(job.name, download_path="./down")

# The metrics, of the run that has trained.
mlflow.set_tracking_uri(workspace.workspaces.get(workspace.workspace_name).mlflow_tracking_uri)
runs = mlflow.search_runs(
    experiment_names=[experiment],
    filter_string=f"tags.mlflow.rootRunId='{job.name}'",
    output_format="list",
)
training = next(run for run in runs if "epoch" in run.data.metrics and run.info.run_id != job.name)
seen["runs"] = len(runs)
seen["metrics"] = training.data.metrics

# The trained model becomes a model of the workspace.
path = f"azureml://jobs/{job.name}/outputs/trained_model"
model = Model(path=path, type=AssetTypes.MLFLOW_MODEL, name=f"{model_name}-tutorial", version=version)
model = workspace.models.create_or_update(model)
workspace.models.download(model.name, version, download_path="./down")
seen["model"] = [model.name, model.version, model.job_name == job.name]

# An endpoint, a deployment behind it, and all of the traffic to that.
endpoint = ManagedOnlineEndpoint(
    name=f"tutorial-{version}", description="Online endpoint for a tuned model", auth_mode="key"
)
workspace.online_endpoints.begin_create_or_update(endpoint).wait()
deployment = ManagedOnlineDeployment(
    name="demo",
    endpoint_name=endpoint.name,
    model=model.id,
    instance_type=ast.literal_eval(base.tags["inference_compute_allow_list"])[0],
    instance_count=1,
    liveness_probe=ProbeSettings(initial_delay=600),
    request_settings=OnlineRequestSettings(request_timeout_ms=90000),
)
workspace.online_deployments.begin_create_or_update(deployment).wait()
endpoint.traffic = {"demo": 100}
workspace.online_endpoints.begin_create_or_update(endpoint).result()

# A question: through the SDK, and as anybody who was given the address and the key would ask it.
question = {
    "input_data": {
        "input_string": [{"role": "user", "content": "What is 7 times nothing?"}],
        "parameters": {"temperature": 0.6, "top_p": 0.9, "do_sample": True, "max_new_tokens": 8},
    },
    "params": {},
}
with open("question.json", "w") as file:
    json.dump(question, file)
answer = workspace.online_endpoints.invoke(
    endpoint_name=endpoint.name, deployment_name="demo", request_file="question.json"
)
seen["answer"] = json.loads(answer)
address = workspace.online_endpoints.get(endpoint.name).scoring_uri
key = workspace.online_endpoints.get_keys(endpoint.name).primary_key
plain = requests.post(address, json=question, headers={"Authorization": f"Bearer {key}"}, timeout=90)
seen["plain"] = [plain.status_code, plain.json()]
seen["logs"] = workspace.online_deployments.get_logs(name="demo", endpoint_name=endpoint.name, lines=50)

# And all that costs goes again.
workspace.online_endpoints.begin_delete(name=endpoint.name).wait()
workspace.compute.begin_delete("gpu-cluster").wait()
try:
    workspace.online_endpoints.get(endpoint.name)
except ResourceNotFoundError as error:
    seen["endpoint afterwards"] = error.status_code
with open("seen.json", "w") as file:
    json.dump(seen, file)
