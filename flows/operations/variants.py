"""prefect.yaml for workers elsewhere: the same deployments, with the code from an image or from git.

uv run python -m flows.operations.variants
"""

from __future__ import annotations

from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_FOLDER = _ROOT / "deploy"
_POOL = "  pool: &pool\n    name: finetune\n    job_variables:\n"
_STEP = '  - prefect.deployments.steps.set_working_directory:\n      directory: "{{ clone }}"\n'
_HEAD = """\
# Made by `uv run python -m flows.operations.variants` from prefect.yaml: change it there. To be deployed from
# the root of the project, with {needs}:
#   prefect --no-prompt deploy --all --prefect-file deploy/prefect.{name}.yaml
"""
# Prefect reads `{{ $NAME }}` from the environment of `prefect deploy`.
_IMAGE = """\
      image: "{{ $FINETUNE_IMAGE }}" # built by deploy/Dockerfile, where the pool's nodes can pull it
"""
_IN_IMAGE = """\
  - prefect.deployments.steps.set_working_directory:
      directory: /app
"""
_FROM_GIT = """\
  - prefect.deployments.steps.git_clone:
      id: clone
      repository: "{{ $FINETUNE_REPOSITORY }}"
      branch: "{{ $FINETUNE_BRANCH }}"
      # For a private repository, a block with the token: access_token: "{{ prefect.blocks.secret.NAME }}"
  - prefect.deployments.steps.set_working_directory:
      directory: "{{ clone.directory }}"
"""


def image(text: str) -> str:
    """The deployments for a pool that starts containers, in which the code is /app."""
    head = _HEAD.format(name="image", needs="FINETUNE_IMAGE set")
    return head + _with(_with(_body(text), _POOL, _POOL + _IMAGE), _STEP, _IN_IMAGE)


def git(text: str) -> str:
    """The deployments for workers that clone the code for each run; what it needs is installed there."""
    head = _HEAD.format(name="git", needs="FINETUNE_REPOSITORY and FINETUNE_BRANCH set")
    return head + _with(_body(text), _STEP, _FROM_GIT)


def _body(text: str) -> str:
    """What comes after the comment at the top, which says how the original is deployed."""
    return text[text.index("name: azureml-finetune\n") :]


def _with(text: str, part: str, other: str) -> str:
    if text.count(part) != 1:
        raise ValueError(f"prefect.yaml has this {text.count(part)} times, not once: {part!r}")
    return text.replace(part, other)


def written() -> dict[Path, str]:
    """The files, and what is to stand in them."""
    text = (_ROOT / "prefect.yaml").read_text(encoding="utf-8")
    return {_FOLDER / "prefect.image.yaml": image(text), _FOLDER / "prefect.git.yaml": git(text)}


if __name__ == "__main__":
    for file, text in written().items():
        file.write_text(text, encoding="utf-8")
