"""The embedded platform: AWS, a Docker engine and the sample services on one laptop.

Every emulation documents where it differs from the real thing.
"""
