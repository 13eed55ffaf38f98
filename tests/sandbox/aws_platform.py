"""A small platform for the tests of the AWS endpoint and the agent: cluster, load balancer,
service, real processes for containers.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field

import boto3
from botocore.config import Config

from ops.sandbox.agent import Agent
from ops.sandbox.aws import serve
from ops.sandbox.contracts import REGION, Ports, PullError, StartError, Timing
from tests.factories import free_port
from tests.waiting import until

# health_timeout is not quick: on a machine that does too much at once, a healthy process answers
# late
QUICK = Timing(
    tick=0.1,
    provision=0.05,
    pull=0.05,
    health_interval=0.25,
    health_timeout=3.0,
    deregistration_delay=0.4,
    stop_timeout=1.0,
    grace=1.0,
    steady=0.3,
    invalidation=0.5,
)

SERVER = """
import http.server, os, signal, sys
status = int(os.environ.get("STATUS", "200"))
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = os.environ.get("VERSION", "").encode()
        self.send_response(status if self.path == "/health" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer((os.environ["HOST"], 8080), Handler)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("listening as " + os.environ.get("VERSION", "?"), flush=True)
server.serve_forever()
"""
CRASH = "import sys; print('boom: cannot start', flush=True); sys.exit(1)"
SLEEP = "import time; time.sleep(3600)"


def ports():
    """Ports and a network of their own: tests run side by side."""
    network = f"127.{random.randint(80, 250)}.{random.randint(1, 250)}"
    return Ports(
        aws=free_port(), registry=5999, site=5997, alb=5996, database=5995, network=network
    )


def client_of(aws, name, key=None, **settings):
    """A boto3 client with this key, or the operator's."""
    key = key or aws.keys.operator
    return boto3.client(
        name,
        endpoint_url=aws.url,
        region_name=REGION,
        aws_access_key_id=key.access_key,
        aws_secret_access_key=key.secret_key,
        config=Config(retries={"max_attempts": 0}, **settings),
    )


class ProcessContainer:
    def __init__(self, process, digest):
        self.process, self.digest, self.pid = process, digest, process.pid

    def poll(self):
        code = self.process.poll()
        return None if code is None else (128 - code if code < 0 else code)

    def stop(self, timeout):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.poll()


@dataclass
class ProcessRuntime:
    """Containers as python processes; `images` maps a reference to (script, environment)."""

    images: dict = field(default_factory=dict)
    pulled: list = field(default_factory=list)
    pids: list = field(default_factory=list)

    def pull(self, image, platform):
        self.pulled.append((image, platform))
        if image not in self.images:
            raise PullError(
                "CannotPullContainerError: pull image manifest has been retried 1 time(s): "
                f"failed to resolve ref {image}: {image}: not found"
            )
        return "sha256:" + f"{abs(hash(image)):064x}"[:64]

    def start(self, spec):
        script, environment = self.images[spec.image]
        if script is None:
            raise StartError(
                'CannotStartContainerError: Error response from daemon: exec: "nothing": '
                "executable file not found in $PATH"
            )
        process = subprocess.Popen(
            [sys.executable, "-S", "-c", script],
            env={
                **environment,
                **spec.environment,
                "HOST": spec.address,
                "PATH": os.environ["PATH"],
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._read, args=(process, spec.log), daemon=True).start()
        self.pids.append(process.pid)
        return ProcessContainer(process, self.pull(spec.image, ""))

    @staticmethod
    def _read(process, log):
        for line in process.stdout:
            log(line.rstrip("\n"))


class Platform:
    """An operator's view through boto3 over HTTP, with the base infrastructure of one service."""

    def __init__(self, aws, runtime):
        self.aws, self.runtime = aws, runtime
        self.ecs, self.elb, self.logs = (
            self.client("ecs"),
            self.client("elbv2"),
            self.client("logs"),
        )
        ec2 = self.client("ec2")
        self.subnets = [each["SubnetId"] for each in ec2.describe_subnets()["Subnets"]][:2]
        self.vpc = vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        self.group = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [vpc]}])[
            "SecurityGroups"
        ][0]["GroupId"]
        self.ecs.create_cluster(clusterName="demo")
        self.logs.create_log_group(logGroupName="/ecs/demo/web")
        balancer = self.elb.create_load_balancer(Name="demo-alb", Subnets=self.subnets)[
            "LoadBalancers"
        ][0]["LoadBalancerArn"]
        self.target_group = self.elb.create_target_group(
            Name="demo-web-tg",
            Protocol="HTTP",
            Port=8080,
            VpcId=vpc,
            TargetType="ip",
            HealthCheckPath="/health",
            HealthyThresholdCount=2,
            UnhealthyThresholdCount=3,
        )["TargetGroups"][0]["TargetGroupArn"]
        forward = [{"Type": "forward", "TargetGroupArn": self.target_group}]
        self.listener = self.elb.create_listener(
            LoadBalancerArn=balancer, Protocol="HTTP", Port=80, DefaultActions=forward
        )["Listeners"][0]
        self.network = {
            "awsvpcConfiguration": {"subnets": self.subnets, "securityGroups": [self.group]}
        }

    def client(self, name):
        return client_of(self.aws, name)

    def image(self, tag, script=SERVER, **environment):
        self.runtime.images[f"web:{tag}"] = (script, {"VERSION": tag, **environment})
        return f"web:{tag}"

    def revision(self, image, containers=(), **changes):
        container = {
            "name": "web",
            "image": image,
            "essential": True,
            "portMappings": [{"containerPort": 8080}],
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {
                    "awslogs-group": "/ecs/demo/web",
                    "awslogs-region": REGION,
                    "awslogs-stream-prefix": "ecs",
                },
            },
            **changes,
        }
        return self.ecs.register_task_definition(
            family="demo-web",
            requiresCompatibilities=["FARGATE"],
            networkMode="awsvpc",
            cpu="256",
            memory="512",
            containerDefinitions=[container, *containers],
            runtimePlatform={"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"},
        )["taskDefinition"]["taskDefinitionArn"]

    def create(self, revision, count=2, balanced=True, name="web", **settings):
        balancers = (
            [{"targetGroupArn": self.target_group, "containerName": "web", "containerPort": 8080}]
            if balanced
            else []
        )
        return self.ecs.create_service(
            cluster="demo",
            serviceName=name,
            taskDefinition=revision,
            desiredCount=count,
            launchType="FARGATE",
            networkConfiguration=self.network,
            loadBalancers=balancers,
            healthCheckGracePeriodSeconds=60 if balanced else 0,
            **settings,
        )["service"]

    def update(self, **changes):
        return self.ecs.update_service(cluster="demo", service="web", **changes)["service"]

    def service(self, name="web"):
        return self.ecs.describe_services(cluster="demo", services=[name])["services"][0]

    def deployment(self, identifier):
        return next(
            (each for each in self.service()["deployments"] if each["id"] == identifier), None
        )

    def primary(self):
        return self.service()["deployments"][0]

    def tasks(self, status="RUNNING", **filters):
        arns = self.ecs.list_tasks(cluster="demo", desiredStatus=status, **filters)["taskArns"]
        return self.ecs.describe_tasks(cluster="demo", tasks=arns)["tasks"] if arns else []

    def health(self):
        found = self.elb.describe_target_health(TargetGroupArn=self.target_group)[
            "TargetHealthDescriptions"
        ]
        return {each["Target"]["Id"]: each["TargetHealth"] for each in found}

    def events(self):
        return [each["message"] for each in self.service()["events"]]

    def completed(self, timeout=20):
        return until(
            lambda: self.primary()["rolloutState"] == "COMPLETED" and self.service(), timeout
        )

    def lines(self):
        streams = self.logs.describe_log_streams(logGroupName="/ecs/demo/web")["logStreams"]
        found = [
            self.logs.get_log_events(
                logGroupName="/ecs/demo/web", logStreamName=each["logStreamName"]
            )
            for each in streams
        ]
        return [event["message"] for each in found for event in each["events"]]


@contextlib.contextmanager
def agent_at_work():
    """The platform, its AWS served and its agent running."""
    chosen = ports()
    aws, runtime = serve(chosen, QUICK), ProcessRuntime()
    agent = Agent(aws.cloud, runtime, QUICK, chosen.network)
    agent.start()
    try:
        yield Platform(aws, runtime)
    finally:
        agent.stop()
        aws.stop()
