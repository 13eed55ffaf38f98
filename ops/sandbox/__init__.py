"""The embedded platform: what AWS, a Docker engine and the sample services do, small enough for a
laptop, honest about where it differs.
"""
