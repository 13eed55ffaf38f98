"""The sandbox's own engine: the subset of the Docker Engine API that a build and push need.

Emulates dockerd 20.10 (API 1.41) with its legacy builder, its wording and its progress lines, for
Dockerfiles that only copy: FROM (scratch, the shipped base `sandbox/python:3`, or a stored image),
ARG, ENV, LABEL, WORKDIR, COPY, EXPOSE, USER, CMD, ENTRYPOINT.

Differs from dockerd: every other instruction is rejected with a message that names `inv sandbox.up
--engine docker`; layers are deterministic (entries sorted, time 0, owner root, modes 0755 and 0644,
not compressed), and an image's creation time is its label `org.opencontainers.image.created`, so
the same commit builds the same digest on every machine; it runs no containers, pulls from and
pushes to loopback registries only, one layer after another, and shows no intermediate containers.
The recorded architecture is the requested one, whatever the machine is. Images without a name stay
until they are removed.
"""
