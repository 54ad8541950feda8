"""A command that asks for several processes: how many, where, and how they find each other.

What the processes are given is documented (Microsoft's guide to distributed training, SDK v2): PyTorch's
variables, those of Open MPI's mpirun, and TF_CONFIG. That addresses are this machine's is ours: its nodes are
process groups here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from azureml_local.execution.component import text

_MOST = 256  # processes that one machine is asked to start at a time
_HERE = "127.0.0.1"


@dataclass(frozen=True)
class Process:
    """One process of a job: its node, the variables of its own, and the name of its log.

    The job is over when all processes that are `awaited` have ended.
    """

    node: int
    log: str
    variables: Mapping[str, str] = field(default_factory=dict)
    awaited: bool = True


@dataclass(frozen=True)
class Distribution:
    """How a job of `nodes` nodes is spread; `kind` is pytorch, mpi or tensorflow.

    `workers` counts all processes but TensorFlow's parameter servers.
    """

    kind: str
    nodes: int
    workers: int
    parameter_servers: int = 0

    @property
    def ports(self) -> int:
        """How many free ports `processes` needs."""
        return self.workers + self.parameter_servers if self.kind == "tensorflow" else 1

    def processes(self, ports: Sequence[int]) -> list[Process]:
        """The processes, by rank."""
        if self.kind == "tensorflow":
            return list(self._tensorflow(ports))
        each = self.workers // self.nodes
        return [
            Process(rank // each, self._log(rank), self._ranked(rank, each, ports[0]))
            for rank in range(self.workers)
        ]

    def _ranked(self, rank: int, each: int, port: int) -> dict[str, str]:
        node, local = divmod(rank, each)
        if self.kind == "mpi":
            numbers = {
                "OMPI_COMM_WORLD_RANK": rank,
                "OMPI_COMM_WORLD_SIZE": self.workers,
                "OMPI_COMM_WORLD_LOCAL_RANK": local,
                "OMPI_COMM_WORLD_LOCAL_SIZE": each,
                "OMPI_COMM_WORLD_NODE_RANK": local,
                "OMPI_UNIVERSE_SIZE": self.workers,
            }
            own = {"AZ_BATCH_MASTER_NODE": f"{_HERE}:{port}", "AZ_BATCHAI_MPI_MASTER_NODE": _HERE}
        else:
            numbers = {"RANK": rank, "LOCAL_RANK": local, "WORLD_SIZE": self.workers, "NODE_RANK": node}
            own = {"MASTER_ADDR": _HERE, "MASTER_PORT": str(port)}
        return {**own, **{name: str(number) for name, number in numbers.items()}}

    def _tensorflow(self, ports: Sequence[int]) -> Iterator[Process]:
        places = [f"{_HERE}:{port}" for port in ports]
        cluster = {"worker": places[: self.workers]}
        if self.parameter_servers:
            cluster["ps"] = places[self.workers :]
        for kind, hosts in cluster.items():
            for index in range(len(hosts)):
                task = {"type": kind, "index": index}
                config = {"cluster": cluster, "task": task, "environment": "cloud"}
                is_worker = kind == "worker"
                log = self._log(index) if is_worker else f"user_logs/std_log_ps_{index}.txt"
                yield Process(index % self.nodes, log, {"TF_CONFIG": json.dumps(config)}, awaited=is_worker)

    def _log(self, rank: int) -> str:
        """As seen on Azure: std_log_process_0.txt of few, std_log_process_00.txt of more."""
        width = len(str(self.workers - 1))
        return f"user_logs/std_log_process_{rank:0{width}}.txt"


def read(given: Mapping[str, Any], nodes: int, where: str, objections: list[str]) -> Distribution | None:
    """The distribution that a request or a component asks for; what is wrong with it goes to `objections`."""
    kind = text(given.get("distributionType") or given.get("type") or "").casefold()
    if not kind:
        return None
    workers: int | None
    servers: int | None = 0
    if kind in ("pytorch", "mpi"):
        each = _count(given, ("processCountPerInstance", "process_count_per_instance"), 1)
        workers = None if each is None else each * nodes
    elif kind == "tensorflow":
        workers = _count(given, ("workerCount", "worker_count"), nodes)
        servers = _count(given, ("parameterServerCount", "parameter_server_count"), 0)
    else:
        objections.append(
            f"{where} asks for a distribution of type {kind}: PyTorch, Mpi and TensorFlow are run here."
        )
        return None
    if workers is None or servers is None or not 1 <= workers <= _MOST - servers:
        objections.append(f"The distribution of {where} must ask for 1 to {_MOST} processes.")
        return None
    return Distribution(kind, nodes, workers, servers)


def _count(given: Mapping[str, Any], names: tuple[str, str], default: int) -> int | None:
    """A whole number under either of its names; None for anything else."""
    value = next((given[name] for name in names if given.get(name) is not None), None)
    if value is None:
        return default
    digits = text(value)
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 6 else None
