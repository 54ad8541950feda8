"""Checks of what is trained: the base model as its registry has it, and the component that trains."""

from __future__ import annotations

from collections.abc import Iterator

from flows.doctor.check import Finding, Registry, passes, warns
from flows.doctor.look import Look
from tasks import serving_image
from tasks.azure import clients, private
from tasks.base_model import BaseModelVersion, versions
from tasks.job.parameters import inputs_of, merge

registry = Registry()


@registry.check("base model")
def base_model(look: Look) -> Iterator[Finding]:
    """The model's version: there, neither archived nor retired, with its allow-lists and its window."""
    found = look.base.own()
    lists = (found.finetune_sizes, found.inference_sizes)
    facts = {"version": found.version, "window": found.window.limit, "allow_lists": lists}
    yield passes(f"{found.name} version {found.version}, {_listed(found)}", facts)
    for warning in found.warnings:
        yield warns(warning)
    for name, sizes in (("fine-tuning", lists[0]), ("serving", lists[1])):
        if sizes is None:
            yield warns(f"Neither its tags nor its system metadata have an allow-list for {name}.")


@registry.check("registry")
def metadata(look: Look) -> Iterator[Finding]:
    """Which keys the registry returns for the version, and which versions a label sees."""
    session, base = look.session.get(), look.config.base
    found = look.base.get()
    models = clients.assets(session, base.registry).models
    properties = private.model_properties(models, found.name, found.version)
    keys, system = sorted(properties), sorted(properties.get("systemMetadata") or {})
    every = versions(models, base)
    listed = [str(each.version) for each in models.list(name=found.name)]
    facts = {"properties": keys, "system_metadata": system, "versions": every, "listed_versions": listed}
    says = f"versions {', '.join(every)}, in lists {', '.join(listed) or 'none'}"
    if system:
        yield passes(f"{says}; system metadata has {', '.join(system)}", facts)
    elif None not in (found.finetune_sizes, found.inference_sizes):
        yield passes(f"{says}; no system metadata, the tags have the allow-lists", facts)
    else:
        yield warns(
            f"{says}; no system metadata: where a model may be tuned and when it retires is not seen.",
            "Look it up in the studio's model catalogue.",
            facts,
        )


@registry.check("serving image")
def image(look: Look) -> Iterator[Finding]:
    """The image that the model's MLmodel names, which serves what is tuned from it."""
    session, found = look.session.get(), look.base.get()
    named = serving_image.find_image(session, look.config.base, found)
    if named.doubt:
        yield warns(
            f"A deployment of the tuned model may not start: {named.doubt}.",
            "Deploy the tuned model once by hand before you rely on a schedule.",
            {"image": named.name},
        )
    else:
        yield passes(named.name.rsplit("/", 1)[-1], {"image": named.name})


@registry.check("component")
def component(look: Look) -> Iterator[Finding]:
    """The component's version, and whether it takes the parameters of the recipe."""
    found = look.component.own()
    inputs = inputs_of(found)
    effective = merge(look.config.parameters, look.base.get().defaults, inputs)
    origin = f"{len(effective.values)} parameters set, {len(effective.dropped)} left out"
    yield passes(
        f"{found.name} version {found.version}: {len(inputs)} inputs, {origin}",
        {"version": str(found.version), "dropped": effective.dropped},
    )


def _listed(found: BaseModelVersion) -> str:
    counts = (len(sizes) if sizes else "any" for sizes in (found.finetune_sizes, found.inference_sizes))
    return "sizes to tune {}, to serve {}".format(*counts)
