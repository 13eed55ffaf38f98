"""The account's other resources: repositories, secret, logs, roles, S3, RDS, distribution."""

from __future__ import annotations

import json
from typing import Any

from ops.sandbox.contracts import ACCOUNT, DATABASE_HOST
from ops.sandbox.database import Login
from ops.sandbox.seed.clients import Clients
from ops.sandbox.seed.names import (
    CDN_COMMENT,
    CLUSTER,
    DATABASE_INSTANCE,
    DOMAIN,
    LOCK_TABLE,
    PREFIX,
    SECRET,
    SERVICES,
    STATE_BUCKET,
)
from ops.sandbox.seed.network import Network

TRUST: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "ecs-tasks.amazonaws.com"},
            "Action": "sts:AssumeRole",
        },
    ],
}
EXECUTION_POLICY = "start-tasks"
EXECUTION: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Resource": "*",
            "Action": [
                "ecr:GetAuthorizationToken",
                "ecr:BatchCheckLayerAvailability",
                "ecr:GetDownloadUrlForLayer",
                "ecr:BatchGetImage",
                "logs:CreateLogStream",
                "logs:PutLogEvents",
                "secretsmanager:GetSecretValue",
            ],
        },
    ],
}
OPTIMIZED, DISABLED = (
    "658327ea-f89d-4fab-a63d-7e88639e58f6",
    "4135ea2d-6df8-44a3-9df3-4b5a84be39ad",
)  # AWS's managed cache policies


def make_repositories(clients: Clients) -> None:
    """Create repositories with immutable tags, as on the live platform."""
    for spec in SERVICES:
        clients.ecr.create_repository(
            repositoryName=spec.repository,
            imageTagMutability="IMMUTABLE",
            imageScanningConfiguration={"scanOnPush": False},
        )


def make_prerequisites(clients: Clients, login: Login) -> str:
    """Create what tasks need to start: log groups, cluster, roles, secret; return its ARN."""
    _make_roles(clients)
    for spec in SERVICES:
        clients.logs.create_log_group(logGroupName=spec.log_group)
        clients.logs.put_retention_policy(logGroupName=spec.log_group, retentionInDays=7)
    clients.ecs.create_cluster(
        clusterName=CLUSTER, settings=[{"name": "containerInsights", "value": "enabled"}]
    )
    return _make_secret(clients, login)


def make_account(clients: Clients, network: Network, login: Login) -> None:
    """Create what no task needs: state bucket, lock table, RDS entry, distribution."""
    _make_state_store(clients)
    _make_database_entry(clients, network, login)
    clients.cloudfront.create_distribution(DistributionConfig=_distribution(network.domain))


def _make_roles(clients: Clients) -> None:
    for role in ("task", "execution"):
        clients.iam.create_role(
            RoleName=f"{PREFIX}-ecs-{role}-role", AssumeRolePolicyDocument=json.dumps(TRUST)
        )
    clients.iam.put_role_policy(
        RoleName=role_arn("execution").rpartition("/")[2],
        PolicyName=EXECUTION_POLICY,
        PolicyDocument=json.dumps(EXECUTION),
    )


def role_arn(role: str) -> str:
    """Return the ARN of the `task` or `execution` role."""
    return f"arn:aws:iam::{ACCOUNT}:role/{PREFIX}-ecs-{role}-role"


def _make_secret(clients: Clients, login: Login) -> str:
    value = {
        "username": login.username,
        "password": login.password,
        "host": DATABASE_HOST,
        "port": str(login.port),
        "dbname": login.database,
    }
    made = clients.secrets.create_secret(
        Name=SECRET, Description="Database of the platform", SecretString=json.dumps(value)
    )
    return str(made["ARN"])


def _make_state_store(clients: Clients) -> None:
    clients.s3.create_bucket(Bucket=STATE_BUCKET)
    clients.s3.put_bucket_versioning(
        Bucket=STATE_BUCKET, VersioningConfiguration={"Status": "Enabled"}
    )
    clients.dynamodb.create_table(
        TableName=LOCK_TABLE,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "LockID", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "LockID", "AttributeType": "S"}],
    )


def _make_database_entry(clients: Clients, network: Network, login: Login) -> None:
    subnets = f"{PREFIX}-db-subnets"
    clients.rds.create_db_subnet_group(
        DBSubnetGroupName=subnets,
        DBSubnetGroupDescription="private",
        SubnetIds=list(network.database_subnets),
    )
    clients.rds.create_db_instance(
        DBInstanceIdentifier=DATABASE_INSTANCE,
        Engine="postgres",
        EngineVersion="15.12",
        DBInstanceClass="db.t4g.micro",
        AllocatedStorage=20,
        StorageType="gp3",
        StorageEncrypted=True,
        DBName=login.database,
        MasterUsername=login.username,
        MasterUserPassword=login.password,
        Port=login.port,
        DBSubnetGroupName=subnets,
        VpcSecurityGroupIds=[network.groups["db"]],
        BackupRetentionPeriod=7,
        PubliclyAccessible=False,
    )


def _distribution(origin: str) -> dict[str, Any]:
    """Create the distribution, which caches everything but /api/*."""

    def behaviour(policy: str) -> dict[str, Any]:
        return {
            "TargetOriginId": "alb",
            "ViewerProtocolPolicy": "redirect-to-https",
            "CachePolicyId": policy,
            "Compress": True,
            "AllowedMethods": {"Quantity": 2, "Items": ["GET", "HEAD"]},
        }

    return {
        "CallerReference": CDN_COMMENT,
        "Comment": CDN_COMMENT,
        "Enabled": True,
        "PriceClass": "PriceClass_100",
        "Aliases": {"Quantity": 1, "Items": [DOMAIN]},
        "Origins": {
            "Quantity": 1,
            "Items": [
                {
                    "Id": "alb",
                    "DomainName": origin,
                    "OriginPath": "",
                    "CustomHeaders": {"Quantity": 0},
                    "CustomOriginConfig": {
                        "HTTPPort": 80,
                        "HTTPSPort": 443,
                        "OriginProtocolPolicy": "http-only",
                    },
                }
            ],
        },
        "DefaultCacheBehavior": behaviour(OPTIMIZED),
        "CacheBehaviors": {
            "Quantity": 1,
            "Items": [{"PathPattern": "/api/*", **behaviour(DISABLED)}],
        },
    }
