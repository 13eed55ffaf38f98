"""The sandbox's own engine: the part of the Docker Engine API that the `docker` client uses to
build, tag, log in, push and inspect.

Emulates dockerd 20.10 (API 1.41) with its legacy builder, its wording and its progress lines, for
Dockerfiles that only copy: FROM (scratch, the shipped base `sandbox/python:3`, or an image that it
holds), ARG, ENV, LABEL, WORKDIR, COPY, EXPOSE, USER, CMD, ENTRYPOINT.

Differs from dockerd: every other instruction is refused by a sentence that names `inv sandbox.up
--engine docker`; layers are deterministic (entries sorted, time 0, owner root, modes 0755 and 0644,
not compressed), and an image was created when its label `org.opencontainers.image.created` says, so
the same commit builds the same digest on every machine; it runs no containers, pulls from and
pushes to loopback registries only, one layer after another, and shows no intermediate containers.
The architecture is recorded as the build asked for it, whatever the machine is. Images without a
name stay until they are removed."""
