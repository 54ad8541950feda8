"""A stand-in for the package azureml-inference-server-http, which cannot be installed beside the project.

It has what the workspace relies on: the program by which the package is recognised, and the application that
gunicorn is given, with the probe's path and `run()` behind all others. gunicorn is the real one.
"""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

_GUNICORN = sysconfig.get_path("purelib")
_ENTRY = """
import json, os, runpy

script = runpy.run_path(os.path.join(os.environ["AML_APP_ROOT"], os.environ["AZUREML_ENTRY_SCRIPT"]))
script["init"]()

def app(environ, start):
    if environ["PATH_INFO"] == "/":
        start("200 OK", [])
        return [b"Healthy"]
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode()
    asked = {name: environ.get(name) for name in ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING")}
    asked["authorized"] = "HTTP_AUTHORIZATION" in environ
    start("200 OK", [("Content-Type", "application/json"), ("X-Own", "1"), ("X-Own", "2")])
    return [json.dumps({"result": script["run"](body), "asked": asked}).encode()]
"""
FILES = {
    "azureml_inference_server_http/__init__.py": "",
    "azureml_inference_server_http/server/__init__.py": "",
    "azureml_inference_server_http/server/entry.py": _ENTRY,
    "azmlinfsrv.pth": f"{_GUNICORN}\n",  # gunicorn, and what it needs
}
ENTRY_POINTS = "[console_scripts]\nazmlinfsrv = azureml_inference_server_http.server.entry:app\n"


def path(environment: Path) -> str:
    """The PYTHONPATH by which a Python finds what was put into that folder."""
    return f"{environment / 'packages'}{os.pathsep}{_GUNICORN}"


def install(environment: Path) -> Path:
    """Put it into a folder that looks like a virtual environment; the folder of its executables."""
    packages, programs = environment / "packages", environment / "bin"
    for name, text in FILES.items():
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).write_text(text)
    programs.mkdir()
    (programs / "azmlinfsrv").touch()
    return programs
