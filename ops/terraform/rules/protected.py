"""Resource types that a deploy never destroys or replaces.

They hold data, or are entry points of a platform. A deploy changes an image, and destroying one of
these is never part of it, whatever is confirmed; use `tf.apply` for that.
"""

from __future__ import annotations

from collections.abc import Mapping

_KINDS: Mapping[str, str] = {
    "database": """
        aws_db_instance aws_db_snapshot aws_db_cluster_snapshot aws_rds_cluster
        aws_rds_cluster_instance aws_rds_global_cluster aws_docdb_cluster
        aws_docdb_cluster_instance aws_docdb_global_cluster aws_docdbelastic_cluster
        aws_neptune_cluster aws_neptune_cluster_instance aws_neptune_global_cluster
        aws_dsql_cluster aws_dynamodb_table aws_dynamodb_global_table
        aws_dynamodb_table_replica aws_dax_cluster aws_keyspaces_keyspace aws_keyspaces_table
        aws_timestreamwrite_database aws_timestreamwrite_table
        aws_timestreaminfluxdb_db_instance aws_qldb_ledger aws_redshift_cluster
        aws_redshiftserverless_namespace aws_redshiftserverless_workgroup
        aws_lightsail_database aws_glue_catalog_database aws_glue_catalog_table
        aws_athena_database aws_simpledb_domain aws_neptunegraph_graph aws_finspace_kx_database
        postgresql_database postgresql_schema mysql_database""",
    "cache": """
        aws_elasticache_cluster aws_elasticache_replication_group
        aws_elasticache_global_replication_group aws_elasticache_serverless_cache
        aws_memorydb_cluster aws_memorydb_multi_region_cluster""",
    "search index": """
        aws_opensearch_domain aws_opensearchserverless_collection aws_elasticsearch_domain
        aws_cloudsearch_domain""",
    "metrics store": "aws_prometheus_workspace aws_grafana_workspace"
    " aws_cloudtrail_event_data_store",
    "bucket": """
        aws_s3_bucket aws_s3_directory_bucket aws_s3tables_table_bucket aws_s3tables_table
        aws_s3control_bucket aws_glacier_vault aws_lightsail_bucket""",
    "file system": """
        aws_efs_file_system aws_efs_replication_configuration aws_fsx_lustre_file_system
        aws_fsx_ontap_file_system aws_fsx_ontap_volume aws_fsx_openzfs_file_system
        aws_fsx_openzfs_volume aws_fsx_windows_file_system aws_ebs_volume aws_ebs_snapshot
        aws_fsx_file_cache aws_lightsail_disk aws_storagegateway_cached_iscsi_volume
        aws_storagegateway_stored_iscsi_volume""",
    "backup vault": "aws_backup_vault aws_backup_logically_air_gapped_vault",
    "queue or stream": """
        aws_sqs_queue aws_sns_topic aws_kinesis_stream aws_kinesis_video_stream aws_msk_cluster
        aws_msk_serverless_cluster aws_mq_broker""",
    "log group": "aws_cloudwatch_log_group",
    "repository": """
        aws_ecr_repository aws_ecrpublic_repository aws_codecommit_repository
        aws_codeartifact_repository aws_codeartifact_domain""",
    "secret or key": """
        aws_secretsmanager_secret aws_ssm_parameter aws_kms_key aws_kms_external_key
        aws_kms_replica_key aws_kms_replica_external_key aws_kms_custom_key_store
        aws_cloudhsm_v2_cluster""",
    "user pool": "aws_cognito_user_pool aws_cognito_identity_pool",
    "cluster": "aws_ecs_cluster aws_eks_cluster aws_emr_cluster",
    "load balancer": "aws_lb aws_alb aws_elb aws_lightsail_lb",
    "distribution": """
        aws_cloudfront_distribution aws_cloudfront_multitenant_distribution
        aws_cloudfront_distribution_tenant aws_globalaccelerator_accelerator
        aws_cloudfront_key_value_store aws_lightsail_distribution aws_api_gateway_rest_api
        aws_apigatewayv2_api""",
    "DNS zone": """
        aws_route53_zone aws_route53domains_domain aws_service_discovery_private_dns_namespace
        aws_service_discovery_public_dns_namespace""",
    "network": """
        aws_vpc aws_default_vpc aws_subnet aws_default_subnet aws_internet_gateway
        aws_nat_gateway aws_eip aws_ec2_transit_gateway aws_vpn_connection aws_vpn_gateway""",
}
_KIND_OF = {each: kind for kind, types in _KINDS.items() for each in types.split()}


def protected_kind(resource_type: str) -> str:
    """Return the kind of a protected type ("database"); empty for any other type."""
    return _KIND_OF.get(resource_type, "")
