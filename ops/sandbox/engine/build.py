"""The builder: POST /build, step by step, with the legacy builder's progress lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ops.sandbox.engine import instructions
from ops.sandbox.engine.context import Context, ContextError
from ops.sandbox.engine.dockerfile import Dockerfile, Instruction
from ops.sandbox.engine.expansion import WordError
from ops.sandbox.engine.image_store import Image, ImageStore
from ops.sandbox.engine.state import BuildError, State
from ops.sandbox.registry.store import digest_of

Line = dict[str, Any]


@dataclass(frozen=True)
class Order:
    """The parameters of a build request."""

    dockerfile: Dockerfile
    platform: str
    tags: tuple[str, ...]
    labels: Mapping[str, str]
    buildargs: Mapping[str, str]
    fresh: bool = False


def failed(message: str) -> Line:
    """Return an error inside a stream, in dockerd's format."""
    return {"errorDetail": {"message": message}, "error": message}


def build(library: ImageStore, order: Order, context: Context) -> Iterator[Line]:
    """Build, yielding progress lines; closes the context.

    A failure is reported in the last line, never as an exception.
    """
    try:
        yield from _steps(library, order, context)
    except (BuildError, ContextError, WordError, OSError) as error:
        yield failed(str(error))
    finally:
        context.close()


def _steps(library: ImageStore, order: Order, context: Context) -> Iterator[Line]:
    state = State(library, order.platform, order.dockerfile.escape, order.buildargs)
    steps = order.dockerfile.instructions
    count, started = len(steps) + bool(order.labels), False
    for number, each in enumerate(steps, 1):
        if started:
            yield {"stream": f" ---> {_shown(state)}\n"}
        yield {"stream": f"Step {number}/{count} : {each.text}"}
        yield {"stream": "\n"}
        if each.name == "ARG" and not started:
            instructions.global_arg(state, each)
            continue
        if each.name == "FROM" and started:
            raise BuildError(
                f"a second FROM (Dockerfile line {each.line}) cannot be done by the "
                f"sandbox's own engine:"
                " `inv sandbox.up --engine docker` builds in stages"
            )
        _step(state, each, context)
        started = True
    if order.labels or not state.changed:
        yield {"stream": f" ---> {_shown(state)}\n"}
    if order.labels:
        yield {
            "stream": f"Step {count}/{count} : LABEL "
            + " ".join(f"{name}={value}" for name, value in order.labels.items())
        }
        yield {"stream": "\n"}
        instructions.set_labels(state, dict(sorted(order.labels.items())))
    if not state.changed:
        raise BuildError("No image was generated. Is your Dockerfile empty?")
    yield from _finished(library, order, state)


def _step(state: State, each: Instruction, context: Context) -> None:
    if each.name == "COPY":
        instructions.copy(state, each, context)
    elif each.name in instructions.WITHOUT_CONTEXT:
        instructions.WITHOUT_CONTEXT[each.name](state, each)
    else:
        raise instructions.refuse(each)


def _shown(state: State) -> str:
    """Return the short id of the image so far.

    After FROM it is the base's own, after `FROM scratch` nothing.
    """
    if not state.changed:
        return ""
    identity = state.based_on if state.untouched else digest_of(state.key().encode())
    return identity.removeprefix("sha256:")[:12]


def _finished(library: ImageStore, order: Order, state: State) -> Iterator[Line]:
    image: Image = state.finish(order.fresh)
    yield {"stream": f" ---> {image.short}\n"}
    yield {"aux": {"ID": image.id}}
    left = instructions.unconsumed(state)
    if left:
        yield {"stream": f"[Warning] One or more build-args [{' '.join(left)}] were not consumed\n"}
    yield {"stream": f"Successfully built {image.short}\n"}
    for tag in order.tags:
        library.tag(image, tag)
        yield {"stream": f"Successfully tagged {tag}\n"}
