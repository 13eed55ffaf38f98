"""A package, so that the sandbox its files share is taken down when a worker leaves them (a fixture
of scope `package`).
"""
