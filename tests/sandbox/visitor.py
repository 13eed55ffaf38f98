"""Somebody who loads a page all the time while something else happens."""

import contextlib
import http.client
import threading


class Visitor(threading.Thread):
    """Somebody who loads the site all the time, through the load balancer's choice of healthy
    targets.
    """

    def __init__(self, ecr, group):
        super().__init__(daemon=True)
        self.ecr, self.group, self.seen, self.failures, self.ended = (
            ecr,
            group,
            [],
            [],
            threading.Event(),
        )

    def run(self):
        turn = 0
        while not self.ended.wait(0.05):
            healthy = [each for each in self.ecr.targets(self.group) if each.state == "healthy"]
            if not healthy:
                self.failures.append("no healthy target")
                continue
            target = healthy[turn % len(healthy)]
            turn += 1
            connection = http.client.HTTPConnection(target.address, target.port, timeout=2)
            try:
                connection.request("GET", "/")
                self.seen.append(connection.getresponse().read().decode())
            except OSError as failure:
                self.failures.append(repr(failure))
            finally:
                connection.close()


@contextlib.contextmanager
def visiting(platform):
    visitor = Visitor(platform.aws.cloud.load_balancer, platform.target_group)
    visitor.start()
    try:
        yield visitor
    finally:
        visitor.ended.set()
        visitor.join()
