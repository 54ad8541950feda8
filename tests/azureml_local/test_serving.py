"""The model server, as a process that is asked over HTTP: chat models, MLflow models, their requests."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from azureml_local.serving.guard import Announcement
from tests.support.tiny.code import tiny_chat
from tests.support.waiting import PATIENCE, until

CONTEXT = 256
TEMPLATE = (
    "{% for m in messages %}<s>{{ m['role'] }}: {{ m['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant:{% endif %}"
)
WORDS = (
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "a",
    "lazy",
    "dog",
    "and",
    "tells",
    "of",
    "bread",
    "moon",
)


@dataclass(frozen=True)
class Server:
    address: Announcement

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.address.port}"

    def score(self, body: Any) -> requests.Response:
        data = body if isinstance(body, str) else json.dumps(body)
        return requests.post(f"{self.url}/score", data=data, headers=self.address.headers, timeout=PATIENCE)

    def chat(self, messages: Any, **parameters: Any) -> requests.Response:
        return self.score({"input_data": {"input_string": messages, "parameters": parameters}, "params": {}})


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[Server]:
    """A model server of its own process, until the block ends."""
    announced = folder.parent / f"{folder.name}.address"
    command = [
        sys.executable,
        "-m",
        "azureml_local.serving",
        "--model",
        str(folder),
        "--announce",
        str(announced),
    ]
    with subprocess.Popen([*command, *options]) as process:
        try:
            # torch and transformers are imported first, on a busy machine in minutes
            until(lambda: announced.exists() or process.poll() is not None)
            assert process.poll() is None, "the model server ended"
            address = Announcement.read(announced)
            assert address is not None
            yield Server(address)
        finally:
            process.terminate()


def user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


@pytest.fixture(scope="module")
def chat_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow chat model of random weights, with a tokenizer trained on a few words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("chat") / "model"
    weights = folder / "artifacts" / "model"
    trained = Tokenizer(models.BPE(unk_token="<unk>"))
    trained.pre_tokenizer = pre_tokenizers.ByteLevel()
    special = ["<unk>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    trained.train_from_iterator([" ".join(WORDS)], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=trained, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(weights)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        initializer_range=0.3,  # far from ties, so that greedy choices do not hang on rounding
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(weights)
    (folder / "MLmodel").write_text(yaml.safe_dump({"metadata": {"task": "chat-completion"}, "flavors": {}}))
    return folder


@pytest.fixture(scope="module")
def chat(chat_folder: Path) -> Iterator[Server]:
    # In float32 on every processor: rounded to 16 bits, answers depend on what is computed beside them.
    with serving(chat_folder, "--rows", "3", "--threads", "1", "--precision", "32") as server:
        yield server


@pytest.mark.slow
def test_concurrent_greedy_answers_are_those_of_transformers(chat: Server, chat_folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    weights = chat_folder / "artifacts" / "model"
    tokenizer, model = AutoTokenizer.from_pretrained(weights), AutoModelForCausalLM.from_pretrained(weights)
    # More than there are rows, of different lengths, so that rows are filled, moved and reused.
    conversations = [[user(" ".join(WORDS[: 2 + i]))] for i in range(8)]
    lengths = [5, 40, 11, 60, 3, 25, 33, 8]

    penalties = [1.0, 1.0, 1.3, 1.0, 1.0, 1.0, 2.0, 1.0]

    def expected(conversation: Any, length: int, penalty: float) -> str:
        prompt = tokenizer.apply_chat_template(
            conversation, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        with torch.inference_mode():
            output = model.generate(
                **prompt, max_new_tokens=length, do_sample=False, repetition_penalty=penalty
            )
        return str(tokenizer.decode(output[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True))

    def asked(conversation: Any, length: int, penalty: float) -> str:
        answer = chat.chat(conversation, max_new_tokens=length, do_sample=False, repetition_penalty=penalty)
        return str(answer.json()["output"])

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(asked, conversations, lengths, penalties))
    asked_for = zip(conversations, lengths, penalties, strict=True)
    assert answers == [expected(*each) for each in asked_for]


def test_a_list_of_conversations_is_answered_by_rows(chat: Server) -> None:
    answer = chat.chat([[user("the fox")], [user("the dog")]], max_new_tokens=4, do_sample=False)
    assert answer.status_code == 200
    rows = answer.json()
    assert [list(row) for row in rows] == [["0"], ["0"]]
    assert rows[0]["0"] == chat.chat([user("the fox")], max_new_tokens=4, do_sample=False).json()["output"]


def test_the_narrowest_sampling_is_greedy(chat: Server) -> None:
    greedy = chat.chat([user("the moon")], max_new_tokens=8, do_sample=False).json()
    assert chat.chat([user("the moon")], max_new_tokens=8, temperature=0).json() == greedy
    assert chat.chat([user("the moon")], max_new_tokens=8, top_k=1).json() == greedy
    assert chat.chat([user("the moon")], max_new_tokens=8, top_p=1e-6).json() == greedy


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("{", "not valid JSON"),
        ([], "input_data"),
        ({"input_data": {}}, "input_data"),
        ({"input_data": {"input_string": "hello"}}, "list of messages"),
        ({"input_data": {"input_string": []}}, "not empty"),
        ({"input_data": {"input_string": [{"role": "user"}]}}, "role and content"),
        ({"input_data": {"input_string": [{"role": "robot", "content": "x"}]}}, "role must be one of"),
        ({"input_data": {"input_string": [user("a"), {"role": "user", "content": 3}]}}, "message 1: content"),
        ({"input_data": {"input_string": [[{"role": "assistant", "content": "x"}]]}}, "role 'user'"),
        ({"input_data": {"input_string": [user("a")], "parameters": []}}, "parameters must be an object"),
        ({"input_data": {"input_string": [user("a")], "parameters": {"max_tokens": 3}}}, "unknown parameter"),
        ({"input_data": {"input_string": [user("a")], "parameters": {"top_p": 0}}}, "top_p must be"),
        ({"input_data": {"input_string": [user("a")], "parameters": {"do_sample": 1}}}, "do_sample must be"),
        ({"input_data": {"input_string": [user("moon " * CONTEXT)]}}, "leave out its first messages"),
    ],
)
def test_a_bad_request_is_told_what_to_change(chat: Server, body: Any, why: str) -> None:
    answer = chat.score(body)
    assert answer.status_code == 400
    assert why in answer.json()["error"]["message"]


def test_a_client_that_goes_gives_its_place_back(chat: Server) -> None:
    body = json.dumps(
        {
            "input_data": {
                "input_string": [[user("the quick fox")] for _ in range(60)],
                "parameters": {"max_new_tokens": CONTEXT, "repetition_penalty": 1.01},
            }
        }
    )
    connection = http.client.HTTPConnection("127.0.0.1", chat.address.port)
    connection.request("POST", "/score", body, chat.address.headers)
    connection.close()
    # Sixty long answers ahead of it would keep this one waiting beyond any patience.
    assert chat.chat([user("the dog")], max_new_tokens=1).elapsed.total_seconds() < 5


@pytest.fixture(scope="module")
def adder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An MLflow model that adds the columns a and b of each row."""
    folder = tmp_path_factory.mktemp("pyfunc") / "model"
    code = folder.with_suffix(".py")
    code.write_text(
        "import mlflow\n"
        "class Adder(mlflow.pyfunc.PythonModel):\n"
        "    def predict(self, context, model_input, params=None):\n"
        "        if not hasattr(model_input, 'columns'):\n"
        "            return model_input * 2\n"
        "        return model_input['a'] + model_input['b']\n"
        "mlflow.models.set_model(Adder())\n"
    )
    flavour = {
        "loader_module": "mlflow.pyfunc.loaders.code_model",
        "model_code_path": "adder.py",
        "code": None,
    }
    folder.mkdir()
    code.rename(folder / "adder.py")
    (folder / "MLmodel").write_text(yaml.safe_dump({"flavors": {"python_function": flavour}}))
    with serving(folder) as server:
        yield server


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({"input_data": {"columns": ["a", "b"], "data": [[1, 2], [3, 4]], "index": [0, 1]}}, [3, 7]),
        ({"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2]]}}, {"predictions": [{"0": 3}]}),
        ({"dataframe_records": [{"a": 1, "b": 1}]}, {"predictions": [{"0": 2}]}),
        ({"inputs": [1, 2]}, {"predictions": [2, 4]}),
        ({"input_data": [1, 2]}, [2, 4]),
    ],
)
def test_an_mlflow_model_answers_each_request_shape(adder: Server, body: Any, answer: Any) -> None:
    response = adder.score(body)
    assert response.status_code == 200, response.text
    assert response.json() == answer


@pytest.mark.parametrize(
    ("body", "status"), [("{", 400), ({"rows": []}, 400), ({"dataframe_records": [{"a": 1}]}, 500)]
)
def test_an_mlflow_model_refuses_what_it_cannot_read(adder: Server, body: Any, status: int) -> None:
    answer = adder.score(body)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


ECHO = """
class Echo:
    def predict(self, model_input{}):
        table = hasattr(model_input, "to_dict")
        seen = model_input.to_dict() if table else model_input
        items = seen.items() if isinstance(seen, dict) else ()
        kinds = {{name: type(value).__name__ for name, value in items}}
        return {{"kind": type(model_input).__name__, "kinds": kinds, "seen": seen, "params": {}}}

def _load_pyfunc(path):
    return Echo()
"""


@pytest.fixture(scope="module", params=["with params", "without"])
def echoes(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    """A model that its own code loads, and it again with a line that has MLflow load it."""
    folder = tmp_path_factory.mktemp("echo")
    code = ECHO.format(*((", params=None", "params") if request.param == "with params" else ("", "None")))
    flavour = {"loader_module": "echo", "code": "code", "data": "code", "env": {}}
    for name, more in (("own", {}), ("mlflows", {"streamable": False})):
        (folder / name / "code").mkdir(parents=True)
        (folder / name / "code" / "echo.py").write_text(code)
        model = yaml.safe_dump({"flavors": {"python_function": flavour | more}})
        (folder / name / "MLmodel").write_text(model)
    with serving(folder / "own") as own, serving(folder / "mlflows") as mlflows:
        yield own, mlflows


@pytest.mark.slow
def test_a_model_that_its_own_code_loads_answers_as_by_mlflow(echoes: tuple[Server, Server]) -> None:
    own, mlflows = echoes
    bodies: list[Any] = [
        {"input_data": {"input_string": [{"role": "user", "content": "hi"}], "parameters": {"top_p": 0.5}}},
        {"input_data": {"a": [1, 2], "b": "text", "c": None}, "params": {"top_p": 1}},
        {"input_data": {"columns": ["a"], "data": [[1]], "index": [0]}},
        {"input_data": [1, 2]},
        {"input_data": [{"a": 1}]},
        {"inputs": {"a": [[1, 2], [3, 4]]}},
        {"dataframe_records": [{"a": 1}]},
        {"input_data": {"a": [[1], [2, 3]]}},
        {"inputs": 1, "instances": 2},
        "{",
    ]
    answers = [(server.score(body), body) for server in (own, mlflows) for body in bodies]
    found = [(answer.status_code, answer.text) for answer, _ in answers]
    assert found[: len(bodies)] == found[len(bodies) :]
    assert [status for status, _ in found[:7]] == [200] * 7


def test_mlflow_is_imported_for_no_model_that_its_own_code_loads(tmp_path: Path) -> None:
    tiny_chat.write(tmp_path / "model", [("who goes there", "a dog")])
    asked = (
        "import sys; from pathlib import Path; from azureml_local.serving import scorer;"
        f"scorer.load(Path({str(tmp_path / 'model')!r}), None, rows=1, threads=1, precision='32');"
        "print(*sorted({name.partition('.')[0] for name in sys.modules} & {'mlflow', 'pandas', 'azure'}))"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def test_a_folder_that_is_no_model_ends_the_server_with_the_reason(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "azureml_local.serving", "--model", str(tmp_path)]
    command += ["--announce", str(tmp_path / "address")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ended.returncode != 0
    assert "not an MLflow model folder" in ended.stderr


@pytest.fixture(scope="module")
def openai(chat: Server) -> Iterator[Any]:
    """OpenAI's own client, led to the model server."""
    client = pytest.importorskip("openai").OpenAI(
        base_url=f"{chat.url}/v1", api_key=chat.address.token, max_retries=0
    )
    with client:
        yield client


def test_openais_client_gets_the_same_answer_whole_and_in_pieces(chat: Server, openai: Any) -> None:
    scored = chat.chat([user("the moon")], max_new_tokens=8, do_sample=False).json()["output"]
    asked: dict[str, Any] = {
        "model": "any",
        "messages": [user("the moon")],
        "max_tokens": 8,
        "temperature": 0,
    }

    whole = openai.chat.completions.create(**asked)
    assert whole.choices[0].message.content == scored
    assert (whole.choices[0].finish_reason, whole.usage.completion_tokens) == ("length", 8)
    assert whole.model == "model"  # its folder's name, as its MLmodel names no base model

    usage = {"include_usage": True}
    chunks = list(openai.chat.completions.create(**asked, stream=True, stream_options=usage))
    pieces = [each.choices[0].delta.content or "" for each in chunks if each.choices]
    assert "".join(pieces) == scored
    assert len([piece for piece in pieces if piece]) > 1
    assert chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-1].usage == whole.usage


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"messages": []}, "list of messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "role must be one of"),
        ({"messages": [user("moon " * CONTEXT)]}, "leave out its first messages"),
        ({"temperature": -1}, "temperature must be"),
        ({"n": 2}, "n must be 1"),
        ({"stop": ["."]}, "stop is not supported"),
    ],
)
def test_openais_client_is_told_what_to_change(openai: Any, change: dict[str, Any], why: str) -> None:
    with pytest.raises(openai_error(), match=why):
        openai.chat.completions.create(**{"model": "any", "messages": [user("the moon")], **change})


def openai_error() -> type[Exception]:
    error: type[Exception] = pytest.importorskip("openai").BadRequestError
    return error


def test_a_content_of_several_texts_is_read_as_one(openai: Any) -> None:
    parts = [{"type": "text", "text": "the "}, {"type": "text", "text": "moon"}]
    asked: dict[str, Any] = {"model": "any", "max_tokens": 4, "temperature": 0}
    one, other = (
        openai.chat.completions.create(**asked, messages=[{"role": "user", "content": content}])
        for content in (parts, "the moon")
    )
    assert one.choices[0].message.content == other.choices[0].message.content


def test_the_project_reads_the_stream_as_openais_client_does(chat: Server) -> None:
    from tasks.azure.failure import Failure
    from tasks.chat import Partner, Wish, answer
    from tasks.invoke import Message
    from tasks.use import Use

    partner = Partner(
        use=Use(endpoint="e", address=f"{chat.url}/score", chats=True),
        key=chat.address.token,
        deployment="d",
    )
    scored = chat.chat([user("the moon")], max_new_tokens=8, do_sample=False).json()["output"]
    messages = [Message(role="user", content="the moon")]
    pieces = list(answer(partner, messages, Wish(temperature=0, max_tokens=8)))
    assert "".join(pieces) == scored
    assert len(pieces) > 1
    with pytest.raises(Failure, match="The endpoint answered 400"):
        list(answer(partner, [Message(role="user", content="moon " * CONTEXT)], Wish()))


def test_a_model_that_does_not_chat_has_no_openai_route(adder: Server) -> None:
    route, headers = f"{adder.url}/v1/chat/completions", adder.address.headers
    assert requests.post(route, json={}, headers=headers, timeout=PATIENCE).status_code == 404


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer none"}])
@pytest.mark.parametrize("path", ["/", "/health", "/score", "/docs"])
def test_a_model_server_answers_its_workspace_alone(
    adder: Server, path: str, headers: dict[str, str]
) -> None:
    assert requests.get(adder.url + path, headers=headers, timeout=PATIENCE).status_code == 401
