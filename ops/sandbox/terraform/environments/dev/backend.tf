resource "aws_ecs_task_definition" "backend" {
  family                   = var.backend.family
  network_mode             = "awsvpc"
  requires_compatibilities = ["FARGATE"]
  cpu                      = var.backend.cpu
  memory                   = var.backend.memory
  execution_role_arn       = var.backend.execution_role
  task_role_arn            = var.backend.task_role
  container_definitions    = jsonencode([merge(var.backend.container, { image = var.backend_container_image })])

  runtime_platform {
    cpu_architecture        = "X86_64"
    operating_system_family = "LINUX"
  }
}

resource "aws_ecs_service" "backend" {
  name                               = var.backend.service
  cluster                            = var.cluster
  task_definition                    = "${aws_ecs_task_definition.backend.family}:${aws_ecs_task_definition.backend.revision}"
  desired_count                      = var.backend.desired_count
  launch_type                        = "FARGATE"
  enable_execute_command             = true
  health_check_grace_period_seconds  = var.backend.grace
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  availability_zone_rebalancing      = "ENABLED"
  propagate_tags                     = "NONE"

  deployment_controller {
    type = "ECS"
  }

  deployment_circuit_breaker {
    enable   = false
    rollback = false
  }

  load_balancer {
    target_group_arn = var.backend.target_group
    container_name   = var.backend.container.name
    container_port   = var.backend.port
  }

  network_configuration {
    subnets         = var.backend.subnets
    security_groups = var.backend.security_groups
  }
}

# Made by sandbox.up, then adopted: once it is in the state, Terraform passes over these.
import {
  to = aws_ecs_task_definition.backend
  id = var.backend.task_definition
}

import {
  to = aws_ecs_service.backend
  id = "${basename(var.cluster)}/${var.backend.service}"
}
